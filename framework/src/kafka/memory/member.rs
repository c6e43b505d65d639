//! Member: a classic member of a consumer group, driven by polling.
//!
//! 1. It heartbeats from `poll`, also while its owner gives partitions back; it joins again after `release`.
//! 2. Who we are for commits changes only when a new assignment is there: until then, commits of the old generation
//!    are either still good or refused, but never taken for those of nobody.
//! 3. A member that owns nothing has nothing to give back: it joins again without a word.

use std::sync::Arc;
use std::task::Poll;

use headwater_broker::ErrorCode;
use headwater_broker::api::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupResponse, LeaveGroupRequest, LeavingMember, MemberClaim,
    MetadataResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    SyncGroupResponse,
};

use super::door::Door;
use super::errand::{Errand, REQUEST_TIMEOUT_MS};
use super::standing::{self, Joined, Standing};
use super::transaction;
use super::{place, protocol};
use crate::kafka::{
    Answer, CommittedOffset, Fault, GroupEvent, GroupMetadata, KafkaError, MemberOptions, Membership,
    OffsetCommit,
};
use crate::topic::{TopicName, TopicPartition};

/// A member of a group.
#[derive(Debug)]
pub(super) struct MemoryMember {
    door: Door,
    options: MemberOptions,
    topics: Vec<TopicName>,
    standing: Standing,
    /// Our id for joining; empty when we have to ask for one.
    member: Arc<str>,
    metadata: GroupMetadata,
    owned: Vec<TopicPartition>,
    heartbeat: Option<Errand>,
    next_heartbeat_ms: i64,
    /// When the heartbeat that was answered last was sent: our session began anew then.
    alive_ms: i64,
    heartbeat_sent_ms: i64,
    polled_ms: Option<i64>,
    /// Whether the coordinator has to be told that we have left the generation.
    owes_farewell: bool,
    committed: Option<Errand>,
    commit: Option<Errand>,
}

/// What a round of polling came to.
enum Turn {
    /// The standing has changed: look again.
    Again,
    /// Nothing more can be done now.
    Wait,
    Tell(GroupEvent),
}

type Turned = Result<Turn, KafkaError>;

impl MemoryMember {
    pub(super) fn new(door: Door, options: &MemberOptions) -> Self {
        let metadata = GroupMetadata {
            group: options.group.clone(),
            generation: -1,
            member: String::new(),
            instance: options.instance.clone(),
        };
        Self {
            door,
            options: options.clone(),
            topics: Vec::new(),
            standing: Standing::Outside,
            member: Arc::from(""),
            metadata,
            owned: Vec::new(),
            heartbeat: None,
            next_heartbeat_ms: 0,
            alive_ms: 0,
            heartbeat_sent_ms: 0,
            polled_ms: None,
            owes_farewell: false,
            committed: None,
            commit: None,
        }
    }

    fn turn(&mut self, now_ms: i64) -> Turned {
        match &self.standing {
            Standing::Outside | Standing::Told { lost: true } => Ok(Turn::Wait),
            Standing::Due => {
                self.standing = Standing::Joining(standing::join(&self.options, &self.member, &self.topics));
                Ok(Turn::Again)
            }
            Standing::Joining(_) => self.joining(now_ms),
            Standing::Counting(..) => self.counting(now_ms),
            Standing::Syncing(..) => self.syncing(now_ms),
            Standing::Stable | Standing::Told { lost: false } => self.beat(now_ms),
            Standing::Telling { lost } => {
                let lost = *lost;
                self.owned.clear();
                self.standing = Standing::Told { lost };
                Ok(Turn::Tell(if lost { GroupEvent::Lost } else { GroupEvent::Revoked }))
            }
            Standing::Fenced(error) => Err(error.clone()),
        }
    }

    fn joining(&mut self, now_ms: i64) -> Turned {
        let Standing::Joining(errand) = &mut self.standing else { return Ok(Turn::Again) };
        let answer = match errand.poll::<JoinGroupResponse>(&self.door, now_ms) {
            Poll::Pending => return Ok(Turn::Wait),
            Poll::Ready(answer) => answer,
        };
        match answer.and_then(|response| match response.error {
            ErrorCode::MemberIdRequired => {
                self.member = response.member_id;
                Ok(None)
            }
            code => code.check().map(|()| Some(Joined::new(&response))),
        }) {
            Ok(None) => self.standing = Standing::Due,
            Ok(Some(joined)) => {
                self.member = joined.member.clone();
                self.standing = if joined.leads() {
                    Standing::Counting(Errand::new(joined.count_request(), REQUEST_TIMEOUT_MS), joined)
                } else {
                    Standing::Syncing(standing::sync(&self.options, &joined, Vec::new()), joined)
                };
            }
            Err(code) => return self.not_joined(code),
        }
        Ok(Turn::Again)
    }

    fn counting(&mut self, now_ms: i64) -> Turned {
        let Standing::Counting(errand, joined) = &mut self.standing else { return Ok(Turn::Again) };
        match errand.poll::<MetadataResponse>(&self.door, now_ms) {
            Poll::Pending | Poll::Ready(Err(_)) => Ok(Turn::Wait),
            Poll::Ready(Ok(metadata)) => {
                let errand = standing::sync(&self.options, joined, joined.assignments(&metadata));
                self.standing = Standing::Syncing(errand, joined.clone());
                Ok(Turn::Again)
            }
        }
    }

    fn syncing(&mut self, now_ms: i64) -> Turned {
        let Standing::Syncing(errand, joined) = &mut self.standing else { return Ok(Turn::Again) };
        let answer = match errand.poll::<SyncGroupResponse>(&self.door, now_ms) {
            Poll::Pending => return Ok(Turn::Wait),
            Poll::Ready(answer) => answer,
        };
        match answer.and_then(|response| response.error.check().map(|()| response.assignment)) {
            Ok(assignment) => {
                self.metadata.generation = joined.generation;
                self.metadata.member = joined.member.to_string();
                self.owned = protocol::decode_assignment(&assignment).unwrap_or_default();
                self.standing = Standing::Stable;
                self.heartbeat = None;
                self.alive_ms = now_ms;
                self.next_heartbeat_ms = now_ms.saturating_add(self.options.heartbeat_interval_ms);
                Ok(Turn::Tell(GroupEvent::Assigned(self.owned.clone())))
            }
            Err(code) => self.not_joined(code),
        }
    }

    /// What to do after an error to JoinGroup or SyncGroup.
    fn not_joined(&mut self, code: ErrorCode) -> Turned {
        match code {
            ErrorCode::FencedInstanceId => return Err(self.fenced()),
            ErrorCode::UnknownMemberId => self.member = Arc::from(""),
            ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration => {}
            code if code.is_retriable() => {}
            code => {
                self.standing = Standing::Due;
                let what = format!("group `{}` does not let us in", self.options.group);
                return Err(place::answered(code, Fault::Refused, what));
            }
        }
        // Not at once: an answer that stays the same must not keep us here.
        self.standing = Standing::Due;
        Ok(Turn::Wait)
    }

    fn fenced(&mut self) -> KafkaError {
        let instance = self.options.instance.clone().unwrap_or_default();
        let what = format!("another process uses `group.instance.id` `{instance}`");
        let error = place::answered(ErrorCode::FencedInstanceId, Fault::Stale, what);
        self.standing = Standing::Fenced(error.clone());
        error
    }

    /// Heartbeats when one is due.
    fn beat(&mut self, now_ms: i64) -> Turned {
        if self.heartbeat.is_none() {
            if now_ms < self.next_heartbeat_ms {
                return Ok(Turn::Wait);
            }
            let request = HeartbeatRequest {
                group_id: self.options.group.as_str().into(),
                member: standing::claim(&self.options, self.metadata.generation, &self.member),
            };
            self.heartbeat_sent_ms = now_ms;
            self.next_heartbeat_ms = now_ms.saturating_add(self.options.heartbeat_interval_ms);
            let patience_ms = REQUEST_TIMEOUT_MS.min(self.options.session_timeout_ms);
            self.heartbeat = Some(Errand::new(request, patience_ms));
        }
        let Some(errand) = &mut self.heartbeat else { return Ok(Turn::Wait) };
        let Poll::Ready(answer) = errand.poll::<HeartbeatResponse>(&self.door, now_ms) else {
            return Ok(self.session_over(now_ms));
        };
        self.heartbeat = None;
        match answer.and_then(|response| response.error.check()) {
            Ok(()) => self.alive_ms = self.heartbeat_sent_ms,
            Err(ErrorCode::RebalanceInProgress) => {
                self.alive_ms = self.heartbeat_sent_ms;
                return Ok(self.give_back(false));
            }
            Err(ErrorCode::FencedInstanceId) => return Err(self.fenced()),
            Err(ErrorCode::UnknownMemberId) => {
                self.member = Arc::from("");
                return Ok(self.give_back(true));
            }
            Err(ErrorCode::IllegalGeneration) => return Ok(self.give_back(true)),
            Err(_) => return Ok(self.session_over(now_ms)),
        }
        Ok(Turn::Wait)
    }

    /// Without an answer for a session's length the coordinator has given us up.
    fn session_over(&mut self, now_ms: i64) -> Turn {
        if now_ms.saturating_sub(self.alive_ms) < self.options.session_timeout_ms {
            return Turn::Wait;
        }
        self.member = Arc::from("");
        self.give_back(true)
    }

    /// The generation is over: what was told to be ours goes back first, be it nothing.
    fn give_back(&mut self, lost: bool) -> Turn {
        match self.standing {
            // It was told already. The session may end meanwhile: heartbeats stop, commits are refused.
            Standing::Told { .. } => {
                if lost {
                    self.heartbeat = None;
                    self.standing = Standing::Told { lost: true };
                }
                return Turn::Wait;
            }
            Standing::Stable => self.standing = Standing::Telling { lost },
            _ if self.owned.is_empty() => self.standing = Standing::Due,
            _ => self.standing = Standing::Telling { lost },
        }
        Turn::Again
    }

    /// Whether we were away for so long that a rebalance would not have waited for us.
    fn overslept(&mut self, now_ms: i64) -> bool {
        let before = self.polled_ms.replace(now_ms);
        let takes_part = !matches!(self.standing, Standing::Outside | Standing::Due | Standing::Fenced(_));
        takes_part && before.is_some_and(|before| now_ms - before > self.options.max_poll_interval_ms)
    }

    /// Tells the coordinator that we are gone. A static member keeps its place until its session ends.
    fn say_farewell(&mut self, now_ms: i64) {
        self.owes_farewell = false;
        let member = std::mem::take(&mut self.member);
        if self.options.instance.is_some() || member.is_empty() {
            return;
        }
        let leaving = LeavingMember { member_id: member, group_instance_id: None };
        let request =
            LeaveGroupRequest { group_id: self.options.group.as_str().into(), members: vec![leaving] };
        let ticket = self.door.submit(request.into(), now_ms);
        self.door.abandon(ticket);
    }

    /// Drops requests about the membership that are under way.
    fn stop_asking(&mut self) {
        let standing = std::mem::replace(&mut self.standing, Standing::Due);
        if let Standing::Joining(errand) | Standing::Counting(errand, _) | Standing::Syncing(errand, _) =
            standing
        {
            errand.abandon(&self.door);
        }
        if let Some(errand) = self.heartbeat.take() {
            errand.abandon(&self.door);
        }
    }
}

impl Membership for MemoryMember {
    fn subscribe(&mut self, topics: &[TopicName]) {
        let mut topics = topics.to_vec();
        topics.sort();
        topics.dedup();
        if topics == self.topics && !matches!(self.standing, Standing::Outside) {
            return;
        }
        self.topics = topics;
        match self.standing {
            // What is owned goes back first; then we join with the new topics.
            Standing::Stable => self.standing = Standing::Telling { lost: false },
            Standing::Telling { .. } | Standing::Told { .. } | Standing::Fenced(_) => {}
            _ => self.stop_asking(),
        }
    }

    fn poll(&mut self, now_ms: i64) -> Result<Option<GroupEvent>, KafkaError> {
        if self.owes_farewell {
            self.say_farewell(now_ms);
        }
        if self.overslept(now_ms) {
            self.say_farewell(now_ms);
            let told = matches!(self.standing, Standing::Told { .. });
            let owns = !self.owned.is_empty() || matches!(self.standing, Standing::Stable);
            self.stop_asking();
            self.standing = match (told, owns) {
                (true, _) => Standing::Told { lost: true },
                (false, true) => Standing::Telling { lost: true },
                (false, false) => Standing::Due,
            };
        }
        loop {
            match self.turn(now_ms)? {
                Turn::Again => {}
                Turn::Wait => return Ok(None),
                Turn::Tell(event) => return Ok(Some(event)),
            }
        }
    }

    fn release(&mut self) {
        if matches!(self.standing, Standing::Told { .. }) {
            self.stop_asking();
        }
    }

    fn rejoin(&mut self) {
        if matches!(self.standing, Standing::Outside | Standing::Fenced(_)) {
            return;
        }
        self.stop_asking();
        self.owes_farewell = true;
        self.standing = Standing::Telling { lost: true };
    }

    fn generation(&self) -> GroupMetadata {
        self.metadata.clone()
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
        now_ms: i64,
    ) -> Answer<Vec<Option<CommittedOffset>>> {
        let request = OffsetFetchRequest {
            group_id: self.options.group.as_str().into(),
            member: MemberClaim::none(),
            partitions: Some(partitions.iter().map(place::at).collect()),
            require_stable: true,
        };
        let errand = Errand::resume(&mut self.committed, request, REQUEST_TIMEOUT_MS);
        let Poll::Ready(answer) = errand.poll::<OffsetFetchResponse>(&self.door, now_ms) else {
            return Poll::Pending;
        };
        match answer.and_then(fetched) {
            Ok(offsets) => {
                self.committed = None;
                Poll::Ready(Ok(offsets))
            }
            // UNSTABLE_OFFSET_COMMIT is one of them.
            Err(code) if code.is_retriable() => Poll::Pending,
            Err(code) => {
                self.committed = None;
                let what = format!("committed offsets of group `{}` cannot be read", self.options.group);
                Poll::Ready(Err(place::answered(code, Fault::Refused, what)))
            }
        }
    }

    fn commit(&mut self, offsets: &[OffsetCommit], now_ms: i64) -> Answer<()> {
        if offsets.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let request = OffsetCommitRequest {
            group_id: self.options.group.as_str().into(),
            member: transaction::claim(&self.metadata),
            offsets: offsets.iter().map(transaction::to_commit).collect(),
        };
        let errand = Errand::resume(&mut self.commit, request, REQUEST_TIMEOUT_MS);
        let Poll::Ready(answer) = errand.poll::<OffsetCommitResponse>(&self.door, now_ms) else {
            return Poll::Pending;
        };
        let code = match answer.and_then(|response| transaction::first_error(&response.partitions)) {
            Ok(()) => ErrorCode::None,
            Err(code) => code,
        };
        if code.is_retriable() {
            return Poll::Pending;
        }
        self.commit = None;
        let fault = match code {
            ErrorCode::None => return Poll::Ready(Ok(())),
            ErrorCode::IllegalGeneration
            | ErrorCode::UnknownMemberId
            | ErrorCode::FencedInstanceId
            | ErrorCode::RebalanceInProgress => Fault::Stale,
            _ => Fault::Refused,
        };
        let what = format!("offsets of group `{}` were not committed", self.options.group);
        Poll::Ready(Err(place::answered(code, fault, what)))
    }

    fn leave(&mut self, now_ms: i64) {
        self.stop_asking();
        self.say_farewell(now_ms);
        self.owned.clear();
        self.topics.clear();
        self.polled_ms = None;
        self.standing = Standing::Outside;
    }
}

fn fetched(response: OffsetFetchResponse) -> Result<Vec<Option<CommittedOffset>>, ErrorCode> {
    response.error.check()?;
    let mut offsets = Vec::with_capacity(response.partitions.len());
    for partition in response.partitions {
        partition.error.check()?;
        let committed = partition.committed.filter(|committed| committed.offset >= 0);
        offsets.push(committed.map(|committed| CommittedOffset {
            offset: committed.offset,
            metadata: committed.metadata.to_string(),
        }));
    }
    Ok(offsets)
}
