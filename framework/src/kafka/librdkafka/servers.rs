//! Servers: told again to a client that has lost every broker.
//!
//! An answer that names no broker makes librdkafka (2.12.1) forget those that it knows, `bootstrap.servers` among them, and most
//! times it takes them up again; but if its threads run in another order it stays alone for good (librdkafka's issue 5301). Brokers
//! answer so that were away for longer than their sessions, as the only one of a cluster does after each long freeze. Such an answer
//! names no controller either, which is how it shows here.

use std::sync::{Mutex, PoisonError};

use super::line::Line;
use super::raw::Client;
use crate::time::{Clock, SystemClock};

const SECOND_US: u64 = 1_000_000;
/// Each time costs memory.
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
    list: String,
    clock: SystemClock,
    watch: Mutex<Watch>,
}

impl Servers {
    /// Those of the line.
    pub(super) fn new(line: &Line) -> Self {
        let watch = Watch { due_us: 0, pause_us: SECOND_US, known: false };
        Self { list: line.servers(), clock: SystemClock::new(), watch: Mutex::new(watch) }
    }

    /// Looks once a second whether they have to be told again. To be called again and again.
    pub(super) fn look_after(&self, client: &Client) {
        let now_us = self.clock.elapsed_us();
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if now_us < watch.due_us {
            return;
        }
        if client.knows_controller() {
            *watch = Watch { due_us: now_us + SECOND_US, pause_us: SECOND_US, known: true };
            return;
        }
        watch.due_us = now_us + watch.pause_us;
        if watch.known {
            watch.pause_us = (watch.pause_us * 2).min(LONGEST_PAUSE_US);
            tracing::info!(servers = self.list, "no broker is known any more: the servers are asked again");
            client.add_servers(&self.list);
        }
    }
}
