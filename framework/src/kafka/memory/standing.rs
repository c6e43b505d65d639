//! Standing: where a member stands in its group, and the requests that belong to it.
//!
//! ```text
//! Outside --subscribe--> Due --JoinGroup--> Joining --leader--> Counting --+
//!                         ^                    |                           v
//!                         |                    +------- others -------> Syncing --assignment--> Stable
//!                         +--release-- Told <--Revoked or Lost told-- rebalance, loss, rejoin ----+
//! ```
//! Errors while joining lead back to Due; a fenced instance id ends it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use headwater_broker::api::{
    JoinGroupRequest, JoinGroupResponse, MemberAssignment, MemberClaim, MetadataRequest, MetadataResponse,
    Protocol, SyncGroupRequest,
};

use super::errand::Errand;
use super::protocol;
use super::range::{Subscriber, assign};
use crate::kafka::{KafkaError, MemberOptions};
use crate::topic::TopicName;

/// Kafka's name of the protocol type of consumer groups.
const CONSUMER: &str = "consumer";
/// Kafka's name of the assignor.
const RANGE: &str = "range";
/// JoinGroup and SyncGroup wait for the other members; so much longer than they may take is our patience.
const REBALANCE_SLACK_MS: i64 = 5_000;

/// Where we stand.
#[derive(Debug)]
pub(super) enum Standing {
    /// Not subscribed, or gone.
    Outside,
    /// To join with the next poll.
    Due,
    Joining(Errand),
    /// We lead, and look up how many partitions there are.
    Counting(Errand, Joined),
    Syncing(Errand, Joined),
    Stable,
    /// `Revoked` or (`lost`) `Lost` has to be told.
    Telling {
        lost: bool,
    },
    /// It was told; the owner is dropping its tasks.
    Told {
        lost: bool,
    },
    /// Somebody else has our instance id.
    Fenced(KafkaError),
}

/// A generation that we have joined but have no assignment in yet.
#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) generation: i32,
    pub(super) member: Arc<str>,
    /// All members, if we lead.
    members: Vec<Subscriber>,
}

impl Joined {
    /// From the answer to JoinGroup.
    pub(super) fn new(response: &JoinGroupResponse) -> Self {
        let subscriber = |member: &headwater_broker::api::JoinedMember| Subscriber {
            member: member.member_id.clone(),
            instance: member.group_instance_id.clone(),
            // Bytes that we cannot read make a member that gets nothing.
            topics: protocol::decode_subscription(&member.metadata).unwrap_or_default(),
        };
        Self {
            generation: response.generation,
            member: response.member_id.clone(),
            members: response.members.iter().map(subscriber).collect(),
        }
    }

    pub(super) fn leads(&self) -> bool {
        !self.members.is_empty()
    }

    /// Asks for all topics that any member reads.
    pub(super) fn count_request(&self) -> MetadataRequest {
        let mut topics: Vec<TopicName> =
            self.members.iter().flat_map(|one| one.topics.iter().cloned()).collect();
        topics.sort();
        topics.dedup();
        MetadataRequest { topics: Some(topics), allow_auto_creation: false }
    }

    /// What every member gets, as bytes.
    pub(super) fn assignments(&self, metadata: &MetadataResponse) -> Vec<MemberAssignment> {
        let counts: BTreeMap<TopicName, i32> = metadata
            .topics
            .iter()
            .map(|topic| (topic.name.clone(), i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)))
            .collect();
        let bytes = |(member_id, partitions): (Arc<str>, Vec<_>)| MemberAssignment {
            member_id,
            assignment: protocol::encode_assignment(&partitions, None),
        };
        assign(&self.members, &counts).into_iter().map(bytes).collect()
    }
}

/// Who we say we are in requests about the group.
pub(super) fn claim(options: &MemberOptions, generation: i32, member: &Arc<str>) -> MemberClaim {
    MemberClaim {
        generation,
        member_id: member.clone(),
        group_instance_id: options.instance.as_deref().map(Arc::from),
    }
}

/// The JoinGroup of `member` (empty for a new one).
pub(super) fn join(options: &MemberOptions, member: &Arc<str>, topics: &[TopicName]) -> Errand {
    let metadata: Bytes = protocol::encode_subscription(topics, None);
    let request = JoinGroupRequest {
        group_id: options.group.as_str().into(),
        member_id: member.clone(),
        group_instance_id: options.instance.as_deref().map(Arc::from),
        protocol_type: CONSUMER.into(),
        protocols: vec![Protocol { name: RANGE.into(), metadata }],
        session_timeout_ms: options.session_timeout_ms,
        rebalance_timeout_ms: options.max_poll_interval_ms,
        member_id_required: true,
        knows_skip_assignment: false,
    };
    Errand::new(request, patience_ms(options))
}

/// The SyncGroup of the generation, with everybody's assignment if we lead.
pub(super) fn sync(options: &MemberOptions, joined: &Joined, assignments: Vec<MemberAssignment>) -> Errand {
    let request = SyncGroupRequest {
        group_id: options.group.as_str().into(),
        member: claim(options, joined.generation, &joined.member),
        protocol_type: Some(CONSUMER.into()),
        protocol_name: Some(RANGE.into()),
        assignments,
    };
    Errand::new(request, patience_ms(options))
}

fn patience_ms(options: &MemberOptions) -> i64 {
    options.max_poll_interval_ms.saturating_add(REBALANCE_SLACK_MS)
}
