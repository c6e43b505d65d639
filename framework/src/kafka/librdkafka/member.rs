//! Member: a consumer of a group that reads nothing. It tells which partitions are ours, and since when they are not.
//!
//! 1. An assignment is answered at once (with an empty one: the worker's [`Consumer`](crate::kafka::Consumer) reads). A
//!    revocation is answered by [`Membership::release`], when the tasks are gone: until then the coordinator waits, and the
//!    generation stays the old one.
//! 2. A static member that has lost its group joins by its name alone. A broker that has no time may come to such a request when
//!    we have given it up, and joined by another: then it takes us for somebody else, and fences us. So who is fenced soon after
//!    a loss joins once more, by a new client; who is fenced again has lost its place to another process. So has who was stopped
//!    for a session's time, and finds that it has been replaced.
//! 3. librdkafka does not tell of a revocation of nothing. Where an assignment follows another, the revocation is told here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::bindings::{RD_KAFKA_EVENT_ERROR, RD_KAFKA_EVENT_OFFSET_COMMIT, RD_KAFKA_EVENT_REBALANCE};

use super::bell::Bell;
use super::questions::Questions;
use super::raw::{Client, Event, Failure, Kind, Queue};
use super::servers::Servers;
use super::{Core, DOUBT_MS, GOSSIP_MS, verdict};
use crate::kafka::{
    Answer, CommittedOffset, Fault, GroupEvent, GroupMetadata, KafkaError, MemberOptions, Membership,
    OffsetCommit,
};
use crate::topic::{TopicName, TopicPartition};

/// Leaving takes this long at most, in steps.
const LEAVE_STEPS: u32 = 300;
const LEAVE_STEP: Duration = Duration::from_millis(10);
/// For so many sessions a request to join may be on its way that was given up.
const LATELY: i64 = 3;

/// A client that lives.
#[derive(Debug)]
struct Live {
    events: Queue,
    client: Arc<Client>,
    servers: Servers,
}

/// That a topic is unknown, as a broker says: since when, and when that is asked next.
#[derive(Debug)]
struct Doubt {
    failure: Failure,
    questions: Questions,
    since_ms: i64,
    at_ms: i64,
}

/// A member of a group by librdkafka.
#[derive(Debug)]
pub(super) struct KafkaMember {
    live: Result<Live, KafkaError>,
    core: Arc<Core>,
    bell: Arc<Bell>,
    options: MemberOptions,
    questions: Questions,
    topics: Vec<TopicName>,
    /// What is to be told.
    news: VecDeque<GroupEvent>,
    /// Whether partitions were told to be ours, and were not released.
    holding: bool,
    /// Whether a revocation was told, and the release is waited for: nothing else is told meanwhile.
    returning: bool,
    /// Whether librdkafka waits for the answer to a revocation.
    owes_answer: bool,
    /// Whether what is revoked next is lost, since we have given it up.
    gives_up: bool,
    /// When the group was lost last, until a fence is put down to that.
    lost_ms: Option<i64>,
    /// Whether to join again takes a new client.
    renews: bool,
    /// The last look at what there is, and the last one that came too late.
    polled_ms: i64,
    slept_ms: i64,
    /// The offsets that are being committed, and where the answer comes.
    committing: Option<(Vec<OffsetCommit>, Queue)>,
    doubt: Option<Doubt>,
    leaving: Option<JoinHandle<()>>,
}

impl KafkaMember {
    pub(super) fn new(core: &Arc<Core>, bell: &Arc<Bell>, options: &MemberOptions) -> Self {
        Self {
            live: Live::new(core, bell, options),
            core: Arc::clone(core),
            bell: Arc::clone(bell),
            options: options.clone(),
            questions: Questions::new(core, bell),
            topics: Vec::new(),
            news: VecDeque::new(),
            holding: false,
            returning: false,
            owes_answer: false,
            gives_up: false,
            lost_ms: None,
            renews: false,
            polled_ms: i64::MAX,
            slept_ms: i64::MIN,
            committing: None,
            doubt: None,
            leaving: None,
        }
    }

    fn client(&self) -> Result<&Arc<Client>, KafkaError> {
        self.live.as_ref().map(|live| &live.client).map_err(|error| error.clone())
    }

    fn take_in(&mut self, event: &Event, now_ms: i64) -> Result<(), KafkaError> {
        let live = self.live.as_ref().map_err(|error| error.clone())?;
        let Some(failure) = live.events.failure(event) else { return Ok(()) };
        if event.kind() != RD_KAFKA_EVENT_REBALANCE {
            return self.alarmed(failure, now_ms);
        }
        let client = self.client()?;
        if failure.code == "_ASSIGN_PARTITIONS" {
            let partitions = event.partitions().into_iter().map(|placed| placed.partition).collect();
            client.assign_nothing().map_err(|failure| failure.because(Fault::Stale))?;
            if self.holding {
                self.news.push_back(GroupEvent::Revoked);
            }
            self.holding = true;
            self.gives_up = false;
            self.news.push_back(GroupEvent::Assigned(partitions));
            return Ok(());
        }
        let is_lost = client.is_lost();
        if is_lost && now_ms.saturating_sub(self.slept_ms) > self.options.session_timeout_ms {
            self.lost_ms = Some(now_ms);
        }
        let lost = is_lost || std::mem::take(&mut self.gives_up);
        self.owes_answer = true;
        self.news.push_back(if lost { GroupEvent::Lost } else { GroupEvent::Revoked });
        Ok(())
    }

    fn alarmed(&mut self, failure: Failure, now_ms: i64) -> Result<(), KafkaError> {
        if let Some(fatal) = self.client()?.fatal() {
            if fatal.code != "FENCED_INSTANCE_ID" || !self.was_lost_lately(now_ms) {
                return Err(fatal.because(Fault::Stale));
            }
            self.renews = true;
            return Err(KafkaError {
                code: "UNKNOWN_MEMBER_ID",
                fault: Fault::Stale,
                message: "fenced, perhaps by a request of our own that came late".to_owned(),
            });
        }
        match verdict::plain(&failure) {
            // Brokers learn of a topic one after the other; librdkafka asks one of them, and tells it once. It asks again by
            // itself (`topic.metadata.refresh.interval.ms`), and joins anew once the topic is known.
            Fault::Refused if failure.code == "UNKNOWN_TOPIC_OR_PARTITION" => {
                let questions = || Questions::new(&self.core, &self.bell);
                self.doubt.get_or_insert_with(|| Doubt {
                    failure,
                    questions: questions(),
                    since_ms: now_ms,
                    at_ms: now_ms.saturating_add(GOSSIP_MS),
                });
                Ok(())
            }
            // Such as a topic that we may not read.
            Fault::Refused if !verdict::is_turned_away(&failure) && !failure.code.starts_with('_') => {
                Err(failure.because(Fault::Refused))
            }
            _ => {
                self.core.line.report(failure);
                Ok(())
            }
        }
    }

    /// Whether the group was lost a short while ago; a loss counts once.
    fn was_lost_lately(&mut self, now_ms: i64) -> bool {
        let lately_ms = LATELY * self.options.session_timeout_ms;
        self.lost_ms.take().is_some_and(|lost_ms| now_ms.saturating_sub(lost_ms) <= lately_ms)
    }

    /// Joins by a new client.
    fn renew(&mut self) {
        // What was fenced has no place that it could leave, and its revocations are nobody's.
        self.live = Live::new(&self.core, &self.bell, &self.options);
        self.doubt = None;
        self.owes_answer = false;
        self.gives_up = false;
        self.holding = false;
        self.news.clear();
        if !self.returning {
            self.news.push_back(GroupEvent::Lost);
        }
        self.join();
    }

    /// Asks whether a topic that a broker did not know is there. One that stays unknown is an error.
    fn clear_doubts(&mut self, now_ms: i64) -> Result<(), KafkaError> {
        let Some(mut doubt) = self.doubt.take_if(|doubt| doubt.at_ms <= now_ms) else { return Ok(()) };
        match doubt.questions.describe(&self.topics) {
            Poll::Pending => self.doubt = Some(doubt),
            Poll::Ready(Ok(found)) if found.iter().all(Option::is_some) => {
                tracing::info!(text = doubt.failure.text, "the topic is there, as a broker says by now");
            }
            Poll::Ready(Ok(_)) if now_ms.saturating_sub(doubt.since_ms) >= DOUBT_MS => {
                return Err(doubt.failure.because(Fault::Refused));
            }
            Poll::Ready(Err(error)) if error.fault != Fault::Retriable => return Err(error),
            Poll::Ready(_) => {
                doubt.at_ms = now_ms.saturating_add(GOSSIP_MS);
                self.doubt = Some(doubt);
            }
        }
        Ok(())
    }

    fn join(&mut self) {
        let topics = self.topics.iter().map(|topic| &**topic);
        if let Ok(live) = &self.live
            && let Err(failure) = live.client.subscribe(topics)
        {
            tracing::warn!(code = failure.code, text = failure.text, "cannot subscribe");
        }
    }
}

impl Membership for KafkaMember {
    fn subscribe(&mut self, topics: &[TopicName]) {
        self.topics = topics.to_vec();
        self.join();
    }

    fn poll(&mut self, now_ms: i64) -> Result<Option<GroupEvent>, KafkaError> {
        let last_ms = std::mem::replace(&mut self.polled_ms, now_ms);
        if now_ms.saturating_sub(last_ms) > self.options.session_timeout_ms {
            self.slept_ms = now_ms;
        }
        // A running application may have no question for weeks, but the client for them is connected.
        self.core.listen();
        let live = self.live.as_ref().map_err(|error| error.clone())?;
        live.servers.look_after(&live.client);
        while let Some(event) = self.live.as_ref().map_err(|error| error.clone())?.events.poll() {
            self.take_in(&event, now_ms)?;
        }
        self.clear_doubts(now_ms)?;
        if self.returning {
            return Ok(None);
        }
        let news = self.news.pop_front();
        self.returning = matches!(news, Some(GroupEvent::Revoked | GroupEvent::Lost));
        Ok(news)
    }

    fn release(&mut self) {
        self.returning = false;
        self.committing = None;
        self.holding = self.news.iter().any(|news| matches!(news, GroupEvent::Assigned(_)));
        if std::mem::take(&mut self.owes_answer)
            && let Ok(live) = &self.live
            && let Err(failure) = live.client.unassign()
        {
            tracing::warn!(code = failure.code, text = failure.text, "cannot give partitions back");
        }
    }

    fn rejoin(&mut self) {
        self.committing = None;
        if std::mem::take(&mut self.renews) {
            return self.renew();
        }
        let Ok(live) = &self.live else { return };
        if let Err(failure) = live.client.unsubscribe() {
            tracing::warn!(code = failure.code, text = failure.text, "cannot unsubscribe");
        }
        match self.holding {
            true => self.gives_up = true,
            false => self.news.push_back(GroupEvent::Lost),
        }
        self.join();
    }

    fn generation(&self) -> GroupMetadata {
        let (generation, member) = self.client().map_or((-1, String::new()), |client| client.generation());
        GroupMetadata {
            group: self.options.group.clone(),
            generation,
            member,
            instance: self.options.instance.clone(),
        }
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        now_ms: i64,
    ) -> Answer<Vec<Option<CommittedOffset>>> {
        self.questions.committed(&self.options.group, partitions, now_ms)
    }

    fn commit(&mut self, offsets: &[OffsetCommit], _: i64) -> Answer<()> {
        let live = self.live.as_ref().map_err(|error| error.clone())?;
        // The answer to others, which nobody waits for any more, is not the answer to these.
        let under_way = self.committing.take().filter(|(asked, _)| asked == offsets);
        let (asked, answers) = match under_way {
            Some(under_way) => under_way,
            None => {
                let answers = Queue::answers(&live.client, &self.bell);
                let asked = live.client.commit(offsets, &answers);
                asked.map_err(|failure| live.uncommitted(failure))?;
                (offsets.to_vec(), answers)
            }
        };
        let Some(event) = answers.next() else {
            self.committing = Some((asked, answers));
            return Poll::Pending;
        };
        let partitions = event.partitions();
        let failure = event.failure().or_else(|| partitions.iter().find_map(|placed| placed.failure.clone()));
        Poll::Ready(match failure {
            None => Ok(()),
            Some(failure) => {
                let topics = partitions.iter().map(|placed| &*placed.partition.topic);
                let failure = failure.with_topics("whose offsets are committed", topics);
                Err(live.uncommitted(failure))
            }
        })
    }

    fn leave(&mut self, _: i64) {
        let live = std::mem::replace(
            &mut self.live,
            Err(KafkaError {
                code: "UNKNOWN_MEMBER_ID",
                fault: Fault::Stale,
                message: "the group was left".to_owned(),
            }),
        );
        let Ok(live) = live else { return };
        let leave = move || live.leave();
        match std::thread::Builder::new().name("headwater-leave".to_owned()).spawn(leave) {
            Ok(thread) => self.leaving = Some(thread),
            Err(error) => {
                tracing::warn!(%error, "the group is not left: its other members wait for the session to end")
            }
        }
    }
}

impl Live {
    fn new(core: &Core, bell: &Arc<Bell>, options: &MemberOptions) -> Result<Self, KafkaError> {
        let events = RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_OFFSET_COMMIT;
        let client = core.connect(Kind::Consumer, &core.tuning.member(options), events)?;
        Ok(Self { events: Queue::member(&client, bell), client, servers: Servers::new(&core.line) })
    }

    /// Offsets that were not committed. What a fence means is said by [`Membership::poll`].
    fn uncommitted(&self, failure: Failure) -> KafkaError {
        let is_fenced = failure.code == "FENCED_INSTANCE_ID" || self.client.fatal().is_some();
        if is_fenced { failure.because(Fault::Retriable) } else { failure.judged(verdict::plain) }
    }

    /// Leaves the group, or goes silent where the member is static.
    fn leave(self) {
        let bell = Arc::new(Bell::default());
        let last = Queue::answers(&self.client, &bell);
        let begun = self.client.unassign().and_then(|()| self.client.close(&last));
        if let Err(failure) = begun {
            tracing::debug!(code = failure.code, text = failure.text, "cannot leave the group in order");
            return;
        }
        for _ in 0..LEAVE_STEPS {
            while let Some(event) = last.poll() {
                if event.kind() == RD_KAFKA_EVENT_REBALANCE {
                    let _ = self.client.unassign();
                }
            }
            if self.client.is_closed() {
                return;
            }
            bell.wait(LEAVE_STEP);
        }
        tracing::warn!("the group was not left in time: its other members wait for the session to end");
    }
}

impl Drop for KafkaMember {
    /// A process that ends at once would take the message that it leaves with it.
    fn drop(&mut self) {
        if let Some(thread) = self.leaving.take()
            && thread.join().is_err()
        {
            tracing::warn!("leaving the group has panicked");
        }
    }
}
