//! The classic protocol: members join and sync, and one of them assigns.
//!
//! ```text
//! Empty --join--> PreparingRebalance --all joined, or deadline--> CompletingRebalance --leader's sync--> Stable
//!   ^                    ^  ^----- join of a member, leave, expiry --------+------------------------------+
//!   +--- nobody is left -+
//! ```
//! 1. Every completed rebalance starts a generation; requests of another one are refused.
//! 2. A member parked in JoinGroup or SyncGroup does not expire: it is waiting for the broker.
//! 3. A crash keeps the members of a stable group. Of one that rebalances it keeps the generation's number.

mod commit;
mod describe;
mod durable;
mod expiry;
mod join;
mod leave;
mod rebalance;
mod subscription;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::{Caller, CommitCheck, Turn};
use crate::api::{GroupState, MemberClaim, Protocol, Ticket};
use crate::error::ErrorCode;

pub(crate) use durable::{ClassicFact, ClassicMemberFact};
pub(crate) use join::refused;
pub(crate) use sync::unassigned;

/// What the group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl From<Phase> for GroupState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Empty => Self::Empty,
            Phase::PreparingRebalance => Self::PreparingRebalance,
            Phase::CompletingRebalance => Self::CompletingRebalance,
            Phase::Stable => Self::Stable,
        }
    }
}

/// What a member waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Join(Ticket),
    Sync(Ticket),
}

#[derive(Clone, Debug)]
struct Member {
    instance_id: Option<Arc<str>>,
    client_id: Arc<str>,
    client_host: Arc<str>,
    session_timeout_ms: i64,
    rebalance_timeout_ms: i64,
    protocols: Vec<Protocol>,
    assignment: Bytes,
    waiting: Waiting,
    expires_at: i64,
}

impl Member {
    fn is_joining(&self) -> bool {
        matches!(self.waiting, Waiting::Join(_))
    }

    fn refresh(&mut self, now: i64) {
        self.expires_at = now.saturating_add(self.session_timeout_ms);
    }

    fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|supported| &*supported.name == protocol);
        found.map(|supported| supported.metadata.clone()).unwrap_or_default()
    }
}

/// The members of a group, and what they are about.
#[derive(Clone, Debug)]
pub(crate) struct ClassicGroup {
    state: Phase,
    generation: i32,
    protocol_type: Arc<str>,
    protocol_name: Arc<str>,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    /// Member ids of static members, by `group.instance.id`.
    instances: BTreeMap<Arc<str>, Arc<str>>,
    /// KIP-394: ids given out to members that have yet to join with them, and until when they may.
    promised: BTreeMap<Arc<str>, i64>,
    /// Members that have yet to fetch their assignment.
    unsynced: BTreeSet<Arc<str>>,
    /// When the phase of joining or syncing ends whoever is missing.
    deadline: Option<i64>,
    /// `group.initial.rebalance.delay.ms`: not before this time is the first rebalance complete.
    not_before: Option<i64>,
    /// Rises with everything that is to be kept.
    revision: u64,
}

impl ClassicGroup {
    /// A group without members, whose next generation will be the one after `generation`.
    pub(super) fn new(generation: i32) -> Self {
        Self {
            state: Phase::Empty,
            generation,
            protocol_type: Arc::from(""),
            protocol_name: Arc::from(""),
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            promised: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            deadline: None,
            not_before: None,
            revision: 0,
        }
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    /// Whether it is known which topics are read: it has no members, or none of them is to join or sync.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, Phase::Empty | Phase::Stable)
    }

    /// Whether somebody has been told an id and has yet to join with it.
    pub(super) fn awaits_members(&self) -> bool {
        !self.promised.is_empty()
    }

    /// Whether its members are consumers, so that it can be known what they read.
    pub(crate) fn has_consumers(&self) -> bool {
        &*self.protocol_type == "consumer"
    }

    /// Whether a member reads this topic; if that cannot be told, consumers count as reading it.
    pub(crate) fn reads(&self, topic: &str) -> bool {
        let metadata = self.members.values().map(|member| member.metadata(&self.protocol_name));
        self.has_consumers()
            && metadata.into_iter().any(|metadata| subscription::may_contain(&metadata, topic))
    }

    /// Whether nobody is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.state == Phase::Empty
    }

    /// Whether this is a member, and the current holder of its `group.instance.id`.
    fn check_member(&self, claim: &MemberClaim) -> Result<(), ErrorCode> {
        if let Some(instance) = &claim.group_instance_id {
            match self.instances.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(holder) if *holder != claim.member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(&claim.member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    fn check_generation(&self, claim: &MemberClaim) -> Result<(), ErrorCode> {
        self.check_member(claim)?;
        if claim.generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }
}
