//! Questions about groups: which there are, who is in them, what they have committed.

use std::task::{Poll, ready};

use super::questions::{LONGEST_MS, Questions, TIMEOUT_MS, in_order, whole};
use super::raw::{Client, Event, Placed, Queue};
use crate::kafka::{Answer, CommittedOffset, GroupMember, OffsetCommit};
use crate::topic::TopicPartition;

impl Questions {
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
    pub(super) fn members(&mut self, group: &str, now_ms: i64) -> Answer<Vec<GroupMember>> {
        let unpack = |event: &Event| match event.members() {
            // Brokers from 4.0 on say so of a group that is not there, earlier ones that it is dead.
            Err(failure) if failure.code == "GROUP_ID_NOT_FOUND" => Ok(Vec::new()),
            members => members,
        };
        self.of_group(|client, queue| client.describe_group(group, queue, LONGEST_MS), unpack, now_ms)
    }

    /// See [`Membership::committed`](crate::kafka::Membership::committed).
    pub(super) fn committed(
        &mut self,
        group: &str,
        partitions: &[TopicPartition],
        now_ms: i64,
    ) -> Answer<Vec<Option<CommittedOffset>>> {
        if partitions.is_empty() {
            return Poll::Ready(Ok(Vec::new()));
        }
        let placed = ready!(self.stable_offsets(group, Some(partitions), now_ms))?;
        let offsets = in_order(partitions, placed).map_err(|failure| self.fail(failure))?;
        let offset = |placed| commit(placed).map(|(_, offset)| offset);
        Poll::Ready(Ok(offsets.into_iter().map(offset).collect()))
    }

    /// See [`Admin::group_offsets`](crate::kafka::Admin::group_offsets).
    pub(super) fn group_offsets(&mut self, group: &str, now_ms: i64) -> Answer<Vec<OffsetCommit>> {
        self.stable_offsets(group, None, now_ms).map_ok(|placed| {
            let mut offsets: Vec<_> = placed.into_iter().filter_map(commit).collect();
            offsets.sort_by(|one, other| one.0.cmp(&other.0));
            offsets
        })
    }

    /// The offsets of these partitions, or of all that have one, once no transaction that would change them is pending.
    fn stable_offsets(
        &mut self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
        now_ms: i64,
    ) -> Answer<Vec<Placed>> {
        if now_ms < self.not_before_ms {
            return Poll::Pending;
        }
        let ask = |client: &Client, queue: &Queue| client.committed(group, partitions, queue, LONGEST_MS);
        match ready!(self.of_group(ask, |event| whole(event.group_offsets()?), now_ms)) {
            Err(error) => self.unless_pending(error, now_ms),
            placed => Poll::Ready(placed),
        }
    }

    /// See [`Admin::set_group_offsets`](crate::kafka::Admin::set_group_offsets).
    pub(super) fn set_group_offsets(
        &mut self,
        group: &str,
        offsets: &[OffsetCommit],
        now_ms: i64,
    ) -> Answer<()> {
        if offsets.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let ask = |client: &Client, queue: &Queue| client.alter_offsets(group, offsets, queue, LONGEST_MS);
        let partitions: Vec<_> = offsets.iter().map(|(partition, _)| partition.clone()).collect();
        self.of_group(ask, |event| in_order(&partitions, whole(event.altered()?)?).map(drop), now_ms)
    }
}

/// A committed offset, if there is one.
fn commit(placed: Placed) -> Option<OffsetCommit> {
    let Placed { partition, offset, metadata, .. } = placed;
    (offset >= 0).then_some((partition, CommittedOffset { offset, metadata }))
}
