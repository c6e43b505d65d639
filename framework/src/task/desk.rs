//! What a restore is told, what it works on, and its ports.

use std::collections::BTreeMap;

use super::Task;
use crate::kafka::{Admin, Consumer, Isolation, Membership, StartAt};
use crate::topic::TaskId;

/// How to restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// `auto.offset.reset`.
    pub auto_offset_reset: Option<StartAt>,
    /// Whether changelogs are written in transactions.
    pub transactional: bool,
    /// Which end of a changelog is the target. Anything but the default is a planted fault.
    pub target: Isolation,
    /// What of changelogs may be fetched ahead, bytes.
    pub queued_bytes: usize,
    /// Whether inputs go back to the committed offsets. Anything but the default is a planted fault.
    pub rewind: bool,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            auto_offset_reset: Some(StartAt::Earliest),
            transactional: false,
            target: Isolation::ReadUncommitted,
            queued_bytes: usize::MAX,
            rewind: true,
        }
    }
}

/// What a restore works on.
pub struct RestoreDesk<'a> {
    /// All tasks of the worker.
    pub tasks: &'a mut BTreeMap<TaskId, Task>,
    /// Tells committed offsets.
    pub membership: &'a mut dyn Membership,
    /// Now.
    pub now_ms: i64,
    /// What the wall clock shows.
    pub wall_ms: i64,
}

/// The ports of a restore.
pub struct RestorePorts {
    /// Looks up changelogs.
    pub admin: Box<dyn Admin>,
    /// Reads changelogs; read_committed.
    pub consumer: Box<dyn Consumer>,
}
