//! Hooks: what the threads of librdkafka call.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::bindings as c;

use super::super::bell::Signal;
use super::super::line::Line;
use super::super::verdict;
use super::{Failure, text};

/// Under which name we look on.
pub(super) const NAME: &CStr = c"headwater";

/// What the threads of a client call. It outlives them.
#[derive(Debug)]
pub(super) struct Hooks {
    line: Arc<Line>,
    distrust: Mutex<Option<String>>,
    failure: Mutex<Option<Failure>>,
    /// Whether a request of a transaction was given up without an answer: it may still be on its way.
    pub(super) unanswered: AtomicBool,
}

impl Hooks {
    pub(super) fn new(line: &Arc<Line>) -> Self {
        Self {
            line: Arc::clone(line),
            distrust: Mutex::default(),
            failure: Mutex::default(),
            unanswered: AtomicBool::new(false),
        }
    }

    /// What is wrong with a partition since the last call.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What was wrong with the last certificate that did not verify.
    pub(super) fn distrust(&self) -> Option<String> {
        self.distrust.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
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
    if &*fac == "FAIL" {
        hooks.line.failed(&line);
    }
    let times = hooks.line.times(&line);
    if !times.is_power_of_two() {
        return;
    }
    // That a connection fails again is no news, and the line says so where no other holds.
    let level = if &*fac == "FAIL" && times > 1 { 6 } else { level };
    match level {
        0..=4 => tracing::warn!(fac, times, "{line}"),
        5..=6 => tracing::info!(fac, times, "{line}"),
        _ => tracing::debug!(fac, "{line}"),
    }
}

/// Something is wrong with a partition that is read: told by the call that takes its messages, not by one of them.
pub(super) unsafe extern "C" fn on_error(
    _: *mut c::rd_kafka_t,
    err: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: the opaque is the client's hooks; the text lives through the call.
    let (hooks, reason) = unsafe { (&*opaque.cast::<Hooks>(), text(reason)) };
    let err = c::rd_kafka_resp_err_t::try_from(err);
    let err = err.unwrap_or(c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN);
    *hooks.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(Failure::plain(err, reason));
}

/// A certificate was looked at by OpenSSL, whose verdict stands: librdkafka alone would not say what is wrong with it.
pub(super) unsafe extern "C" fn on_certificate(
    _: *mut c::rd_kafka_t,
    broker: *const c_char,
    _: i32,
    x509_error: *mut c_int,
    _: c_int,
    _: *const c_char,
    _: usize,
    said: *mut c_char,
    room: usize,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: the opaque is the client's hooks; number and name live through the call.
    let (hooks, number, broker) = unsafe { (&*opaque.cast::<Hooks>(), *x509_error, text(broker)) };
    if number == 0 {
        return 1;
    }
    let what = verdict::distrust(number);
    let shown = what.bytes().take(room.saturating_sub(1)).chain([0]);
    for (at, byte) in shown.take(room).enumerate() {
        // SAFETY: `said` has room for `room` bytes.
        unsafe { said.add(at).write(c_char::from_ne_bytes([byte])) };
    }
    let distrust = format!("the certificate of {broker} {what}");
    *hooks.distrust.lock().unwrap_or_else(PoisonError::into_inner) = Some(distrust);
    0
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
    // SAFETY: the opaque is the client's hooks.
    let hooks = unsafe { &*opaque.cast::<Hooks>() };
    let answered = err == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    if answered && !verdict::is_greeting(api) {
        hooks.line.answered();
    }
    if is_transactional(api) && !answered {
        hooks.unanswered.store(true, Ordering::Relaxed);
    }
    c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}
