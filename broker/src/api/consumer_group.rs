//! Consumer groups by the new protocol (KIP-848): one request keeps a member in, brings its subscription and
//! fetches its assignment; the broker assigns.

use std::sync::Arc;

use super::{GroupState, TopicId};
use crate::error::ErrorCode;

/// Joins a group (epoch 0), stays in it, or leaves it (epochs -1 and -2). `None` means "as before".
///
/// A group whose members use the classic protocol has to lose them all before anybody joins it by this one, and
/// the other way round: Kafka's migration of groups with members is not there. Who tries hears
/// `GROUP_ID_NOT_FOUND`, or `INCONSISTENT_GROUP_PROTOCOL` to its JoinGroup, as with
/// `group.consumer.migration.policy=disabled`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConsumerGroupHeartbeatRequest {
    /// Which group.
    pub group_id: Arc<str>,
    /// The member's id; empty for a new member to which the broker shall give one.
    pub member_id: Arc<str>,
    /// KIP-1082: whether clients make their ids themselves, so that an empty one is an error (version 1 and
    /// later).
    pub member_id_required: bool,
    /// The epoch that the member has reached: 0 to join or join again, -1 to leave, -2 for a static member
    /// that leaves for a while.
    pub member_epoch: i32,
    /// `group.instance.id` of a static member.
    pub group_instance_id: Option<Arc<str>>,
    /// `client.rack`.
    pub rack_id: Option<Arc<str>>,
    /// For so long the group waits until the member has given up what it shall; needed to join.
    pub rebalance_timeout_ms: Option<i64>,
    /// Topics to read; they need not exist.
    pub subscribed_topics: Option<Vec<Arc<str>>>,
    /// A pattern of topics to read as well; empty for none any more.
    pub subscribed_topic_regex: Option<Arc<str>>,
    /// The assignor that the member would like: `uniform` or `range`.
    pub server_assignor: Option<Arc<str>>,
    /// The partitions that the member holds.
    pub owned: Option<Vec<TopicIdPartitions>>,
}

/// Partitions of a topic that is named by its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIdPartitions {
    /// Which topic.
    pub topic_id: TopicId,
    /// Its partitions, in order.
    pub partitions: Vec<i32>,
}

/// Answers [`ConsumerGroupHeartbeatRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupHeartbeatResponse {
    /// Why the member is out, or what was wrong.
    pub error: ErrorCode,
    /// What exactly was wrong; empty without an error.
    pub message: String,
    /// The member's id; `None` after an error.
    pub member_id: Option<Arc<str>>,
    /// The epoch that the member has reached; 0 after an error.
    pub member_epoch: i32,
    /// When to come again: `group.consumer.heartbeat.interval.ms`; 0 after an error.
    pub heartbeat_interval_ms: i64,
    /// What the member may hold; `None` when that has not changed.
    pub assignment: Option<Vec<TopicIdPartitions>>,
}

/// Describes consumer groups.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConsumerGroupDescribeRequest {
    /// Which.
    pub group_ids: Vec<Arc<str>>,
}

/// Answers [`ConsumerGroupDescribeRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConsumerGroupDescribeResponse {
    /// One per group.
    pub groups: Vec<DescribedConsumerGroup>,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumerGroup {
    /// Why it cannot be described, if so: `GROUP_ID_NOT_FOUND` for groups of the classic protocol too.
    pub error: ErrorCode,
    /// What exactly was wrong; empty without an error.
    pub message: String,
    /// Its name.
    pub group_id: Arc<str>,
    /// What it is doing.
    pub state: GroupState,
    /// Rises whenever members, subscriptions or topics change.
    pub group_epoch: i32,
    /// The group's epoch for which the target assignment was made.
    pub assignment_epoch: i32,
    /// Who assigns: `uniform` or `range`.
    pub assignor: Arc<str>,
    /// Its members, by id.
    pub members: Vec<DescribedConsumer>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumer {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its `group.instance.id`, if it is static.
    pub group_instance_id: Option<Arc<str>>,
    /// Its `client.rack`, if it has said one.
    pub rack_id: Option<Arc<str>>,
    /// The epoch that it has reached.
    pub member_epoch: i32,
    /// The client that it runs in.
    pub client_id: Arc<str>,
    /// Where that client runs.
    pub client_host: Arc<str>,
    /// Topics that it wants by name, in order.
    pub subscribed_topics: Vec<Arc<str>>,
    /// The pattern of topics that it wants, if any.
    pub subscribed_topic_regex: Option<Arc<str>>,
    /// What it holds.
    pub assignment: Vec<NamedPartitions>,
    /// What it shall hold.
    pub target_assignment: Vec<NamedPartitions>,
}

/// Partitions of a topic, with the topic's id and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPartitions {
    /// The topic's id.
    pub topic_id: TopicId,
    /// Its name.
    pub topic: Arc<str>,
    /// Its partitions, in order.
    pub partitions: Vec<i32>,
}
