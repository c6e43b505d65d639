//! Listing: the names of all topics. librdkafka has only a call for them that waits, so a thread makes it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::task::Poll;

use super::bell::Bell;
use super::questions::TIMEOUT_MS;
use super::raw::Failure;
use super::{Core, verdict};
use crate::kafka::{Answer, Fault, KafkaError};
use crate::topic::TopicName;

/// One who asks for the names of all topics.
#[derive(Debug)]
pub(super) struct Listing {
    core: Arc<Core>,
    bell: Arc<Bell>,
    /// Where the answer comes, while the call is under way.
    inbox: Option<Receiver<Result<Vec<TopicName>, Failure>>>,
}

impl Listing {
    pub(super) fn new(core: &Arc<Core>, bell: &Arc<Bell>) -> Self {
        Self { core: Arc::clone(core), bell: Arc::clone(bell), inbox: None }
    }

    /// See [`Admin::topics`](crate::kafka::Admin::topics).
    pub(super) fn topics(&mut self) -> Answer<Vec<TopicName>> {
        self.core.listen();
        if let Some(error) = self.core.line.turned_away() {
            return Poll::Ready(Err(error));
        }
        let Some(inbox) = &self.inbox else {
            self.inbox = Some(self.ask()?);
            return Poll::Pending;
        };
        let answer = match inbox.try_recv() {
            Err(TryRecvError::Empty) => return Poll::Pending,
            Err(TryRecvError::Disconnected) => Err(unasked("the thread that asks is gone")),
            Ok(answer) => answer.map_err(|failure| {
                let fault = verdict::plain(&failure);
                self.core.line.told(failure, fault)
            }),
        };
        self.inbox = None;
        Poll::Ready(answer.map(|mut names| {
            names.sort_unstable();
            names
        }))
    }

    fn ask(&self) -> Result<Receiver<Result<Vec<TopicName>, Failure>>, KafkaError> {
        let (outbox, inbox) = channel();
        let (client, bell) = (Arc::clone(self.core.client()), Arc::clone(&self.bell));
        let ask = move || {
            // Whoever asked may be gone.
            let _ = outbox.send(client.list_topics(TIMEOUT_MS));
            bell.ring();
        };
        let thread = std::thread::Builder::new().name("headwater-listing".to_owned()).spawn(ask);
        thread.map(|_| inbox).map_err(|error| unasked(&error.to_string()))
    }
}

fn unasked(why: &str) -> KafkaError {
    let message = format!("topics cannot be listed: {why}");
    KafkaError { code: "_FAIL", fault: Fault::Refused, message }
}
