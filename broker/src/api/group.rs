//! Group requests: membership by the classic protocol, committed offsets, and lists of groups of both kinds.

use bytes::Bytes;
use std::sync::Arc;

use super::TopicPartition;
use crate::error::ErrorCode;

/// Joins a group, or joins it again. Parked until the rebalance is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupRequest {
    /// Which group.
    pub group_id: Arc<str>,
    /// The member's id; empty for a new member.
    pub member_id: Arc<str>,
    /// `group.instance.id` of a static member.
    pub group_instance_id: Option<Arc<str>>,
    /// Kind of group, `consumer` for consumers.
    pub protocol_type: Arc<str>,
    /// The assignors that the member supports, best first, with its metadata for each.
    pub protocols: Vec<Protocol>,
    /// Without a heartbeat for so long the member is removed.
    pub session_timeout_ms: i64,
    /// For so long a rebalance waits for the member to join again.
    pub rebalance_timeout_ms: i64,
    /// KIP-394: whether a new dynamic member is first sent back with its id (`MEMBER_ID_REQUIRED`).
    pub member_id_required: bool,
    /// KIP-814: whether the client knows [`JoinGroupResponse::skip_assignment`] (version 9 and later).
    pub knows_skip_assignment: bool,
}

/// An assignor with a member's metadata, opaque to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The assignor's name, as in `range`.
    pub name: Arc<str>,
    /// What the member tells it.
    pub metadata: Bytes,
}

/// Answers [`JoinGroupRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupResponse {
    /// Why the member is not in, if so.
    pub error: ErrorCode,
    /// The generation that starts; -1 after an error.
    pub generation: i32,
    /// Kind of group.
    pub protocol_type: Arc<str>,
    /// The assignor that all members support.
    pub protocol_name: Arc<str>,
    /// Who assigns.
    pub leader: Arc<str>,
    /// The id of the member that asked.
    pub member_id: Arc<str>,
    /// KIP-814: whether the leader keeps the assignment that there is, as a static leader that has come back
    /// does.
    pub skip_assignment: bool,
    /// All members, for the leader; empty for the others.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its `group.instance.id`, if it is static.
    pub group_instance_id: Option<Arc<str>>,
    /// What it told the assignor.
    pub metadata: Bytes,
}

/// Who claims to be a member, in which generation. Generation -1 with an empty member id claims nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberClaim {
    /// The generation, in a consumer group the member's epoch, or -1.
    pub generation: i32,
    /// The member's id, or empty.
    pub member_id: Arc<str>,
    /// Its `group.instance.id`, if it is static.
    pub group_instance_id: Option<Arc<str>>,
}

impl MemberClaim {
    /// A dynamic member.
    #[must_use]
    pub fn new(generation: i32, member_id: impl Into<Arc<str>>) -> Self {
        Self { generation, member_id: member_id.into(), group_instance_id: None }
    }

    /// No claim: a client that does not use group membership.
    #[must_use]
    pub fn none() -> Self {
        Self::new(-1, "")
    }

    /// Whether it is no claim.
    #[must_use]
    pub fn claims_nothing(&self) -> bool {
        self.generation < 0 && self.member_id.is_empty() && self.group_instance_id.is_none()
    }
}

/// Fetches the member's assignment; the leader brings everybody's. Parked until the leader has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroupRequest {
    /// Which group.
    pub group_id: Arc<str>,
    /// Who asks.
    pub member: MemberClaim,
    /// Kind of group, if the client says it.
    pub protocol_type: Option<Arc<str>>,
    /// The assignor, if the client says it.
    pub protocol_name: Option<Arc<str>>,
    /// Everybody's assignment, from the leader; ignored from the others.
    pub assignments: Vec<MemberAssignment>,
}

/// What one member gets, opaque to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAssignment {
    /// Which member.
    pub member_id: Arc<str>,
    /// Its assignment.
    pub assignment: Bytes,
}

/// Answers [`SyncGroupRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroupResponse {
    /// Why there is no assignment, if so.
    pub error: ErrorCode,
    /// Kind of group.
    pub protocol_type: Arc<str>,
    /// The assignor.
    pub protocol_name: Arc<str>,
    /// The member's assignment.
    pub assignment: Bytes,
}

/// Says that the member lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatRequest {
    /// Which group.
    pub group_id: Arc<str>,
    /// Who lives.
    pub member: MemberClaim,
}

/// Answers [`HeartbeatRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatResponse {
    /// `REBALANCE_IN_PROGRESS` asks the member to join again; other errors say that it is out.
    pub error: ErrorCode,
}

/// Takes members out of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveGroupRequest {
    /// Which group.
    pub group_id: Arc<str>,
    /// Who leaves.
    pub members: Vec<LeavingMember>,
}

/// A member that leaves, by its id or by its `group.instance.id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// Its id; may be empty for a static member.
    pub member_id: Arc<str>,
    /// Its `group.instance.id`, if it is static.
    pub group_instance_id: Option<Arc<str>>,
}

/// Answers [`LeaveGroupRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveGroupResponse {
    /// Why nobody left, if so.
    pub error: ErrorCode,
    /// One code per member, in the request's order.
    pub members: Vec<ErrorCode>,
}

/// Commits offsets outside a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitRequest {
    /// Which group.
    pub group_id: Arc<str>,
    /// Who commits.
    pub member: MemberClaim,
    /// What to commit.
    pub offsets: Vec<OffsetCommitPartition>,
}

/// An offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitPartition {
    /// Which partition.
    pub at: TopicPartition,
    /// What to commit.
    pub committed: CommittedOffset,
}

/// A committed offset with what the client put beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// Leader epoch of the last record read, or -1.
    pub leader_epoch: i32,
    /// Anything, up to `offset.metadata.max.bytes`.
    pub metadata: Arc<str>,
}

impl CommittedOffset {
    /// An offset without leader epoch or metadata.
    #[must_use]
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: -1, metadata: Arc::from("") }
    }
}

/// Answers [`OffsetCommitRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OffsetCommitResponse {
    /// One per partition.
    pub partitions: Vec<PartitionResult>,
}

/// What became of one partition of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionResult {
    /// Which partition.
    pub at: TopicPartition,
    /// Why it was refused, if it was.
    pub error: ErrorCode,
}

/// Reads committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchRequest {
    /// Which group.
    pub group_id: Arc<str>,
    /// Who asks; checked in consumer groups only, and only when it claims something (version 9 and later).
    pub member: MemberClaim,
    /// Which partitions; `None` for all that have an offset.
    pub partitions: Option<Vec<TopicPartition>>,
    /// Whether a partition with an undecided transactional commit answers `UNSTABLE_OFFSET_COMMIT`.
    pub require_stable: bool,
}

/// Answers [`OffsetFetchRequest`], in its order (by partition, when all were asked for).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchResponse {
    /// Why there is no answer at all, if so.
    pub error: ErrorCode,
    /// One per partition.
    pub partitions: Vec<FetchedOffset>,
}

/// The committed offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// Which partition.
    pub at: TopicPartition,
    /// Why there is no answer, if so.
    pub error: ErrorCode,
    /// What was committed, if anything.
    pub committed: Option<CommittedOffset>,
}

/// Deletes committed offsets.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OffsetDeleteRequest {
    /// Of which group.
    pub group_id: Arc<str>,
    /// Of which partitions.
    pub partitions: Vec<TopicPartition>,
}

/// Answers [`OffsetDeleteRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OffsetDeleteResponse {
    /// Why nothing was deleted, if so; `partitions` is empty then.
    pub error: ErrorCode,
    /// One per partition; `GROUP_SUBSCRIBED_TO_TOPIC` while a member reads the topic.
    pub partitions: Vec<PartitionResult>,
}

/// By which protocol a group keeps its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupType {
    /// Members join and sync, and one of them assigns. Groups that only hold offsets count as such.
    Classic,
    /// Members send heartbeats, and the broker assigns (KIP-848).
    Consumer,
    /// No group has this type: for filters with a name that is no type's.
    Unknown,
}

impl GroupType {
    /// Kafka's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Unknown => "unknown",
        }
    }

    /// The type of this name, in upper or lower case; [`GroupType::Unknown`] when there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let known = [Self::Classic, Self::Consumer];
        known.into_iter().find(|known| known.name().eq_ignore_ascii_case(name)).unwrap_or(Self::Unknown)
    }
}

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// No members; it may hold offsets.
    Empty,
    /// Waiting for the members to join.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Of a consumer group: a new target assignment is to be made.
    Assigning,
    /// Of a consumer group: members move towards the target assignment.
    Reconciling,
    /// Everybody has an assignment.
    Stable,
    /// It does not exist.
    Dead,
}

impl GroupState {
    /// Every state that a group can be in that exists.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::PreparingRebalance,
        Self::CompletingRebalance,
        Self::Assigning,
        Self::Reconciling,
        Self::Stable,
    ];

    /// Kafka's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }

    /// The state of this name, in upper or lower case; [`GroupState::Dead`], which no listed group is in,
    /// when there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let known = [
            Self::Empty,
            Self::PreparingRebalance,
            Self::CompletingRebalance,
            Self::Assigning,
            Self::Reconciling,
            Self::Stable,
        ];
        known.into_iter().find(|known| known.name().eq_ignore_ascii_case(name)).unwrap_or(Self::Dead)
    }
}

/// Lists groups.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListGroupsRequest {
    /// Only groups in these states; all when empty.
    pub states: Vec<GroupState>,
    /// Only groups of these types; all when empty.
    pub types: Vec<GroupType>,
}

/// Answers [`ListGroupsRequest`], by name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListGroupsResponse {
    /// The groups.
    pub groups: Vec<ListedGroup>,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its name.
    pub group_id: Arc<str>,
    /// Its kind; empty for a group that only holds offsets.
    pub protocol_type: Arc<str>,
    /// What it is doing.
    pub state: GroupState,
    /// By which protocol.
    pub group_type: GroupType,
}

/// Describes groups.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DescribeGroupsRequest {
    /// Which.
    pub group_ids: Vec<Arc<str>>,
}

/// Answers [`DescribeGroupsRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DescribeGroupsResponse {
    /// One per group.
    pub groups: Vec<DescribedGroup>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Why it cannot be described, if so. `GROUP_ID_NOT_FOUND` comes for consumer groups too; versions before
    /// 6 say no error then, and only the state [`GroupState::Dead`].
    pub error: ErrorCode,
    /// What exactly was wrong; empty without an error.
    pub message: String,
    /// Its name.
    pub group_id: Arc<str>,
    /// What it is doing.
    pub state: GroupState,
    /// Its generation.
    pub generation: i32,
    /// Its kind.
    pub protocol_type: Arc<str>,
    /// The assignor; empty while there is none.
    pub protocol_name: Arc<str>,
    /// Who assigns, if anybody.
    pub leader: Option<Arc<str>>,
    /// Its members, by id.
    pub members: Vec<DescribedMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its `group.instance.id`, if it is static.
    pub group_instance_id: Option<Arc<str>>,
    /// The client that it runs in.
    pub client_id: Arc<str>,
    /// Where that client runs.
    pub client_host: Arc<str>,
    /// What it told the assignor that was chosen; empty while none is.
    pub metadata: Bytes,
    /// What it was assigned; empty while the group is not stable.
    pub assignment: Bytes,
}

/// Deletes groups with their offsets.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeleteGroupsRequest {
    /// Which.
    pub group_ids: Vec<Arc<str>>,
}

/// Answers [`DeleteGroupsRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeleteGroupsResponse {
    /// One per group.
    pub groups: Vec<GroupResult>,
}

/// What became of one group of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupResult {
    /// Which group.
    pub group_id: Arc<str>,
    /// Why it was refused, if it was.
    pub error: ErrorCode,
}
