//! The C functions of librdkafka as the floor calls them: batches of messages in, single records out, delivery reports in
//! batches. All `unsafe` of the bench is here. Handles live as long as the process, which ends without freeing them.

use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;

use rdkafka::bindings as c;

use super::super::Fallible;

/// Messages that a call brings at most.
const ROOM: usize = 4_096;
/// Room for a message of librdkafka's.
const TEXT: usize = 512;
/// How long a call to the cluster may take.
const PATIENCE_MS: i32 = 30_000;

/// A topic of a client.
#[derive(Clone, Copy)]
pub(super) struct Topic {
    rkt: *mut c::rd_kafka_topic_t,
    partitions: i32,
}

impl Topic {
    /// How many partitions it has.
    pub(super) fn partitions(self) -> i32 {
        self.partitions
    }
}

/// A client with these settings; delivery reports and errors come by its main queue.
fn client(kind: c::rd_kafka_type_t, settings: &[(&str, &str)]) -> Fallible<*mut c::rd_kafka_t> {
    let mut text = [0; TEXT];
    // SAFETY: strings are copied; the configuration belongs to the client once that is made.
    unsafe {
        let said = |text: &[std::ffi::c_char]| CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned();
        let conf = c::rd_kafka_conf_new();
        for (name, value) in settings {
            let (name, value) = (CString::new(*name)?, CString::new(*value)?);
            let set = c::rd_kafka_conf_set(conf, name.as_ptr(), value.as_ptr(), text.as_mut_ptr(), TEXT);
            if set != c::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                return Err(said(&text).into());
            }
        }
        c::rd_kafka_conf_set_events(conf, c::RD_KAFKA_EVENT_DR | c::RD_KAFKA_EVENT_ERROR);
        let rk = c::rd_kafka_new(kind, conf, text.as_mut_ptr(), TEXT);
        if rk.is_null() { Err(said(&text).into()) } else { Ok(rk) }
    }
}

fn topic(rk: *mut c::rd_kafka_t, name: &str) -> Fallible<Topic> {
    let name = CString::new(name)?;
    // SAFETY: the client lives; the name is copied; the metadata is read before it is freed.
    unsafe {
        let rkt = c::rd_kafka_topic_new(rk, name.as_ptr(), null_mut());
        let mut metadata = std::ptr::null();
        checked(c::rd_kafka_metadata(rk, 0, rkt, &raw mut metadata, PATIENCE_MS))?;
        let partitions = (*(*metadata).topics).partition_cnt;
        c::rd_kafka_metadata_destroy(metadata);
        Ok(Topic { rkt, partitions })
    }
}

fn checked(err: c::rd_kafka_resp_err_t) -> Fallible<()> {
    if err == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: the texts are static.
    Err(unsafe { CStr::from_ptr(c::rd_kafka_err2str(err)) }.to_string_lossy().into())
}

/// Takes over an error; null is none.
fn settled(error: *mut c::rd_kafka_error_t) -> Fallible<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is ours, and freed after it was copied.
    unsafe {
        let text = CStr::from_ptr(c::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        c::rd_kafka_error_destroy(error);
        Err(text.into())
    }
}

/// A consumer: the partitions of a topic, by one queue.
pub(super) struct Reader {
    rk: *mut c::rd_kafka_t,
    rkqu: *mut c::rd_kafka_queue_t,
    name: CString,
    messages: Vec<*mut c::rd_kafka_message_t>,
}

/// A message, while it is shown.
pub(super) struct Message<'a> {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl Reader {
    /// Starts to read all partitions of a topic from where the group has left them.
    pub(super) fn new(settings: &[(&str, &str)], name: &str) -> Fallible<Self> {
        let rk = client(c::rd_kafka_type_t::RD_KAFKA_CONSUMER, settings)?;
        let topic = topic(rk, name)?;
        // SAFETY: client, topic and queue live.
        let rkqu = unsafe { c::rd_kafka_queue_new(rk) };
        for partition in 0..topic.partitions {
            let stored = i64::from(c::RD_KAFKA_OFFSET_STORED);
            // SAFETY: as above.
            let started = unsafe { c::rd_kafka_consume_start_queue(topic.rkt, partition, stored, rkqu) };
            if started != 0 {
                return Err(format!("{name}-{partition} cannot be read").into());
            }
        }
        Ok(Self { rk, rkqu, name: CString::new(name)?, messages: vec![null_mut(); ROOM] })
    }

    /// Shows what has come, or comes within `wait_ms`. Returns how many partitions told that this was all of them.
    pub(super) fn take(
        &mut self,
        wait_ms: i32,
        mut show: impl FnMut(&Message<'_>) -> Fallible<()>,
    ) -> Fallible<i32> {
        let (room, messages) = (self.messages.len(), self.messages.as_mut_ptr());
        // SAFETY: there is room for that many.
        let count = unsafe { c::rd_kafka_consume_batch_queue(self.rkqu, wait_ms, messages, room) };
        let mut ends = 0;
        let mut outcome = Ok(());
        for message in &self.messages[..usize::try_from(count).unwrap_or(0)] {
            // SAFETY: the first `count` are messages, each ours, and freed once it was shown.
            unsafe {
                let it = &**message;
                if it.err == c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF {
                    ends += 1;
                } else if outcome.is_ok() {
                    let shown = Message {
                        partition: it.partition,
                        offset: it.offset,
                        timestamp: c::rd_kafka_message_timestamp(it, null_mut()),
                        key: std::slice::from_raw_parts(it.key.cast(), it.key_len),
                        value: std::slice::from_raw_parts(it.payload.cast(), it.len),
                    };
                    outcome = checked(it.err).and_then(|()| show(&shown));
                }
                c::rd_kafka_message_destroy(*message);
            }
        }
        outcome.map(|()| ends)
    }

    /// Commits the offsets to read next, by partition.
    pub(super) fn commit(&self, next: &[i64]) -> Fallible<()> {
        let list = self.list(next);
        // SAFETY: the client lives; the list is freed.
        unsafe {
            let err = c::rd_kafka_commit(self.rk, list, 0);
            c::rd_kafka_topic_partition_list_destroy(list);
            checked(err)
        }
    }

    /// Offsets to read next by partition; below zero is none.
    fn list(&self, next: &[i64]) -> *mut c::rd_kafka_topic_partition_list_t {
        // SAFETY: the name is copied; whoever gets the list frees it.
        unsafe {
            let list = c::rd_kafka_topic_partition_list_new(4);
            for (partition, offset) in (0..).zip(next).filter(|(_, offset)| **offset >= 0) {
                let entry = c::rd_kafka_topic_partition_list_add(list, self.name.as_ptr(), partition);
                (*entry).offset = *offset;
            }
            list
        }
    }
}

/// A producer, with transactions or without.
pub(super) struct Writer {
    rk: *mut c::rd_kafka_t,
    main: *mut c::rd_kafka_queue_t,
    reports: Vec<*const c::rd_kafka_message_t>,
    in_flight: usize,
}

impl Writer {
    pub(super) fn new(settings: &[(&str, &str)]) -> Fallible<Self> {
        let rk = client(c::rd_kafka_type_t::RD_KAFKA_PRODUCER, settings)?;
        // SAFETY: the client lives.
        let main = unsafe { c::rd_kafka_queue_get_main(rk) };
        Ok(Self { rk, main, reports: Vec::new(), in_flight: 0 })
    }

    pub(super) fn topic(&self, name: &str) -> Fallible<Topic> {
        topic(self.rk, name)
    }

    /// Queues a record; waits for room.
    pub(super) fn produce(
        &mut self,
        (topic, partition): (Topic, i32),
        key: &[u8],
        value: &[u8],
        timestamp: i64,
    ) -> Fallible<()> {
        use c::rd_kafka_vtype_t as V;
        use c::rd_kafka_vu_s__bindgen_ty_1 as Union;
        let bytes = |bytes: &[u8]| Union {
            mem: c::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
                ptr: bytes.as_ptr().cast_mut().cast::<c_void>(),
                size: bytes.len(),
            },
        };
        let vu = |vtype, u| c::rd_kafka_vu_s { vtype, u };
        let fields = [
            vu(V::RD_KAFKA_VTYPE_RKT, Union { rkt: topic.rkt }),
            vu(V::RD_KAFKA_VTYPE_PARTITION, Union { i32_: partition }),
            vu(V::RD_KAFKA_VTYPE_MSGFLAGS, Union { i: c::RD_KAFKA_MSG_F_COPY }),
            vu(V::RD_KAFKA_VTYPE_TIMESTAMP, Union { i64_: timestamp }),
            vu(V::RD_KAFKA_VTYPE_KEY, bytes(key)),
            vu(V::RD_KAFKA_VTYPE_VALUE, bytes(value)),
        ];
        loop {
            // SAFETY: client and topic live; key and value are copied (`MSG_F_COPY`).
            let error = unsafe { c::rd_kafka_produceva(self.rk, fields.as_ptr(), fields.len()) };
            if error.is_null() {
                self.in_flight += 1;
                return Ok(());
            }
            // SAFETY: the error is ours until `settled` takes it over.
            let code = unsafe { c::rd_kafka_error_code(error) };
            let failed = settled(error);
            if code != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL {
                return failed;
            }
            self.drain(1)?;
        }
    }

    /// Takes the delivery reports that are there; waits for the first.
    pub(super) fn drain(&mut self, mut wait_ms: i32) -> Fallible<()> {
        loop {
            // SAFETY: the queue lives; the event is ours, its messages are looked at before it is freed.
            unsafe {
                let event = c::rd_kafka_queue_poll(self.main, wait_ms);
                if event.is_null() {
                    return Ok(());
                }
                if c::rd_kafka_event_type(event) == c::RD_KAFKA_EVENT_DR {
                    let count = c::rd_kafka_event_message_count(event);
                    self.reports.resize(count, std::ptr::null());
                    let count = c::rd_kafka_event_message_array(event, self.reports.as_mut_ptr(), count);
                    self.in_flight -= count;
                    self.reports[..count].iter().try_for_each(|report| checked((**report).err))?;
                }
                c::rd_kafka_event_destroy(event);
            }
            wait_ms = 0;
        }
    }

    /// Waits until everything is acknowledged.
    pub(super) fn flush(&mut self) -> Fallible<()> {
        while self.in_flight > 0 {
            self.drain(1)?;
        }
        Ok(())
    }

    pub(super) fn init(&self) -> Fallible<()> {
        // SAFETY: the client lives; the error is taken over. So below.
        settled(unsafe { c::rd_kafka_init_transactions(self.rk, PATIENCE_MS) })
    }

    pub(super) fn begin(&self) -> Fallible<()> {
        // SAFETY: as above.
        settled(unsafe { c::rd_kafka_begin_transaction(self.rk) })
    }

    /// Ends the transaction with a reader's offsets; everything is acknowledged already.
    pub(super) fn commit(&self, reader: &Reader, next: &[i64]) -> Fallible<()> {
        let list = reader.list(next);
        // SAFETY: as above; list and metadata are freed.
        unsafe {
            let group = c::rd_kafka_consumer_group_metadata(reader.rk);
            let sent = c::rd_kafka_send_offsets_to_transaction(self.rk, list, group, PATIENCE_MS);
            c::rd_kafka_consumer_group_metadata_destroy(group);
            c::rd_kafka_topic_partition_list_destroy(list);
            settled(sent)?;
            settled(c::rd_kafka_commit_transaction(self.rk, PATIENCE_MS))
        }
    }
}
