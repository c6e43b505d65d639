//! Questions about groups: which there are, who is in them, what they have committed.

use rdkafka::bindings as c;

use c::rd_kafka_admin_op_t as Op;

use super::admin::{Options, of_error};
use super::{Client, Event, Failure, List, Placed, Queue, placed, settled, terminated, text};
use crate::kafka::{GroupMember, OffsetCommit};
use crate::topic::TopicPartition;

impl Client {
    /// Asks for the offsets that a group has committed, for these partitions or for all that it knows, once none is pending.
    pub(in super::super) fn committed(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
        queue: &Queue,
        timeout_ms: i32,
    ) -> Result<(), Failure> {
        let (group, list) = (terminated(group)?, List::new());
        for partition in partitions.into_iter().flatten() {
            list.add(&partition.topic, partition.partition)?;
        }
        let wanted = if partitions.is_some() { list.0 } else { std::ptr::null_mut() };
        let options = Options::new(self, Op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, timeout_ms);
        // SAFETY: name and list are copied, and null stands for all; the error is taken over, what was made is freed.
        unsafe {
            settled(c::rd_kafka_AdminOptions_set_require_stable_offsets(options.0, 1))?;
            let mut groups = [c::rd_kafka_ListConsumerGroupOffsets_new(group.as_ptr(), wanted)];
            c::rd_kafka_ListConsumerGroupOffsets(self.rk, groups.as_mut_ptr(), 1, options.0, queue.rkqu);
            c::rd_kafka_ListConsumerGroupOffsets_destroy(groups[0]);
        }
        Ok(())
    }

    /// Asks for offsets to be committed in the name of a group without members.
    pub(in super::super) fn alter_offsets(
        &self,
        group: &str,
        offsets: &[OffsetCommit],
        queue: &Queue,
        timeout_ms: i32,
    ) -> Result<(), Failure> {
        let (group, list) = (terminated(group)?, List::of_offsets(offsets)?);
        let options = Options::new(self, Op::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, timeout_ms);
        // SAFETY: name and list are copied, what was made of them is freed.
        unsafe {
            let mut groups = [c::rd_kafka_AlterConsumerGroupOffsets_new(group.as_ptr(), list.0)];
            c::rd_kafka_AlterConsumerGroupOffsets(self.rk, groups.as_mut_ptr(), 1, options.0, queue.rkqu);
            c::rd_kafka_AlterConsumerGroupOffsets_destroy(groups[0]);
        }
        Ok(())
    }

    /// Asks for the members of a group.
    pub(in super::super) fn describe_group(
        &self,
        group: &str,
        queue: &Queue,
        timeout_ms: i32,
    ) -> Result<(), Failure> {
        let group = terminated(group)?;
        let options = Options::new(self, Op::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, timeout_ms);
        let mut names = [group.as_ptr()];
        // SAFETY: the name is copied.
        unsafe {
            c::rd_kafka_DescribeConsumerGroups(self.rk, names.as_mut_ptr(), 1, options.0, queue.rkqu);
        }
        Ok(())
    }

    /// Asks for all groups.
    pub(in super::super) fn list_groups(&self, queue: &Queue, timeout_ms: i32) -> Result<(), Failure> {
        let options = Options::new(self, Op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, timeout_ms);
        // SAFETY: client and queue live.
        unsafe { c::rd_kafka_ListConsumerGroups(self.rk, options.0, queue.rkqu) };
        Ok(())
    }
}

/// The answers, as those of `admin`.
impl Event {
    /// To [`Client::committed`].
    pub(in super::super) fn group_offsets(&self) -> Result<Vec<Placed>, Failure> {
        let mut count = 0;
        // SAFETY: as above.
        unsafe {
            let result = c::rd_kafka_event_ListConsumerGroupOffsets_result(self.rkev);
            if result.is_null() {
                return Err(Failure::lacking());
            }
            let groups = c::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
            of_group(groups, count)
        }
    }

    /// To [`Client::alter_offsets`].
    pub(in super::super) fn altered(&self) -> Result<Vec<Placed>, Failure> {
        let mut count = 0;
        // SAFETY: as above.
        unsafe {
            let result = c::rd_kafka_event_AlterConsumerGroupOffsets_result(self.rkev);
            if result.is_null() {
                return Err(Failure::lacking());
            }
            let groups = c::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count);
            of_group(groups, count)
        }
    }

    /// To [`Client::describe_group`].
    pub(in super::super) fn members(&self) -> Result<Vec<GroupMember>, Failure> {
        let mut count = 0;
        // SAFETY: as above; members belong to their group, which belongs to the event. Only a static member has an instance.
        unsafe {
            let result = c::rd_kafka_event_DescribeConsumerGroups_result(self.rkev);
            if result.is_null() {
                return Err(Failure::lacking());
            }
            let groups = c::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
            if count == 0 {
                return Err(Failure::lacking());
            }
            let group = *groups;
            if let Some(failure) = of_error(c::rd_kafka_ConsumerGroupDescription_error(group)) {
                return Err(failure);
            }
            let one = |at: usize| {
                let member = c::rd_kafka_ConsumerGroupDescription_member(group, at);
                let instance = text(c::rd_kafka_MemberDescription_group_instance_id(member));
                GroupMember {
                    member: text(c::rd_kafka_MemberDescription_consumer_id(member)),
                    client: text(c::rd_kafka_MemberDescription_client_id(member)),
                    instance: Some(instance).filter(|instance| !instance.is_empty()),
                }
            };
            Ok((0..c::rd_kafka_ConsumerGroupDescription_member_count(group)).map(one).collect())
        }
    }

    /// To [`Client::list_groups`]; every broker has to have answered.
    pub(in super::super) fn groups(&self) -> Result<Vec<String>, Failure> {
        let mut count = 0;
        // SAFETY: as above.
        unsafe {
            let result = c::rd_kafka_event_ListConsumerGroups_result(self.rkev);
            if result.is_null() {
                return Err(Failure::lacking());
            }
            let errors = c::rd_kafka_ListConsumerGroups_result_errors(result, &raw mut count);
            if let Some(failure) = (0..count).find_map(|at| of_error(*errors.add(at))) {
                return Err(failure);
            }
            let groups = c::rd_kafka_ListConsumerGroups_result_valid(result, &raw mut count);
            let one = |at: usize| text(c::rd_kafka_ConsumerGroupListing_group_id(*groups.add(at)));
            Ok((0..count).map(one).collect())
        }
    }
}

/// Copies the partitions of the one group that was asked about, or what went wrong with it.
///
/// # Safety
/// `groups` has `count` entries that live.
unsafe fn of_group(
    groups: *mut *const c::rd_kafka_group_result_t,
    count: usize,
) -> Result<Vec<Placed>, Failure> {
    if count == 0 {
        return Err(Failure::lacking());
    }
    // SAFETY: the caller's.
    unsafe {
        match of_error(c::rd_kafka_group_result_error(*groups)) {
            Some(failure) => Err(failure),
            None => Ok(placed(c::rd_kafka_group_result_partitions(*groups))),
        }
    }
}
