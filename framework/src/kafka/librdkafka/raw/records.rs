//! Records across the border, in batches: a partition's messages in, messages out, and what became of them.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use rdkafka::bindings as c;

use super::{Client, Event, Failure, Queue, checked, failed, settled, terminated};
use crate::kafka::librdkafka::bell::Bell;
use crate::record::{RawRecord, RecordBatch};

/// A topic as a client knows it.
#[derive(Debug)]
pub(in super::super) struct Topic {
    rkt: *mut c::rd_kafka_topic_t,
    name: CString,
    client: Arc<Client>,
}

// SAFETY: a topic's handle may be used by any thread.
unsafe impl Send for Topic {}

impl Topic {
    pub(in super::super) fn new(client: &Arc<Client>, name: &str) -> Result<Self, Failure> {
        let name = terminated(name)?;
        // SAFETY: the client lives, and is kept; the name is copied.
        let rkt = unsafe { c::rd_kafka_topic_new(client.rk, name.as_ptr(), null_mut()) };
        if rkt.is_null() {
            // SAFETY: what went wrong last on this thread.
            return Err(failed(unsafe { c::rd_kafka_last_error() }).unwrap_or_else(|| unknown(&name)));
        }
        Ok(Self { rkt, name, client: Arc::clone(client) })
    }

    /// The queue of a partition's messages; to know when some have come.
    pub(in super::super) fn queue(&self, partition: i32, bell: &Arc<Bell>) -> Option<Queue> {
        // SAFETY: client and topic live.
        let rkqu = unsafe { c::rd_kafka_queue_get_partition(self.client.rk, self.name.as_ptr(), partition) };
        (!rkqu.is_null()).then(|| Queue::of(&self.client, rkqu, bell))
    }

    /// Starts to fetch a partition, from `offset` on.
    pub(in super::super) fn start(&self, partition: i32, offset: i64) -> Result<(), Failure> {
        // SAFETY: the topic lives.
        self.answered(unsafe { c::rd_kafka_consume_start(self.rkt, partition, offset) })
    }

    /// Stops to fetch a partition; waits for the thread that fetches.
    pub(in super::super) fn stop(&self, partition: i32) -> Result<(), Failure> {
        // SAFETY: the topic lives.
        self.answered(unsafe { c::rd_kafka_consume_stop(self.rkt, partition) })
    }

    fn answered(&self, result: i32) -> Result<(), Failure> {
        if result == 0 {
            return Ok(());
        }
        // SAFETY: what went wrong last on this thread.
        Err(failed(unsafe { c::rd_kafka_last_error() }).unwrap_or_else(|| unknown(&self.name)))
    }

    /// What has come for a partition, `buffer.limit` messages at most.
    pub(in super::super) fn consume<'a>(&'a self, partition: i32, buffer: &'a mut Buffer) -> Messages<'a> {
        let room = buffer.limit.min(buffer.messages.len());
        // SAFETY: the buffer has that much room; without time to wait only what is there is taken.
        let count =
            unsafe { c::rd_kafka_consume_batch(self.rkt, partition, 0, buffer.messages.as_mut_ptr(), room) };
        let count = usize::try_from(count).unwrap_or(0);
        Messages { messages: &buffer.messages[..count], inner: buffer.inner }
    }

    /// Queues a record with this timestamp (0: now); `false` if the client's queue is full.
    pub(in super::super) fn produce(
        &self,
        partition: i32,
        record: &RawRecord<'_>,
        timestamp: i64,
    ) -> Result<bool, Failure> {
        use c::rd_kafka_vtype_t as V;
        let bytes = |bytes: Option<&[u8]>| {
            let ptr = bytes.map_or(null_mut(), |bytes| bytes.as_ptr().cast_mut().cast::<c_void>());
            c::rd_kafka_vu_s__bindgen_ty_1 {
                mem: c::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size: bytes.map_or(0, <[u8]>::len) },
            }
        };
        let vu = |vtype, u| c::rd_kafka_vu_s { vtype, u };
        let headers = if record.has_headers() { self.headers(record) } else { null_mut() };
        let fields = [
            vu(V::RD_KAFKA_VTYPE_RKT, c::rd_kafka_vu_s__bindgen_ty_1 { rkt: self.rkt }),
            vu(V::RD_KAFKA_VTYPE_PARTITION, c::rd_kafka_vu_s__bindgen_ty_1 { i32_: partition }),
            vu(V::RD_KAFKA_VTYPE_MSGFLAGS, c::rd_kafka_vu_s__bindgen_ty_1 { i: c::RD_KAFKA_MSG_F_COPY }),
            vu(V::RD_KAFKA_VTYPE_TIMESTAMP, c::rd_kafka_vu_s__bindgen_ty_1 { i64_: timestamp }),
            vu(V::RD_KAFKA_VTYPE_KEY, bytes(record.key)),
            vu(V::RD_KAFKA_VTYPE_VALUE, bytes(record.value)),
            vu(V::RD_KAFKA_VTYPE_HEADERS, c::rd_kafka_vu_s__bindgen_ty_1 { headers }),
        ];
        let count = fields.len() - usize::from(headers.is_null());
        // SAFETY: key and value are copied (`MSG_F_COPY`); the headers belong to the client unless it refuses them.
        unsafe {
            let error = c::rd_kafka_produceva(self.client.rk, fields.as_ptr(), count);
            if error.is_null() {
                return Ok(true);
            }
            if !headers.is_null() {
                c::rd_kafka_headers_destroy(headers);
            }
            let full = c::rd_kafka_error_code(error) == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL;
            let failure = settled(error);
            if full { Ok(false) } else { failure.map(|()| true) }
        }
    }

    fn headers(&self, record: &RawRecord<'_>) -> *mut c::rd_kafka_headers_t {
        // SAFETY: names and values are copied.
        unsafe {
            let headers = c::rd_kafka_headers_new(4);
            for (name, value) in record.headers() {
                let (ptr, len) = value.map_or((std::ptr::null(), 0), |value| (value.as_ptr(), value.len()));
                c::rd_kafka_header_add(
                    headers,
                    name.as_ptr().cast(),
                    name.len().cast_signed(),
                    ptr.cast(),
                    len.cast_signed(),
                );
            }
            headers
        }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours; messages keep the topic by themselves.
        unsafe { c::rd_kafka_topic_destroy(self.rkt) };
    }
}

fn unknown(name: &CString) -> Failure {
    Failure {
        code: "UNKNOWN_TOPIC_OR_PARTITION",
        text: format!("topic `{}` cannot be used", name.to_string_lossy()),
        fatal: false,
        abortable: false,
        retriable: false,
    }
}

/// Room for the messages of one call.
#[derive(Debug)]
pub(in super::super) struct Buffer {
    messages: Vec<*mut c::rd_kafka_message_t>,
    pub(in super::super) limit: usize,
    /// Whether messages are [`Inner`] inside.
    inner: bool,
}

// SAFETY: between two calls it holds nothing.
unsafe impl Send for Buffer {}

impl Buffer {
    pub(in super::super) fn new(room: usize) -> Self {
        Self { messages: vec![null_mut(); room], limit: room, inner: is_known_inside() }
    }

    /// The most that a call may bring.
    pub(in super::super) fn room(&self) -> usize {
        self.messages.len()
    }
}

/// Messages of one call, each of them ours to free. Who does not look at them has lost them.
#[must_use]
pub(in super::super) struct Messages<'a> {
    messages: &'a [*mut c::rd_kafka_message_t],
    inner: bool,
}

impl Messages<'_> {
    pub(in super::super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Shows them in order.
    pub(in super::super) fn each(mut self, mut show: impl FnMut(Message<'_>)) {
        while let Some(message) = self.messages.first() {
            let inner = if self.inner { message.cast_const().cast() } else { null() };
            // SAFETY: it is a message, and freed only once it was shown.
            show(Message { it: unsafe { &**message }, inner });
            self.free_first();
        }
    }

    fn free_first(&mut self) {
        if let Some((message, others)) = self.messages.split_first() {
            self.messages = others;
            // SAFETY: it is a message, and ours; nobody else has it any more.
            unsafe { c::rd_kafka_message_destroy(*message) };
        }
    }
}

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        while !self.messages.is_empty() {
            self.free_first();
        }
    }
}

/// A message, while it is shown.
#[derive(Clone, Copy)]
pub(in super::super) struct Message<'a> {
    it: &'a c::rd_kafka_message_t,
    /// The same inside, where it was read and its form is known.
    inner: *const Inner,
}

/// The version of librdkafka, 2.12.1, whose messages are [`Inner`] inside.
const INNER_VERSION: i32 = 0x020c_01ff;

/// Whether messages are [`Inner`] inside.
fn is_known_inside() -> bool {
    // SAFETY: a number that is built in.
    unsafe { c::rd_kafka_version() == INNER_VERSION }
}

/// How a message begins inside of librdkafka (`rd_kafka_msg_t` in its `rdkafka_msg.h`). For what it has no function, or none
/// that is cheap: to ask for headers costs as much as all the rest of a message, even where there are none.
#[repr(C)]
struct Inner {
    message: c::rd_kafka_message_t,
    link: [*const c_void; 2],
    flags: c_int,
    timestamp_type: c_int,
    timestamp: i64,
    headers: *const c_void,
    status: c_int,
    broker: i32,
    /// Bytes of the headers as they were fetched, with their count; one where that is 0.
    headers_len: i32,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(std::mem::offset_of!(Inner, headers_len) == 120, "as the C compiler lays it out");

impl<'a> Message<'a> {
    /// The end of the partition, if that is what it tells.
    pub(in super::super) fn end(self) -> Option<i64> {
        let is_end = self.it.err == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF;
        is_end.then_some(self.it.offset)
    }

    /// What is wrong, if it tells that.
    pub(in super::super) fn failure(self) -> Option<Failure> {
        let mut failure = failed(self.it.err)?;
        if !self.it.payload.is_null() {
            // SAFETY: the payload of an error is its text.
            let text = unsafe { std::slice::from_raw_parts(self.it.payload.cast(), self.it.len) };
            failure.text = String::from_utf8_lossy(text).into_owned();
        }
        Some(failure)
    }

    /// Where the partition has it.
    pub(in super::super) fn offset(self) -> i64 {
        self.it.offset
    }

    /// Key, `None` for null.
    pub(in super::super) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: the message lives as long as it is shown; an empty key has a pointer, a null one has none.
        unsafe { bytes(self.it.key, self.it.key_len) }
    }

    /// Value, `None` for null.
    pub(in super::super) fn value(self) -> Option<&'a [u8]> {
        // SAFETY: as above.
        unsafe { bytes(self.it.payload, self.it.len) }
    }

    /// Milliseconds; -1 where it has none.
    pub(in super::super) fn timestamp(self) -> i64 {
        if self.it.err != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && !self.inner.is_null() {
            // The function below has none of a message that was not delivered.
            // SAFETY: messages are so inside in this version, and live as long as they are shown.
            return unsafe { (*self.inner).timestamp };
        }
        // SAFETY: the message lives; null says that the kind of time is not asked for.
        unsafe { c::rd_kafka_message_timestamp(self.it, null_mut()) }
    }

    fn may_have_headers(self) -> bool {
        // SAFETY: messages are so inside in this version, and live as long as they are shown.
        self.inner.is_null() || unsafe { (*self.inner).headers_len } > 1
    }

    /// Adds it to a batch.
    pub(in super::super) fn push_to(self, batch: &mut RecordBatch) {
        batch.push(self.timestamp(), self.key(), self.value(), self.offset());
        if !self.may_have_headers() {
            return;
        }
        let mut headers = null_mut();
        // SAFETY: the headers belong to the message.
        let err = unsafe { c::rd_kafka_message_headers(self.it, &raw mut headers) };
        if err != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut len) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: as above; beyond the last header there is an error.
            unsafe {
                let err =
                    c::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut len);
                if err != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return;
                }
                batch.push_header(&super::text(name), bytes(value, len));
            }
        }
    }
}

/// The bytes at a place; null is none.
///
/// # Safety
/// `at` is null, or has `len` bytes that live for `'a`.
unsafe fn bytes<'a>(at: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's.
    (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at.cast(), len) })
}

/// What became of messages that were sent.
#[derive(Debug)]
pub(in super::super) struct Reports<'a> {
    messages: Vec<*const c::rd_kafka_message_t>,
    event: std::marker::PhantomData<&'a Event>,
}

impl Reports<'_> {
    /// The same, partition by partition.
    pub(in super::super) fn partitions(&self) -> impl Iterator<Item = Delivery<'_>> {
        // SAFETY: the messages live as long as their event.
        let place = |message: *const c::rd_kafka_message_t| unsafe { ((*message).rkt, (*message).partition) };
        self.messages.chunk_by(move |a, b| place(*a) == place(*b)).map(|messages| Delivery { messages })
    }
}

/// Whose fault it is that a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Blame {
    /// Its own.
    Itself,
    /// That of another in its request.
    Another,
    /// Nobody says whose of those in its request.
    Unknown,
}

/// What librdkafka says of a message in a request of which a broker has named the records at fault. Where there is one of them
/// it gives that one's error to all (2.12.1, `rd_kafka_interceptors_on_acknowledgement_queue`); those that are not at fault
/// have a text that is built in. The other texts are freed by now: it is only asked where they lay.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Text {
    Another,
    At(*const c_char),
}

impl Text {
    fn of(message: *const c::rd_kafka_message_t) -> Self {
        // SAFETY: the message lives as long as its event; the text is not looked at.
        let (err, at) = unsafe { ((*message).err, c::rd_kafka_message_produce_errstr(message)) };
        let for_another = c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_DIFFERENT_RECORD;
        if err == for_another || is_built_in(at) { Self::Another } else { Self::At(at) }
    }
}

/// Whether this is a place in the program itself, or in a library that it has loaded.
fn is_built_in(at: *const c_char) -> bool {
    let mut found = std::mem::MaybeUninit::uninit();
    // SAFETY: an address is looked up, nothing is read there; what is found is not looked at.
    !at.is_null() && unsafe { libc::dladdr(at.cast(), found.as_mut_ptr()) } != 0
}

/// What became of messages that were sent: one partition's, in order.
#[derive(Debug)]
pub(in super::super) struct Delivery<'a> {
    messages: &'a [*const c::rd_kafka_message_t],
}

impl Delivery<'_> {
    /// How many.
    pub(in super::super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Topic and partition.
    pub(in super::super) fn place(&self) -> Option<(String, i32)> {
        let message = *self.messages.first()?;
        // SAFETY: the messages live as long as their event; the topic's name is copied.
        unsafe { Some((super::text(c::rd_kafka_topic_name((*message).rkt)), (*message).partition)) }
    }

    /// The messages that were not delivered, why, and whose fault it is.
    pub(in super::super) fn failures(&self) -> Vec<(Message<'_>, Failure, Blame)> {
        // SAFETY: as above.
        let messages = || self.messages.iter().map(|message| unsafe { &**message });
        if messages().all(|message| checked(message.err).is_ok()) {
            return Vec::new();
        }
        let texts: Vec<_> = self.messages.iter().map(|message| Text::of(*message)).collect();
        let mut times = HashMap::new();
        texts.iter().for_each(|text| *times.entry(*text).or_insert(0) += 1);
        let (is_known, some_are_innocent) = (is_known_inside(), times.contains_key(&Text::Another));
        let told = messages().zip(self.messages).zip(&texts).filter_map(|((it, message), text)| {
            let inner = if is_known { message.cast() } else { null() };
            let blame = match text {
                Text::Another => Blame::Another,
                Text::At(_) if some_are_innocent || times[text] == 1 => Blame::Itself,
                Text::At(_) => Blame::Unknown,
            };
            Some((Message { it, inner }, failed(it.err)?, blame))
        });
        told.collect()
    }

    /// The offset of the last one, if it was delivered.
    pub(in super::super) fn last_offset(&self) -> Option<i64> {
        // SAFETY: as above.
        let last = unsafe { &**self.messages.last()? };
        (checked(last.err).is_ok() && last.offset >= 0).then_some(last.offset)
    }
}

impl Event {
    /// librdkafka's statistics, if it tells them.
    pub(in super::super) fn statistics(&self) -> Option<&str> {
        // SAFETY: the text belongs to the event, and ends in zero; null says that the event is another.
        let text = unsafe { c::rd_kafka_event_stats(self.rkev) };
        // SAFETY: as above.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })?.to_str().ok()
    }

    /// What became of messages, if it tells that.
    pub(in super::super) fn reports(&self) -> Reports<'_> {
        // SAFETY: the array has room for all messages of the event, which it keeps.
        let messages = unsafe {
            let count = c::rd_kafka_event_message_count(self.rkev);
            let mut messages = vec![std::ptr::null(); count];
            let count = c::rd_kafka_event_message_array(self.rkev, messages.as_mut_ptr(), count);
            messages.truncate(count);
            messages
        };
        Reports { messages, event: std::marker::PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_librdkafka_is_that_whose_messages_are_known() {
        assert!(Buffer::new(1).inner, "compare `rd_kafka_msg_t` with `Inner`, then raise INNER_VERSION");
    }

    #[test]
    fn what_is_built_in_is_known_by_its_place() {
        let heap = CString::new("on the heap").unwrap();
        assert!(is_built_in(c"a literal".as_ptr()));
        assert!(!is_built_in(heap.as_ptr()) && !is_built_in(null()));
        // SAFETY: the texts are static.
        assert!(is_built_in(unsafe {
            c::rd_kafka_err2name(c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR)
        }));
    }
}
