//! Raw: every call of librdkafka's C functions, and nothing else. All `unsafe` of this folder's parent lies here.
//!
//! 1. A handle is freed by whoever made it, once, after everything that was made from it: what is made from a [`Client`]
//!    keeps it alive.
//! 2. librdkafka's handles may be used by several threads at a time; only a consumer's batches come from one thread.
//! 3. No function here waits but those of a transaction and the list of all topics, which say how long, and two that a thread of
//!    librdkafka answers at once: the generation of a member, and to stop reading a partition.
//! 4. What C hands out by pointer is copied, or shown to a closure, before the owner is freed.

mod admin;
mod groups;
mod hooks;
mod lists;
mod queue;
mod records;
mod topics;

pub(super) use admin::Described;
pub(super) use lists::Placed;
pub(super) use queue::{Event, Queue};
pub(super) use records::{Blame, Buffer, Delivery, Message, Topic};

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rdkafka::bindings as c;

use super::line::Line;
use hooks::Hooks;
use lists::{List, placed};

use crate::kafka::{CommittedOffset, Fault, GroupMetadata, KafkaError};
use crate::topic::TopicPartition;

/// Room for a message of librdkafka's.
const TEXT: usize = 512;

/// What is wrong, and what librdkafka says about it.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: &'static str,
    pub(super) text: String,
    pub(super) fatal: bool,
    pub(super) abortable: bool,
    pub(super) retriable: bool,
}

impl Failure {
    /// As it is, but where librdkafka does not say which topic is gone: with those that it may be.
    pub(super) fn with_topics<'a>(self, which: &str, topics: impl Iterator<Item = &'a str>) -> Self {
        if self.code != "UNKNOWN_TOPIC_OR_PARTITION" {
            return self;
        }
        let topics: BTreeSet<_> = topics.collect();
        let topics = Vec::from_iter(topics).join(", ");
        Self { text: format!("{}, one of those {which}: {topics}", self.text), ..self }
    }

    fn plain(err: c::rd_kafka_resp_err_t, text: String) -> Self {
        Self { code: code(err), text, fatal: false, abortable: false, retriable: false }
    }

    /// The failure of an answer without what was asked for: it says nothing, not that there is nothing.
    pub(super) fn lacking() -> Self {
        let text = "the answer lacks what was asked for".to_owned();
        Self { code: "_BAD_MSG", text, fatal: false, abortable: false, retriable: true }
    }

    /// The failure of who has not answered in time.
    pub(super) fn late(who: &str) -> Self {
        let text = format!("{who} has not answered in time");
        Self { code: "_TIMED_OUT", text, fatal: false, abortable: false, retriable: true }
    }

    /// As an error of this class.
    pub(super) fn because(self, fault: Fault) -> KafkaError {
        KafkaError { code: self.code, fault, message: self.text }
    }

    /// As an error of the class that `verdict` finds.
    pub(super) fn judged(self, verdict: impl FnOnce(&Self) -> Fault) -> KafkaError {
        let fault = verdict(&self);
        self.because(fault)
    }
}

/// Whether a client reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Consumer,
    Producer,
}

/// A client of librdkafka.
#[derive(Debug)]
pub(super) struct Client {
    rk: *mut c::rd_kafka_t,
    hooks: Option<Arc<Hooks>>,
}

// SAFETY: librdkafka's client handle may be used by any number of threads (rdkafka.h, "thread-safe").
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// A client with these settings; `events` are those that come by queue.
    pub(super) fn new(
        kind: Kind,
        settings: &[(String, String)],
        events: i32,
        line: &Arc<Line>,
    ) -> Result<Arc<Self>, Failure> {
        let terminated = |(name, value): &(String, String)| Ok((terminated(name)?, terminated(value)?));
        let settings = settings.iter().map(terminated).collect::<Result<Vec<_>, Failure>>()?;
        let hooks = Arc::new(Hooks::new(line));
        let opaque = Arc::as_ptr(&hooks).cast_mut().cast::<c_void>();
        let mut text = [0; TEXT];
        // SAFETY: `conf` is freed below, or belongs to the client once that is made; `opaque` points to `hooks`, which
        // outlive the client (see `drop`); the strings are copied by the calls.
        unsafe {
            let conf = c::rd_kafka_conf_new();
            for (name, value) in &settings {
                let result =
                    c::rd_kafka_conf_set(conf, name.as_ptr(), value.as_ptr(), text.as_mut_ptr(), TEXT);
                if result != c::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                    c::rd_kafka_conf_destroy(conf);
                    return Err(configuration(&text));
                }
            }
            c::rd_kafka_conf_set_events(conf, events);
            c::rd_kafka_conf_set_opaque(conf, opaque);
            c::rd_kafka_conf_set_log_cb(conf, Some(hooks::on_log));
            c::rd_kafka_conf_set_error_cb(conf, Some(hooks::on_error));
            // Refused where there is no TLS in it, and then it is not needed.
            c::rd_kafka_conf_set_ssl_cert_verify_cb(conf, Some(hooks::on_certificate));
            c::rd_kafka_conf_interceptor_add_on_new(conf, hooks::NAME.as_ptr(), Some(hooks::on_new), opaque);
            let kind = match kind {
                Kind::Consumer => c::rd_kafka_type_t::RD_KAFKA_CONSUMER,
                Kind::Producer => c::rd_kafka_type_t::RD_KAFKA_PRODUCER,
            };
            let rk = c::rd_kafka_new(kind, conf, text.as_mut_ptr(), TEXT);
            if rk.is_null() {
                c::rd_kafka_conf_destroy(conf);
                return Err(configuration(&text));
            }
            Ok(Arc::new(Self { rk, hooks: Some(hooks) }))
        }
    }

    /// What went wrong with the partition whose messages were taken last.
    pub(super) fn partition_failure(&self) -> Option<Failure> {
        self.hooks.as_ref().and_then(|hooks| hooks.failure())
    }

    /// Whether a request of a transaction was given up without an answer: it may still be on its way.
    pub(super) fn was_unanswered(&self) -> bool {
        self.hooks.as_ref().is_some_and(|hooks| hooks.unanswered.load(Ordering::Relaxed))
    }

    /// The error that has killed the client, if one has.
    pub(super) fn fatal(&self) -> Option<Failure> {
        let mut text = [0; TEXT];
        // SAFETY: the client lives; `text` has room for `TEXT` bytes.
        let err = unsafe { c::rd_kafka_fatal_error(self.rk, text.as_mut_ptr(), TEXT) };
        let dead = err != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        dead.then(|| Failure { fatal: true, ..Failure::plain(err, until_zero(&text)) })
    }

    /// Whether the last answer about the cluster has named a controller.
    pub(super) fn knows_controller(&self) -> bool {
        // SAFETY: the client lives; without time it waits for nothing.
        unsafe { c::rd_kafka_controllerid(self.rk, 0) >= 0 }
    }

    /// Adds servers to those that are asked. librdkafka keeps each text that it is told.
    pub(super) fn add_servers(&self, servers: &str) {
        if let Ok(servers) = terminated(servers) {
            // SAFETY: the client lives; the text is copied.
            unsafe { c::rd_kafka_brokers_add(self.rk, servers.as_ptr()) };
        }
    }

    /// Drops everything that waits to be sent or acknowledged.
    pub(super) fn purge(&self) {
        let what = c::RD_KAFKA_PURGE_F_QUEUE | c::RD_KAFKA_PURGE_F_INFLIGHT;
        // SAFETY: the client lives.
        unsafe { c::rd_kafka_purge(self.rk, what | c::RD_KAFKA_PURGE_F_NON_BLOCKING) };
    }

    /// Gets a producer epoch; waits `limit_ms` at most.
    pub(super) fn init_transactions(&self, limit_ms: i32) -> Result<(), Failure> {
        // SAFETY: the client lives; the error is taken over.
        settled(unsafe { c::rd_kafka_init_transactions(self.rk, limit_ms) })
    }

    /// Opens a transaction.
    pub(super) fn begin_transaction(&self) -> Result<(), Failure> {
        // SAFETY: as above.
        settled(unsafe { c::rd_kafka_begin_transaction(self.rk) })
    }

    /// Adds offsets to the transaction; waits `limit_ms` at most.
    pub(super) fn send_offsets(
        &self,
        offsets: &[(TopicPartition, CommittedOffset)],
        group: &GroupMetadata,
        limit_ms: i32,
    ) -> Result<(), Failure> {
        let list = List::of_offsets(offsets)?;
        let (name, member) = (terminated(&group.group)?, terminated(&group.member)?);
        let instance = group.instance.as_deref().map(terminated).transpose()?;
        let instance = instance.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
        // SAFETY: strings and list live through the calls, which copy them; the metadata is freed, the error taken over.
        unsafe {
            let group = c::rd_kafka_consumer_group_metadata_new_with_genid(
                name.as_ptr(),
                group.generation,
                member.as_ptr(),
                instance,
            );
            let error = c::rd_kafka_send_offsets_to_transaction(self.rk, list.0, group, limit_ms);
            c::rd_kafka_consumer_group_metadata_destroy(group);
            settled(error)
        }
    }

    /// Ends the transaction; waits `limit_ms` at most, and needs delivery reports to be taken meanwhile.
    pub(super) fn commit_transaction(&self, limit_ms: i32) -> Result<(), Failure> {
        // SAFETY: the client lives; the error is taken over.
        settled(unsafe { c::rd_kafka_commit_transaction(self.rk, limit_ms) })
    }

    /// Aborts the transaction; as [`Client::commit_transaction`].
    pub(super) fn abort_transaction(&self, limit_ms: i32) -> Result<(), Failure> {
        // SAFETY: as above.
        settled(unsafe { c::rd_kafka_abort_transaction(self.rk, limit_ms) })
    }

    /// Joins the group to read these topics.
    pub(super) fn subscribe<'a>(&self, topics: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
        let list = List::new();
        for topic in topics {
            list.add(topic, -1)?;
        }
        // SAFETY: the client lives; the list is copied.
        checked(unsafe { c::rd_kafka_subscribe(self.rk, list.0) })
    }

    /// Gives up the subscription, and with it the group.
    pub(super) fn unsubscribe(&self) -> Result<(), Failure> {
        // SAFETY: the client lives.
        checked(unsafe { c::rd_kafka_unsubscribe(self.rk) })
    }

    /// Answers an assignment: this client reads nothing itself.
    pub(super) fn assign_nothing(&self) -> Result<(), Failure> {
        // SAFETY: the client lives; the list is copied.
        checked(unsafe { c::rd_kafka_assign(self.rk, List::new().0) })
    }

    /// Answers a revocation.
    pub(super) fn unassign(&self) -> Result<(), Failure> {
        // SAFETY: the client lives; null means nothing.
        checked(unsafe { c::rd_kafka_assign(self.rk, std::ptr::null()) })
    }

    /// Whether the assignment was lost, not only revoked.
    pub(super) fn is_lost(&self) -> bool {
        // SAFETY: the client lives.
        unsafe { c::rd_kafka_assignment_lost(self.rk) != 0 }
    }

    /// Generation and member id; -1 and empty before the first join.
    pub(super) fn generation(&self) -> (i32, String) {
        // SAFETY: the metadata is freed after its strings were copied.
        unsafe {
            let group = c::rd_kafka_consumer_group_metadata(self.rk);
            if group.is_null() {
                return (-1, String::new());
            }
            let generation = c::rd_kafka_consumer_group_metadata_generation_id(group);
            let member = text(c::rd_kafka_consumer_group_metadata_member_id(group));
            c::rd_kafka_consumer_group_metadata_destroy(group);
            (generation, member)
        }
    }

    /// Commits offsets; the answer comes by the queue.
    pub(super) fn commit(
        &self,
        offsets: &[(TopicPartition, CommittedOffset)],
        queue: &Queue,
    ) -> Result<(), Failure> {
        let list = List::of_offsets(offsets)?;
        // SAFETY: the list is copied; without a callback the answer is an event of the queue, which lives.
        checked(unsafe { c::rd_kafka_commit_queue(self.rk, list.0, queue.rkqu, None, std::ptr::null_mut()) })
    }

    /// Begins to leave the group; what there is to answer comes by the queue.
    pub(super) fn close(&self, queue: &Queue) -> Result<(), Failure> {
        // SAFETY: client and queue live; the error is taken over.
        settled(unsafe { c::rd_kafka_consumer_close_queue(self.rk, queue.rkqu) })
    }

    /// Whether it has left the group.
    pub(super) fn is_closed(&self) -> bool {
        // SAFETY: the client lives.
        unsafe { c::rd_kafka_consumer_closed(self.rk) != 0 }
    }
}

/// How long each of a producer's last calls may wait for its thread.
const LAST_WORD_MS: i32 = 100;

/// Aborts the transaction of a client that goes, if it has one.
///
/// A commit that was given up keeps others from being called until it is called to its end (`_CONFLICT`). It comes there once
/// nobody waits for reports any more: what was purged makes it fail, and what was not is decided already, as it was asked for.
///
/// # Safety
/// The handle lives, and nobody else has it.
unsafe fn abort_or_end(rk: *mut c::rd_kafka_t) {
    // SAFETY: the caller's.
    let abort = || settled(unsafe { c::rd_kafka_abort_transaction(rk, LAST_WORD_MS) });
    if !abort().is_err_and(|failure| failure.code == "_CONFLICT") {
        return;
    }
    // SAFETY: the caller's; events and the queue are ours, or null where there is none.
    unsafe {
        let queue = c::rd_kafka_queue_get_main(rk);
        if !queue.is_null() {
            loop {
                let event = c::rd_kafka_queue_poll(queue, 0);
                if event.is_null() {
                    break;
                }
                c::rd_kafka_event_destroy(event);
            }
            c::rd_kafka_queue_destroy(queue);
        }
        let _ = settled(c::rd_kafka_commit_transaction(rk, LAST_WORD_MS));
    }
    let _ = abort();
}

impl Drop for Client {
    /// Freeing waits for librdkafka's threads, for seconds where a broker does not answer: a thread of its own does.
    ///
    /// librdkafka (2.12.1) ends the process by an assertion (`txn_req_cnt > 0`) where a producer is freed at the moment at
    /// which it asks for partitions to be added to a transaction, as it does after the first record for each: its broker
    /// thread takes the request's end for counted before its main thread has counted it. A transaction that is being aborted
    /// asks for nothing more, so that comes first; what becomes of the abort does not matter.
    fn drop(&mut self) {
        // By their address: where no thread can be started they stay, as librdkafka's threads do that call them.
        let (rk, hooks) = (self.rk as usize, self.hooks.take().map(|hooks| Arc::into_raw(hooks) as usize));
        let free = move || {
            let rk = rk as *mut c::rd_kafka_t;
            // SAFETY: nobody else has the handle any more (rule 1); the hooks go after the threads that call them.
            unsafe {
                abort_or_end(rk);
                c::rd_kafka_destroy_flags(rk, c::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
            };
            // SAFETY: nobody calls them any more, and nobody else frees them.
            drop(hooks.map(|hooks| unsafe { Arc::from_raw(hooks as *const Hooks) }));
        };
        if let Err(error) = std::thread::Builder::new().name("headwater-reaper".to_owned()).spawn(free) {
            tracing::warn!(%error, "a client of librdkafka is not freed");
        }
    }
}

/// librdkafka's name of an error.
pub(super) fn code(err: c::rd_kafka_resp_err_t) -> &'static str {
    // SAFETY: the names are static.
    let name = unsafe { CStr::from_ptr(c::rd_kafka_err2name(err)) };
    super::verdict::kafka_name(name.to_str().unwrap_or("UNKNOWN"))
}

/// The failure of a code, if it is one.
fn failed(err: c::rd_kafka_resp_err_t) -> Option<Failure> {
    let failed = err != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    // SAFETY: the texts are static.
    failed.then(|| Failure::plain(err, unsafe { text(c::rd_kafka_err2str(err)) }))
}

fn checked(err: c::rd_kafka_resp_err_t) -> Result<(), Failure> {
    failed(err).map_or(Ok(()), Err)
}

/// Takes over an error; null is none.
fn settled(error: *mut c::rd_kafka_error_t) -> Result<(), Failure> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is ours, and freed after it was copied.
    unsafe {
        let failure = shown(error);
        c::rd_kafka_error_destroy(error);
        Err(failure)
    }
}

/// Copies an error.
///
/// # Safety
/// `error` lives.
unsafe fn shown(error: *const c::rd_kafka_error_t) -> Failure {
    // SAFETY: the caller's.
    unsafe {
        Failure {
            code: code(c::rd_kafka_error_code(error)),
            text: text(c::rd_kafka_error_string(error)),
            fatal: c::rd_kafka_error_is_fatal(error) != 0,
            abortable: c::rd_kafka_error_txn_requires_abort(error) != 0,
            retriable: c::rd_kafka_error_is_retriable(error) != 0,
        }
    }
}

fn terminated(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| Failure {
        code: "_INVALID_ARG",
        text: format!("`{}` holds a zero byte", text.escape_debug()),
        fatal: false,
        abortable: false,
        retriable: false,
    })
}

fn configuration(said: &[c_char]) -> Failure {
    Failure::plain(c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG, until_zero(said))
}

/// Copies a text; null is empty.
///
/// # Safety
/// `text` is null or ends in zero.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn until_zero(text: &[c_char]) -> String {
    let bytes = text.iter().take_while(|byte| **byte != 0).map(|byte| byte.to_ne_bytes()[0]);
    String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
}
