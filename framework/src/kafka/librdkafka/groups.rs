//! Questions about groups: which there are, who is in them, what they have committed.

use std::task::{Poll, ready};

use super::questions::{Questions, Stage, TIMEOUT_MS};
use super::raw::{Client, Event, Failure, Placed, Queue};
use crate::kafka::{Answer, CommittedOffset, GroupMember, KafkaError, OffsetCommit};

impl Questions {
    /// The answer to a question that has one.
    fn plain<T>(
        &mut self,
        ask: impl FnOnce(&Client, &Queue) -> Result<(), Failure>,
        unpack: impl FnOnce(&Event) -> Result<T, Failure>,
    ) -> Answer<T> {
        if matches!(self.stage, Stage::Nothing) {
            self.ask(Stage::Plain, ask)?;
        }
        let event = ready!(self.answer())?;
        self.stage = Stage::Nothing;
        Poll::Ready(unpack(&event).map_err(|failure| self.fail(failure)))
    }

    /// See [`Admin::groups`](crate::kafka::Admin::groups).
    pub(super) fn groups(&mut self) -> Answer<Vec<String>> {
        self.plain(|client, queue| client.list_groups(queue, TIMEOUT_MS), Event::groups).map_ok(
            |mut groups| {
                groups.sort_unstable();
                groups
            },
        )
    }

    /// See [`Admin::members`](crate::kafka::Admin::members).
    pub(super) fn members(&mut self, group: &str) -> Answer<Vec<GroupMember>> {
        let unpack = |event: &Event| match event.members() {
            // Brokers from 4.0 on say so of a group that is not there, earlier ones that it is dead.
            Err(failure) if failure.code == "GROUP_ID_NOT_FOUND" => Ok(Vec::new()),
            members => members,
        };
        self.plain(|client, queue| client.describe_group(group, queue, TIMEOUT_MS), unpack)
    }

    /// See [`Admin::group_offsets`](crate::kafka::Admin::group_offsets).
    pub(super) fn group_offsets(&mut self, group: &str, now_ms: i64) -> Answer<Vec<OffsetCommit>> {
        if now_ms < self.not_before_ms {
            return Poll::Pending;
        }
        let ask = |client: &Client, queue: &Queue| client.committed(group, None, queue, TIMEOUT_MS);
        let answer: Result<Vec<Placed>, KafkaError> =
            ready!(self.plain(ask, |event| whole(event.group_offsets()?)));
        let mut offsets: Vec<OffsetCommit> = match answer {
            Err(error) => return self.unless_pending(error, now_ms),
            Ok(placed) => placed
                .into_iter()
                .filter(|placed| placed.offset >= 0)
                .map(|Placed { partition, offset, metadata, .. }| {
                    (partition, CommittedOffset { offset, metadata })
                })
                .collect(),
        };
        offsets.sort_by(|one, other| one.0.cmp(&other.0));
        Poll::Ready(Ok(offsets))
    }

    /// See [`Admin::set_group_offsets`](crate::kafka::Admin::set_group_offsets).
    pub(super) fn set_group_offsets(&mut self, group: &str, offsets: &[OffsetCommit]) -> Answer<()> {
        if offsets.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let ask = |client: &Client, queue: &Queue| client.alter_offsets(group, offsets, queue, TIMEOUT_MS);
        self.plain(ask, |event| whole(event.altered()?).map(drop))
    }
}

/// The partitions of an answer, if none of them failed.
fn whole(placed: Vec<Placed>) -> Result<Vec<Placed>, Failure> {
    match placed.iter().find_map(|one| Some((&one.partition, one.failure.as_ref()?))) {
        Some((partition, failure)) => {
            Err(Failure { text: format!("{partition}: {}", failure.text), ..failure.clone() })
        }
        None => Ok(placed),
    }
}
