//! A group: members that share partitions (Kafka's classic protocol), and the offsets it has committed.
//!
//! ```text
//! Empty --join--> PreparingRebalance --all joined, or deadline--> CompletingRebalance --leader's sync--> Stable
//!   ^                    ^  ^----- join of a member, leave, expiry --------+------------------------------+
//!   +--- nobody is left -+
//! ```
//! 1. Every completed rebalance starts a generation; requests of another one are refused.
//! 2. A member parked in JoinGroup or SyncGroup does not expire: it is waiting for the broker.
//! 3. Members are lost in a crash; offsets and the generation's number are not.

mod describe;
mod expiry;
mod join;
mod leave;
mod offsets;
mod rebalance;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::api::{ClientId, GroupState, MemberClaim, Protocol, Response, Ticket};
use crate::error::ErrorCode;
use crate::identity::IdSource;

pub(crate) use join::refused;
pub(crate) use offsets::{CommitCheck, Offsets};
pub(crate) use sync::unassigned;

/// Limits that the broker sets for groups.
#[derive(Clone, Debug)]
pub(crate) struct GroupRules {
    pub(crate) least_session_timeout_ms: i64,
    pub(crate) most_session_timeout_ms: i64,
    pub(crate) initial_rebalance_delay_ms: i64,
    pub(crate) most_metadata_bytes: usize,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) client: &'a ClientId,
    pub(crate) ticket: Ticket,
}

/// What a group may use while it handles one request or one tick.
pub(crate) struct Turn<'a> {
    pub(crate) now: i64,
    pub(crate) rules: &'a GroupRules,
    pub(crate) ids: &'a mut IdSource,
    /// Answers to give, to this request or to parked ones.
    pub(crate) answers: &'a mut Vec<(Ticket, Response)>,
}

impl Turn<'_> {
    fn answer(&mut self, ticket: Ticket, response: impl Into<Response>) {
        self.answers.push((ticket, response.into()));
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

/// A group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    id: Arc<str>,
    state: GroupState,
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
    pub(crate) offsets: Offsets,
}

impl Group {
    fn new(id: Arc<str>) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            generation: 0,
            protocol_type: Arc::from(""),
            protocol_name: Arc::from(""),
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            promised: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            deadline: None,
            not_before: None,
            offsets: Offsets::default(),
        }
    }

    pub(crate) fn state(&self) -> GroupState {
        self.state
    }

    /// What a crash leaves: offsets, and the number of the generation so that it never comes twice.
    fn after_crash(&self) -> Self {
        let mut left = Self::new(self.id.clone());
        left.generation = self.generation;
        left.protocol_type = self.protocol_type.clone();
        left.offsets = self.offsets.clone();
        left
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

/// All groups, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    groups: BTreeMap<Arc<str>, Group>,
}

impl Groups {
    pub(crate) fn get(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Group> {
        self.groups.get_mut(id)
    }

    pub(crate) fn get_or_create(&mut self, id: &Arc<str>) -> &mut Group {
        self.groups.entry(id.clone()).or_insert_with(|| Group::new(id.clone()))
    }

    /// Deletes a group without members, with its offsets.
    pub(crate) fn delete(&mut self, id: &str) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group = self.groups.get(id).ok_or(ErrorCode::GroupIdNotFound)?;
        if group.state != GroupState::Empty {
            return Err(ErrorCode::NonEmptyGroup);
        }
        self.groups.remove(id);
        Ok(())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.groups.values_mut()
    }

    /// Loses everything that a crash loses.
    pub(crate) fn crash(&mut self) {
        for group in self.groups.values_mut() {
            *group = group.after_crash();
        }
    }
}
