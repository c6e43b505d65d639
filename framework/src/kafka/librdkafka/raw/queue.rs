//! Queues of events, and events.

use std::ffi::c_void;
use std::sync::Arc;

use rdkafka::bindings as c;

use super::lists::placed;
use super::{Client, Failure, Placed, hooks, text};
use crate::kafka::librdkafka::bell::{Bell, Signal};

/// A queue of events.
#[derive(Debug)]
pub(in super::super) struct Queue {
    pub(super) rkqu: *mut c::rd_kafka_queue_t,
    signal: Arc<Signal>,
    client: Arc<Client>,
}

// SAFETY: a queue may be used by any thread; it is in the hands of one at a time.
unsafe impl Send for Queue {}

impl Queue {
    /// What is for the client as a whole: errors, delivery reports.
    pub(in super::super) fn main(client: &Arc<Client>, bell: &Arc<Bell>) -> Self {
        // SAFETY: the client lives, and is kept by the queue.
        Self::of(client, unsafe { c::rd_kafka_queue_get_main(client.rk) }, bell)
    }

    /// What is for a member of a group.
    pub(in super::super) fn member(client: &Arc<Client>, bell: &Arc<Bell>) -> Self {
        // SAFETY: as above; errors of the client come here as well.
        let rkqu = unsafe {
            c::rd_kafka_poll_set_consumer(client.rk);
            c::rd_kafka_queue_get_consumer(client.rk)
        };
        Self::of(client, rkqu, bell)
    }

    /// A queue for answers.
    pub(in super::super) fn answers(client: &Arc<Client>, bell: &Arc<Bell>) -> Self {
        // SAFETY: as above.
        Self::of(client, unsafe { c::rd_kafka_queue_new(client.rk) }, bell)
    }

    pub(super) fn of(client: &Arc<Client>, rkqu: *mut c::rd_kafka_queue_t, bell: &Arc<Bell>) -> Self {
        let signal = Arc::new(Signal::new(bell));
        let opaque = Arc::as_ptr(&signal).cast_mut().cast::<c_void>();
        // SAFETY: the signal lives until `drop` has taken the callback away.
        unsafe { c::rd_kafka_queue_cb_event_enable(rkqu, Some(hooks::on_event), opaque) };
        Self { rkqu, signal, client: Arc::clone(client) }
    }

    /// Its client.
    pub(in super::super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// What tells that there is something.
    pub(in super::super) fn signal(&self) -> &Signal {
        &self.signal
    }

    /// The error of an event of this queue, if it has one; where a certificate does not verify, with what is wrong with it.
    pub(in super::super) fn failure(&self, event: &Event) -> Option<Failure> {
        let failure = event.failure()?;
        let unverified = failure.text.contains("certificate verify failed");
        let distrust = self.client.hooks.as_ref().filter(|_| unverified).and_then(|hooks| hooks.distrust());
        Some(match distrust {
            Some(text) => Failure { text, ..failure },
            None => failure,
        })
    }

    /// The next event, if the signal was raised.
    pub(in super::super) fn next(&self) -> Option<Event> {
        if self.signal.take() { self.poll() } else { None }
    }

    /// The next event. For a member of a group it also says that the member is alive.
    pub(in super::super) fn poll(&self) -> Option<Event> {
        // SAFETY: the queue lives; the event is taken over.
        let rkev = unsafe { c::rd_kafka_queue_poll(self.rkqu, 0) };
        if rkev.is_null() {
            return None;
        }
        self.signal.keep();
        Some(Event { rkev })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the callback runs under the queue's lock, so that it does not any more once it is taken away.
        unsafe {
            c::rd_kafka_queue_cb_event_enable(self.rkqu, None, std::ptr::null_mut());
            c::rd_kafka_queue_destroy(self.rkqu);
        }
    }
}

/// Something that a queue has brought.
#[derive(Debug)]
pub(in super::super) struct Event {
    pub(super) rkev: *mut c::rd_kafka_event_t,
}

impl Event {
    /// One of `RD_KAFKA_EVENT_*`.
    pub(in super::super) fn kind(&self) -> i32 {
        // SAFETY: the event lives.
        unsafe { c::rd_kafka_event_type(self.rkev) }
    }

    /// Its error, if it has one. Assignments and revocations are told by one as well.
    pub(in super::super) fn failure(&self) -> Option<Failure> {
        // SAFETY: the event lives; its text is copied.
        unsafe {
            let err = c::rd_kafka_event_error(self.rkev);
            let failed = err != c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            failed.then(|| Failure::plain(err, text(c::rd_kafka_event_error_string(self.rkev))))
        }
    }

    /// The partitions that it is about.
    pub(in super::super) fn partitions(&self) -> Vec<Placed> {
        // SAFETY: the list belongs to the event, and is copied.
        unsafe { placed(c::rd_kafka_event_topic_partition_list(self.rkev)) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours.
        unsafe { c::rd_kafka_event_destroy(self.rkev) };
    }
}
