//! What of a group outlives the broker beside its offsets: its type, its number, and its members.
//!
//! 1. The members of a classic group are kept when all have their assignment, as by Kafka. One that rebalances when the
//!    broker ends has none afterwards: they join again.
//! 2. Of a consumer group (KIP-848) all is kept but the time.
//! 3. Sessions, and the time to give partitions up, begin anew with a start.

use std::sync::Arc;

use super::classic::ClassicFact;
use super::consumer::ConsumersFact;
use super::{ClassicGroup, ConsumerGroup, Group, GroupRules, Groups, Membership};
use crate::api::{GroupType, Response, Ticket};
use crate::error::ErrorCode;

/// A group without its offsets, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupFact {
    pub(crate) id: Arc<str>,
    pub(crate) members: MembersFact,
}

/// What is kept of a group's members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MembersFact {
    Classic(ClassicFact),
    /// What has changed since the last fact: all, where that was of another type.
    Consumer(ConsumersFact),
}

/// What the journal has of a group.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    /// Which state of the group that was.
    state: (GroupType, u64),
    whole: MembersFact,
}

impl Noted {
    /// What says all of it, unless that is nothing.
    pub(crate) fn fact(&self, id: &Arc<str>) -> Option<GroupFact> {
        let nothing = matches!(&self.whole, MembersFact::Classic(group) if group.generation == 0);
        (!nothing).then(|| GroupFact { id: id.clone(), members: self.whole.clone() })
    }
}

impl Group {
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// A number for what is to be kept: while it does not change, nothing has to be written.
    fn state(&self) -> (GroupType, u64) {
        match &self.membership {
            Membership::Classic(group) => (GroupType::Classic, group.revision()),
            Membership::Consumer(group) => (GroupType::Consumer, group.revision()),
        }
    }

    /// Whether there is anything that the journal may not have.
    pub(crate) fn is_news(&self, noted: Option<&Noted>) -> bool {
        noted.map_or(self.state().1 > 0, |noted| noted.state != self.state())
    }

    /// What is to be written, if anything is, and what the journal has then.
    pub(crate) fn news(&self, noted: Option<&Noted>) -> (Option<GroupFact>, Noted) {
        let known = noted.map(|noted| &noted.whole);
        let whole = match (&self.membership, known) {
            // While it rebalances its last members are those that count.
            (Membership::Classic(group), Some(MembersFact::Classic(known))) => {
                MembersFact::Classic(group.fact(Some(known)))
            }
            (Membership::Classic(group), _) => MembersFact::Classic(group.fact(None)),
            (Membership::Consumer(group), _) => MembersFact::Consumer(group.fact()),
        };
        let news = match (&whole, known) {
            (whole, Some(known)) if whole == known => None,
            (MembersFact::Consumer(whole), Some(MembersFact::Consumer(known))) => {
                Some(MembersFact::Consumer(whole.since(known)))
            }
            (whole, _) => Some(whole.clone()),
        };
        let news = news.map(|members| GroupFact { id: self.id.clone(), members });
        (news, Noted { state: self.state(), whole })
    }

    /// Goes back to what the journal has, because it takes nothing else; refuses those who wait. A classic group whose last generation is known stays as it is: what is not written of it makes
    /// its members join again, and that is all.
    pub(crate) fn go_back(
        &mut self,
        noted: Option<&Noted>,
        rules: &GroupRules,
        now: i64,
    ) -> Vec<(Ticket, Response)> {
        let known = noted.map(|noted| noted.whole.clone());
        let refusals = match (&self.membership, &known) {
            (Membership::Classic(group), Some(MembersFact::Classic(known)))
                if group.generation() == known.generation =>
            {
                return Vec::new();
            }
            (Membership::Classic(group), _) => group.refusals(ErrorCode::CoordinatorNotAvailable),
            (Membership::Consumer(_), _) => Vec::new(),
        };
        self.membership = Membership::Classic(ClassicGroup::new(0));
        if let Some(known) = known {
            self.restore(known);
        }
        self.begin_sessions(rules, now);
        refusals
    }

    fn restore(&mut self, fact: MembersFact) {
        match (fact, &mut self.membership) {
            (MembersFact::Classic(fact), membership) => {
                *membership = Membership::Classic(ClassicGroup::restored(fact));
            }
            (MembersFact::Consumer(fact), Membership::Consumer(group)) => group.take(fact),
            (MembersFact::Consumer(fact), membership) => {
                let mut group = ConsumerGroup::new(0);
                group.take(fact);
                *membership = Membership::Consumer(group);
            }
        }
    }

    fn begin_sessions(&mut self, rules: &GroupRules, now: i64) {
        match &mut self.membership {
            Membership::Classic(group) => group.begin_sessions(now),
            Membership::Consumer(group) => group.begin_sessions(rules, now),
        }
    }
}

impl Groups {
    /// Takes a group from the journal.
    pub(crate) fn restore(&mut self, fact: GroupFact) {
        self.get_or_create(&fact.id).restore(fact.members);
    }

    /// The broker has started: all sessions begin now.
    pub(crate) fn begin_sessions(&mut self, rules: &GroupRules, now: i64) {
        self.iter_mut().for_each(|group| group.begin_sessions(rules, now));
    }

    /// Takes a group out, whatever it holds.
    pub(crate) fn remove(&mut self, id: &str) {
        self.groups.remove(id);
    }
}
