//! Groups as an admin sees and changes them: members and committed offsets, in our words and in the broker's.

use headwater_broker::ErrorCode;
use headwater_broker::api::{
    self, DescribeGroupsResponse, DescribedMember, FetchedOffset, LeaveGroupResponse, LeavingMember,
    MemberClaim, OffsetCommitPartition, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchResponse,
};

use super::place;
use crate::kafka::{CommittedOffset, GroupMember, OffsetCommit};
use crate::topic::TopicPartition;

/// The members of the one group that was asked for.
pub(super) fn members(response: DescribeGroupsResponse) -> Vec<GroupMember> {
    let member = |member: DescribedMember| GroupMember {
        member: member.member_id.to_string(),
        client: member.client_id.to_string(),
        instance: member.group_instance_id.map(|instance| instance.to_string()),
    };
    response.groups.into_iter().flat_map(|group| group.members).map(member).collect()
}

/// A member that is to leave, as the broker is told. Kafka takes a static one by its instance alone.
pub(super) fn leaving(member: &GroupMember) -> LeavingMember {
    LeavingMember {
        member_id: member.member.as_str().into(),
        group_instance_id: member.instance.as_deref().map(Into::into),
    }
}

/// Whether all have left; one that was gone already has.
pub(super) fn left(response: &LeaveGroupResponse) -> Result<(), (ErrorCode, String)> {
    let codes = std::iter::once(&response.error).chain(&response.members);
    match codes.copied().find(|code| !matches!(code, ErrorCode::None | ErrorCode::UnknownMemberId)) {
        Some(code) => Err((code, "a member cannot be removed".to_owned())),
        None => Ok(()),
    }
}

/// What a group has committed.
pub(super) fn offsets(response: OffsetFetchResponse) -> Result<Vec<OffsetCommit>, (ErrorCode, String)> {
    let one = |fetched: FetchedOffset| match (fetched.error, fetched.committed) {
        (ErrorCode::None, None) => None,
        (ErrorCode::None, Some(committed)) => {
            let partition = TopicPartition::new(fetched.at.topic, fetched.at.partition);
            let metadata = committed.metadata.to_string();
            Some(Ok((partition, CommittedOffset { offset: committed.offset, metadata })))
        }
        (code, _) => Some(Err((code, format!("the committed offset of {} cannot be read", fetched.at)))),
    };
    match response.error {
        ErrorCode::None => response.partitions.into_iter().filter_map(one).collect(),
        code => Err((code, "the committed offsets of the group cannot be read".to_owned())),
    }
}

/// The commit of whoever is no member.
pub(super) fn commit(group: &str, offsets: &[OffsetCommit]) -> OffsetCommitRequest {
    let one = |(partition, committed): &OffsetCommit| OffsetCommitPartition {
        at: place::at(partition),
        committed: api::CommittedOffset {
            metadata: committed.metadata.as_str().into(),
            ..api::CommittedOffset::new(committed.offset)
        },
    };
    OffsetCommitRequest {
        group_id: group.into(),
        member: MemberClaim::none(),
        offsets: offsets.iter().map(one).collect(),
    }
}

/// Whether all offsets are committed.
pub(super) fn set(response: OffsetCommitResponse) -> Result<(), (ErrorCode, String)> {
    match response.partitions.into_iter().find(|one| one.error != ErrorCode::None) {
        Some(one) => Err((one.error, format!("the offset of {} cannot be set", one.at))),
        None => Ok(()),
    }
}
