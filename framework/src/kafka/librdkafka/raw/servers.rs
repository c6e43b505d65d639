//! Servers: told again to a client that has lost every broker.
//!
//! An answer that names no broker makes librdkafka (2.12.1) forget those that it knows, `bootstrap.servers` among them, and most
//! times it takes them up again; but if its threads run in another order it stays alone for good (librdkafka's issue 5301). Brokers
//! answer so that were away for longer than their sessions, as the only one of a cluster does after each long freeze. Such an answer
//! names no controller either, which is how it shows here.

use std::ffi::CString;
use std::sync::{Mutex, PoisonError};

use rdkafka::bindings as c;

use super::Client;
use crate::time::{Clock, SystemClock};

const SECOND_US: u64 = 1_000_000;
/// librdkafka keeps each text that it is told.
const LONGEST_PAUSE_US: u64 = 60 * SECOND_US;

#[derive(Debug)]
struct Watch {
    due_us: u64,
    pause_us: u64,
    /// A controller was known, so librdkafka has known brokers by more than the settings.
    known: bool,
}

/// Where a client finds its brokers.
#[derive(Debug)]
pub(super) struct Servers {
    list: CString,
    clock: SystemClock,
    watch: Mutex<Watch>,
}

impl Servers {
    pub(super) fn new(list: CString) -> Self {
        let watch = Watch { due_us: 0, pause_us: SECOND_US, known: false };
        Self { list, clock: SystemClock::new(), watch: Mutex::new(watch) }
    }
}

impl Client {
    /// Looks once a second whether the servers have to be told again. For whoever is called again and again.
    pub(in super::super) fn tend(&self) {
        let now_us = self.servers.clock.elapsed_us();
        let mut watch = self.servers.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if now_us < watch.due_us {
            return;
        }
        // SAFETY: the client lives; without time it waits for nothing.
        if unsafe { c::rd_kafka_controllerid(self.rk, 0) } >= 0 {
            *watch = Watch { due_us: now_us + SECOND_US, pause_us: SECOND_US, known: true };
            return;
        }
        watch.due_us = now_us + watch.pause_us;
        if watch.known {
            watch.pause_us = (watch.pause_us * 2).min(LONGEST_PAUSE_US);
            let servers = self.servers.list.to_string_lossy();
            tracing::info!(%servers, "no broker is known any more: the servers are asked again");
            // SAFETY: the client lives; the text is copied.
            unsafe { c::rd_kafka_brokers_add(self.rk, self.servers.list.as_ptr()) };
        }
    }
}
