//! Questions: one at a time to the cluster, by the process's client for them; the answer comes by a queue of one's own.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::task::{Poll, ready};

use super::bell::Bell;
use super::raw::{Client, Described, Event, Failure, Placed, Queue};
use super::{Core, verdict};
use crate::kafka::{Answer, Isolation, KafkaError, NewTopic, TopicInfo};
use crate::topic::{TopicName, TopicPartition};

/// After this long without an answer a question is asked again, milliseconds.
pub(super) const TIMEOUT_MS: i32 = 10_000;
/// The longest that librdkafka waits for any answer, milliseconds.
pub(super) const LONGEST_MS: i32 = 3_600_000;
/// Between two questions whose answer is to become another, milliseconds.
const PAUSE_MS: i64 = 20;
/// What Kafka calls the first and the next offset of a partition.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// So many topics are named in an error.
const TOPICS_SHOWN: usize = 5;

/// What is asked, and what is known by then.
#[derive(Debug, Default)]
pub(super) enum Stage {
    #[default]
    Nothing,
    Topics,
    Configs(Vec<Described>),
    Changing,
    /// What was changed is looked for until then.
    Settling(i64),
    Starts,
    Ends(Vec<i64>),
    /// A question of one answer.
    Plain,
    /// One to the coordinator of a group, that was asked then.
    OfGroup(i64),
}

/// One who asks the cluster.
#[derive(Debug)]
pub(super) struct Questions {
    core: Arc<Core>,
    bell: Arc<Bell>,
    answers: Queue,
    pub(super) stage: Stage,
    pub(super) not_before_ms: i64,
}

impl Questions {
    pub(super) fn new(core: &Arc<Core>, bell: &Arc<Bell>) -> Self {
        let answers = Queue::answers(core.client(), bell);
        let (core, bell) = (Arc::clone(core), Arc::clone(bell));
        Self { core, bell, answers, stage: Stage::Nothing, not_before_ms: i64::MIN }
    }

    /// The answer to what was asked, once it is there.
    pub(super) fn answer(&mut self) -> Poll<Result<Event, KafkaError>> {
        self.core.listen();
        let event = self.answers.next();
        if let Some(error) = self.core.line.turned_away() {
            // Nobody will answer.
            self.close_ears();
            return Poll::Ready(Err(self.drop_question(error)));
        }
        let Some(event) = event else { return Poll::Pending };
        match event.failure() {
            Some(failure) => Poll::Ready(Err(self.fail(failure))),
            None => Poll::Ready(Ok(event)),
        }
    }

    /// What is answered to earlier questions is thrown away: it is no answer to the next one.
    fn close_ears(&mut self) {
        self.answers = Queue::answers(self.core.client(), &self.bell);
    }

    /// The question under way is over.
    pub(super) fn drop_question(&mut self, error: KafkaError) -> KafkaError {
        self.stage = Stage::Nothing;
        error
    }

    pub(super) fn fail(&mut self, failure: Failure) -> KafkaError {
        let fault = verdict::question(&failure);
        let error = self.core.line.told(failure, fault);
        self.drop_question(error)
    }

    /// Asks; what cannot even be asked is an error.
    pub(super) fn ask(
        &mut self,
        stage: Stage,
        ask: impl FnOnce(&Client, &Queue) -> Result<(), Failure>,
    ) -> Result<(), KafkaError> {
        ask(self.core.client(), &self.answers).map_err(|failure| self.fail(failure))?;
        self.stage = stage;
        Ok(())
    }

    /// The answer to a question that has one.
    pub(super) fn plain<T>(
        &mut self,
        ask: impl FnOnce(&Client, &Queue) -> Result<(), Failure>,
        unpack: impl FnOnce(&Event) -> Result<T, Failure>,
    ) -> Answer<T> {
        if matches!(self.stage, Stage::Nothing) {
            self.ask(Stage::Plain, ask)?;
        }
        self.unpacked(unpack)
    }

    /// The one answer to what was asked, once it is there.
    fn unpacked<T>(&mut self, unpack: impl FnOnce(&Event) -> Result<T, Failure>) -> Answer<T> {
        let event = ready!(self.answer())?;
        self.stage = Stage::Nothing;
        Poll::Ready(unpack(&event).map_err(|failure| self.fail(failure)))
    }

    /// As [`Questions::plain`], of the coordinator of a group. librdkafka has to be given [`LONGEST_MS`]: where it gives such a question
    /// up while it looks for the coordinator, what it finds later ends the process by an assertion (2.12.1, its issue 4605). Whoever
    /// asked is told in time all the same; the answer is thrown away when it comes.
    pub(super) fn of_group<T>(
        &mut self,
        ask: impl FnOnce(&Client, &Queue) -> Result<(), Failure>,
        unpack: impl FnOnce(&Event) -> Result<T, Failure>,
        now_ms: i64,
    ) -> Answer<T> {
        if matches!(self.stage, Stage::Nothing) {
            self.ask(Stage::OfGroup(now_ms), ask)?;
        }
        let answer = self.unpacked(unpack);
        if answer.is_pending()
            && let Stage::OfGroup(since_ms) = self.stage
            && now_ms.saturating_sub(since_ms) >= TIMEOUT_MS.into()
        {
            self.close_ears();
            return Poll::Ready(Err(self.fail(Failure::late("the coordinator of the group"))));
        }
        answer
    }

    /// See [`Admin::describe`](crate::kafka::Admin::describe).
    pub(super) fn describe(&mut self, names: &[TopicName]) -> Answer<Vec<Option<TopicInfo>>> {
        if names.is_empty() {
            return Poll::Ready(Ok(Vec::new()));
        }
        if matches!(self.stage, Stage::Nothing) {
            self.ask(Stage::Topics, |client, queue| client.describe_topics(names, queue, TIMEOUT_MS))?;
        }
        let event = ready!(self.answer())?;
        let found = match std::mem::take(&mut self.stage) {
            Stage::Configs(found) => return Poll::Ready(self.with_configs(names, found, &event)),
            _ => self.existing(event.topics())?,
        };
        if found.is_empty() {
            return Poll::Ready(Ok(vec![None; names.len()]));
        }
        let known: Vec<_> = found.iter().map(|topic| topic.name.clone()).collect();
        self.core.anchor(&known[0]);
        self.ask(Stage::Configs(found), |client, queue| client.describe_configs(&known, queue, TIMEOUT_MS))?;
        Poll::Pending
    }

    fn existing(&mut self, topics: Result<Vec<Described>, Failure>) -> Result<Vec<Described>, KafkaError> {
        let topics = topics.map_err(|failure| self.fail(failure))?;
        let mut found = Vec::with_capacity(topics.len());
        for mut topic in topics {
            match topic.failure.take() {
                None => found.push(topic),
                Some(failure) if failure.code == "UNKNOWN_TOPIC_OR_PARTITION" => {}
                Some(failure) => {
                    let text = format!("topic `{}`: {}", topic.name, failure.text);
                    return Err(self.fail(Failure { text, ..failure }));
                }
            }
        }
        Ok(found)
    }

    fn with_configs(
        &mut self,
        names: &[TopicName],
        found: Vec<Described>,
        event: &Event,
    ) -> Result<Vec<Option<TopicInfo>>, KafkaError> {
        let mut configs = HashMap::new();
        for listed in event.configs().map_err(|failure| self.fail(failure))? {
            match listed.failure {
                None => drop(configs.insert(listed.name, listed.configs)),
                // What may not be read demands nothing.
                Some(failure) if verdict::is_about_topic(failure.code) => {}
                Some(failure) => return Err(self.fail(failure)),
            }
        }
        let mut topics: HashMap<_, _> = found
            .into_iter()
            .map(|topic| {
                let configs = configs.remove(&topic.name).unwrap_or_default();
                let Described { name, id, partitions, .. } = topic;
                (name.clone(), TopicInfo { name, id, partitions, configs })
            })
            .collect();
        Ok(names.iter().map(|name| topics.remove(name)).collect())
    }

    /// See [`Admin::create`](crate::kafka::Admin::create). Ready once the topics can be seen.
    pub(super) fn create(&mut self, topics: &[NewTopic], now_ms: i64) -> Answer<()> {
        let names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
        let ask = |client: &Client, queue: &Queue| client.create_topics(topics, queue, TIMEOUT_MS);
        let judge = |event: &Event| flawless(&names, event.created()?, ("made", "TOPIC_ALREADY_EXISTS"));
        self.change(&names, names.len(), (ask, judge), now_ms)
    }

    /// See [`Admin::delete`](crate::kafka::Admin::delete). Ready once the topics cannot be seen.
    pub(super) fn delete(&mut self, names: &[TopicName], now_ms: i64) -> Answer<()> {
        let ask = |client: &Client, queue: &Queue| client.delete_topics(names, queue, TIMEOUT_MS);
        let judge =
            |event: &Event| flawless(names, event.deleted()?, ("deleted", "UNKNOWN_TOPIC_OR_PARTITION"));
        self.change(names, 0, (ask, judge), now_ms)
    }

    /// Has topics made or deleted, and is ready once as many of them as should be there can be seen.
    fn change(
        &mut self,
        names: &[TopicName],
        there: usize,
        (ask, judge): (
            impl FnOnce(&Client, &Queue) -> Result<(), Failure>,
            impl FnOnce(&Event) -> Result<(), Failure>,
        ),
        now_ms: i64,
    ) -> Answer<()> {
        if names.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match self.stage {
            Stage::Nothing => self.ask(Stage::Changing, ask)?,
            Stage::Settling(_) if now_ms < self.not_before_ms => return Poll::Pending,
            Stage::Settling(until_ms) if self.not_before_ms > i64::MIN => {
                self.not_before_ms = i64::MIN;
                let ask = |client: &Client, queue: &Queue| client.describe_topics(names, queue, TIMEOUT_MS);
                self.ask(Stage::Settling(until_ms), ask)?;
            }
            _ => {}
        }
        let event = ready!(self.answer())?;
        // It is done; that every broker knows of it takes a moment.
        (self.stage, self.not_before_ms) = match self.stage {
            Stage::Settling(until_ms) => {
                if self.existing(event.topics())?.len() == there {
                    self.stage = Stage::Nothing;
                    return Poll::Ready(Ok(()));
                }
                if now_ms >= until_ms {
                    return Poll::Ready(Err(self.fail(unsettled(names))));
                }
                (Stage::Settling(until_ms), now_ms.saturating_add(PAUSE_MS))
            }
            _ => {
                judge(&event).map_err(|failure| self.fail(failure))?;
                (Stage::Settling(now_ms.saturating_add(TIMEOUT_MS.into())), now_ms)
            }
        };
        self.answers.signal().raise();
        Poll::Pending
    }

    /// See [`Admin::offsets_at`](crate::kafka::Admin::offsets_at).
    pub(super) fn offsets_at(
        &mut self,
        partitions: &[TopicPartition],
        time_ms: i64,
    ) -> Answer<Vec<Option<i64>>> {
        if partitions.is_empty() {
            return Poll::Ready(Ok(Vec::new()));
        }
        // Below 0 stand the first offset and its like.
        let wanted = (partitions, time_ms.max(0));
        let ask = |client: &Client, queue: &Queue| {
            client.list_offsets(wanted, Isolation::ReadUncommitted, queue, TIMEOUT_MS)
        };
        let offsets = ready!(self.plain(ask, |event| in_order(partitions, whole(event.offsets()?)?)))?;
        Poll::Ready(Ok(offsets
            .into_iter()
            .map(|one| Some(one.offset).filter(|offset| *offset >= 0))
            .collect()))
    }

    /// See [`Admin::bounds`](crate::kafka::Admin::bounds).
    pub(super) fn bounds(
        &mut self,
        partitions: &[TopicPartition],
        isolation: Isolation,
    ) -> Answer<Vec<(i64, i64)>> {
        if partitions.is_empty() {
            return Poll::Ready(Ok(Vec::new()));
        }
        let ask = |what| {
            move |client: &Client, queue: &Queue| {
                client.list_offsets((partitions, what), isolation, queue, TIMEOUT_MS)
            }
        };
        if matches!(self.stage, Stage::Nothing) {
            self.ask(Stage::Starts, ask(EARLIEST))?;
        }
        let event = ready!(self.answer()).map_err(|error| about(error, partitions))?;
        let offsets = event.offsets().and_then(whole).and_then(|placed| in_order(partitions, placed));
        let offsets = offsets.map_err(|failure| self.fail(failure))?.into_iter().map(|one| one.offset);
        let Stage::Ends(starts) = std::mem::take(&mut self.stage) else {
            self.ask(Stage::Ends(offsets.collect()), ask(LATEST))?;
            return Poll::Pending;
        };
        Poll::Ready(Ok(starts.into_iter().zip(offsets).collect()))
    }

    /// See [`Admin::delete_records`](crate::kafka::Admin::delete_records).
    pub(super) fn delete_records(&mut self, before: &[(TopicPartition, i64)]) -> Answer<()> {
        if before.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let partitions: Vec<_> = before.iter().map(|(partition, _)| partition.clone()).collect();
        let ask = |client: &Client, queue: &Queue| client.delete_records(before, queue, TIMEOUT_MS);
        self.plain(ask, |event| in_order(&partitions, whole(event.records_deleted()?)?).map(drop))
    }

    /// A transaction that would change an offset is pending: it is asked again after a moment.
    pub(super) fn unless_pending<T>(&mut self, error: KafkaError, now_ms: i64) -> Answer<T> {
        if error.code != "UNSTABLE_OFFSET_COMMIT" {
            return Poll::Ready(Err(error));
        }
        self.not_before_ms = now_ms.saturating_add(PAUSE_MS);
        Poll::Pending
    }
}

/// The partitions of an answer, if none of them failed.
pub(super) fn whole(placed: Vec<Placed>) -> Result<Vec<Placed>, Failure> {
    match placed.iter().find_map(|one| Some((&one.partition, one.failure.as_ref()?))) {
        Some((partition, failure)) => {
            Err(Failure { text: format!("{partition}: {}", failure.text), ..failure.clone() })
        }
        None => Ok(placed),
    }
}

/// What an answer says of each partition, in the order in which they were asked for.
pub(super) fn in_order(partitions: &[TopicPartition], placed: Vec<Placed>) -> Result<Vec<Placed>, Failure> {
    let mut placed: HashMap<_, _> = placed.into_iter().map(|one| (one.partition.clone(), one)).collect();
    let found = partitions.iter().map(|one| placed.remove(one)).collect::<Option<_>>();
    found.ok_or_else(Failure::lacking)
}

/// What became of topics that were to be made or deleted, if nothing but the code `harmless` went wrong.
fn flawless(
    names: &[TopicName],
    results: Vec<(TopicName, Option<Failure>)>,
    (done, harmless): (&str, &str),
) -> Result<(), Failure> {
    if results.len() < names.len() {
        return Err(Failure::lacking());
    }
    for (name, failure) in results {
        if let Some(failure) = failure.filter(|failure| failure.code != harmless) {
            let text = format!("topic `{name}` cannot be {done}: {}", failure.text);
            return Err(Failure { text, ..failure });
        }
    }
    Ok(())
}

/// Not every broker knows of topics that were made or deleted.
fn unsettled(names: &[TopicName]) -> Failure {
    let names = names.iter().take(TOPICS_SHOWN).map(|name| &**name).collect::<Vec<_>>().join(", ");
    let text = format!("brokers do not know yet that topics were made or deleted: {names}");
    Failure { code: "REQUEST_TIMED_OUT", text, retriable: true, ..Failure::lacking() }
}

/// An error that does not say by itself which topics it is about.
fn about(error: KafkaError, partitions: &[TopicPartition]) -> KafkaError {
    let topics: BTreeSet<_> = partitions.iter().map(|one| &*one.topic).collect();
    let shown: Vec<_> = topics.iter().take(TOPICS_SHOWN).copied().collect();
    let more = if topics.len() > TOPICS_SHOWN { ", ..." } else { "" };
    KafkaError { message: format!("bounds of {}{more}: {}", shown.join(", "), error.message), ..error }
}
