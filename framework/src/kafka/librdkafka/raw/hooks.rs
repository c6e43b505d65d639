//! Hooks: what the threads of librdkafka call.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::bindings as c;

use super::super::bell::Signal;
use super::text;

/// So many different log lines are told apart; then counting starts over.
const LINES: usize = 256;
/// Under which name we look on.
pub(super) const NAME: &CStr = c"headwater";

/// What the threads of a client call. It outlives them.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    lines: Mutex<HashMap<String, u32>>,
    /// Whether a request of a transaction was given up without an answer: it may still be on its way.
    pub(super) unanswered: AtomicBool,
}

/// Something was put into an empty queue.
pub(super) unsafe extern "C" fn on_event(_: *mut c::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: the opaque is the queue's signal, which lives as long as the callback is set.
    unsafe { &*opaque.cast::<Signal>() }.raise();
}

/// A line of librdkafka's log. One that comes again and again is told the 1st, 2nd, 4th, 8th time.
pub(super) unsafe extern "C" fn on_log(
    rk: *const c::rd_kafka_t,
    level: c_int,
    fac: *const c_char,
    buf: *const c_char,
) {
    // SAFETY: the opaque is the client's hooks; the strings live through the call.
    let (hooks, fac, line) = unsafe { (&*c::rd_kafka_opaque(rk).cast::<Hooks>(), text(fac), text(buf)) };
    let times = {
        let mut lines = hooks.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() > LINES {
            lines.clear();
        }
        let times = lines.entry(super::super::verdict::same_line(&line)).or_default();
        *times = times.saturating_add(1);
        *times
    };
    if !times.is_power_of_two() {
        return;
    }
    match level {
        0..=4 => tracing::warn!(fac, times, "{line}"),
        5..=6 => tracing::info!(fac, times, "{line}"),
        _ => tracing::debug!(fac, "{line}"),
    }
}

pub(super) unsafe extern "C" fn on_new(
    rk: *mut c::rd_kafka_t,
    _: *const c::rd_kafka_conf_t,
    opaque: *mut c_void,
    _: *mut c_char,
    _: usize,
) -> c::rd_kafka_resp_err_t {
    // SAFETY: the client is being made; the opaque is its hooks.
    unsafe { c::rd_kafka_interceptor_add_on_response_received(rk, NAME.as_ptr(), Some(on_response), opaque) }
}

/// Whether a request belongs to a transaction: the numbers of AddPartitionsToTxn, AddOffsetsToTxn, EndTxn and
/// TxnOffsetCommit in Kafka's protocol.
fn is_transactional(api: i16) -> bool {
    matches!(api, 24 | 25 | 26 | 28)
}

/// A request was answered, or given up.
unsafe extern "C" fn on_response(
    _: *mut c::rd_kafka_t,
    _: c_int,
    _: *const c_char,
    _: i32,
    api: i16,
    _: i16,
    _: i32,
    _: usize,
    _: i64,
    err: c::rd_kafka_resp_err_t,
    opaque: *mut c_void,
) -> c::rd_kafka_resp_err_t {
    if is_transactional(api) && err != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        // SAFETY: the opaque is the client's hooks.
        unsafe { &*opaque.cast::<Hooks>() }.unanswered.store(true, Ordering::Relaxed);
    }
    c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}
