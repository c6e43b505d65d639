//! Opening: a broker goes on with what storage holds, or says why it cannot.

use std::fmt;

use super::{Broker, BrokerConfig};
use crate::error::ErrorCode;
use crate::storage::{Damage, Storage};

/// Why a broker cannot go on with what storage holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// `KAFKA_STORAGE_ERROR` when something cannot be read or written, `UNSUPPORTED_VERSION` for a journal of a later
    /// version, `INVALID_CONFIG` for a topic's setting that is not known any more.
    pub error: ErrorCode,
    /// What storage has found up to then: the last one is the reason, if storage refused.
    pub damages: Vec<Damage>,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        self.damages.iter().rev().try_for_each(|damage| write!(f, "; {damage}"))
    }
}

impl std::error::Error for OpenError {}

impl Broker {
    /// A broker over storage that has been used before, or that is empty.
    ///
    /// # Errors
    /// When something cannot be read, or not be written.
    pub fn open(config: BrokerConfig, storage: Box<dyn Storage>, now: i64) -> Result<Self, OpenError> {
        let mut broker = Self::with_storage(config, storage);
        match broker.restart(now) {
            Ok(()) => Ok(broker),
            Err(error) => Err(OpenError { error, damages: broker.take_damages() }),
        }
    }
}
