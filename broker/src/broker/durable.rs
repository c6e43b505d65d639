//! Durable state: facts are written to the journal, and a start is made from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Broker;
use crate::api::{Response, TopicId};
use crate::error::ErrorCode;
use crate::group::{Group, Groups, Turn, refused};
use crate::identity::IdSource;
use crate::journal::Fact;
use crate::topic::{Catalogue, Settings, Topic, TopicFact};
use crate::transaction::{Coordinator, MarkerTarget};

/// Producer ids that are reserved at a time, as by Kafka's controller.
const PRODUCER_IDS: i64 = 1_000;
/// What storage has refused is tried again after this time.
const STALL_MS: i64 = 100;

/// What the facts of a journal come to.
#[derive(Default)]
struct Replayed {
    /// Whether there was any.
    any: bool,
    start: u32,
    topics: BTreeMap<Arc<str>, TopicFact>,
    deleted: Vec<(Arc<str>, TopicId, i32)>,
    groups: Groups,
    coordinator: Coordinator,
    /// Whether there was one that says nothing to this version.
    unknown: bool,
}

impl Replayed {
    fn apply(&mut self, entry: &[u8]) {
        self.any = true;
        let Some(fact) = Fact::decode(entry) else {
            self.unknown = true;
            return;
        };
        match fact {
            Fact::Started(start) => self.start = start,
            Fact::Topic(topic) => {
                self.topics.insert(topic.name.clone(), topic);
            }
            Fact::TopicDeleted { name, id, partitions } => {
                self.topics.remove(&name);
                for group in self.groups.iter_mut() {
                    group.offsets.forget_topic(&name);
                }
                self.deleted.push((name, id, partitions));
            }
            Fact::Transaction(transaction) => self.coordinator.restore(transaction),
            Fact::TransactionForgotten(id) => self.coordinator.forget(&id),
            Fact::ProducerIds(next) => self.coordinator.skip_producer_ids(next),
            fact => fact.apply_to_groups(&mut self.groups),
        }
    }
}

impl Fact {
    /// Does what the fact says of a group.
    pub(super) fn apply_to_groups(self, groups: &mut Groups) {
        match self {
            Self::Committed { group, producer_id, at_ms, offsets } => {
                let kept = &mut groups.get_or_create(&group).offsets;
                for offset in &offsets {
                    match producer_id {
                        Some(producer_id) => kept.commit_pending(producer_id, offset, at_ms),
                        None => kept.commit(offset, at_ms),
                    }
                }
            }
            Self::Ended { group, producer_id, kind } => {
                if let Some(group) = groups.get_mut(&group) {
                    group.offsets.end_transaction(producer_id, kind);
                }
            }
            Self::OffsetsDeleted { group, partitions } => {
                if let Some(group) = groups.get_mut(&group) {
                    partitions.iter().for_each(|at| group.offsets.delete(at));
                }
            }
            Self::Group(group) => groups.restore(group),
            Self::GroupDeleted(id) => groups.remove(&id),
            _ => {}
        }
    }
}

impl Broker {
    /// Writes a fact; if that fails it has not happened.
    pub(super) fn note(&mut self, fact: &Fact) -> Result<(), ErrorCode> {
        self.say_start()?;
        self.storage.journal_append(&fact.encode()).map_err(|_| ErrorCode::KafkaStorageError)
    }

    /// Writes down that the broker has started once more, if that could not be written yet. What is made of the number
    /// of the start (leader epochs, ids) must not leave the broker before, or the next start would make the same again.
    pub(super) fn say_start(&mut self) -> Result<(), ErrorCode> {
        if self.start_unsaid {
            let fact = Fact::Started(self.start).encode();
            self.storage.journal_append(&fact).map_err(|_| ErrorCode::KafkaStorageError)?;
            self.start_unsaid = false;
        }
        Ok(())
    }

    /// Storage refuses: what is due is left alone for a while.
    pub(super) fn stall(&mut self) {
        self.stalled_until = self.now.saturating_add(STALL_MS);
    }

    /// Lets a group do something, and passes its answers on.
    pub(super) fn with_group<T>(
        &mut self,
        group_id: &str,
        act: impl FnOnce(&mut Groups, &mut Turn<'_>) -> T,
    ) -> T {
        self.act_on_groups(Some(group_id), act).0
    }

    /// The same for what must not be answered if it cannot be kept: then nothing of it has happened.
    pub(super) fn with_kept_group<T>(
        &mut self,
        group_id: &str,
        act: impl FnOnce(&mut Groups, &mut Turn<'_>) -> T,
    ) -> Result<T, ErrorCode> {
        let (result, noted) = self.act_on_groups(Some(group_id), act);
        noted.map(|()| result)
    }

    /// Lets all groups do something, and passes their answers on.
    pub(super) fn with_all_groups<T>(&mut self, act: impl FnOnce(&mut Groups, &mut Turn<'_>) -> T) -> T {
        self.act_on_groups(None, act).0
    }

    fn act_on_groups<T>(
        &mut self,
        touched: Option<&str>,
        act: impl FnOnce(&mut Groups, &mut Turn<'_>) -> T,
    ) -> (T, Result<(), ErrorCode>) {
        let mut answers = Vec::new();
        let mut turn = Turn {
            now: self.now,
            rules: &self.group_rules,
            ids: &mut self.ids,
            catalogue: &self.catalogue,
            answers: &mut answers,
        };
        let result = act(&mut self.groups, &mut turn);
        let noted = self.note_groups(touched);
        for (ticket, response) in answers {
            let response = match response {
                // A generation, or an id, that a crash would take back must not be heard of: members join again.
                Response::JoinGroup(joined) if noted.is_err() && joined.error == ErrorCode::None => {
                    refused(ErrorCode::CoordinatorNotAvailable, &joined.member_id).into()
                }
                other => other,
            };
            self.answer(ticket, response);
        }
        (result, noted)
    }

    /// Writes what is to be kept of groups that have changed. A group whose news cannot be written is again what the
    /// journal says.
    fn note_groups(&mut self, touched: Option<&str>) -> Result<(), ErrorCode> {
        let is_news = |group: &&Group| group.is_news(self.noted.get(group.id()));
        let changed: Vec<Arc<str>> = match touched {
            Some(id) => self.groups.get(id).filter(is_news).map(Group::id).cloned().into_iter().collect(),
            None => self.groups.iter().filter(is_news).map(Group::id).cloned().collect(),
        };
        let mut noted = Ok(());
        for id in changed {
            if let Err(error) = self.note_group(&id) {
                self.take_group_back(&id);
                noted = Err(error);
            }
        }
        noted
    }

    fn note_group(&mut self, id: &Arc<str>) -> Result<(), ErrorCode> {
        let Some(group) = self.groups.get(id) else { return Ok(()) };
        let (news, noted) = group.news(self.noted.get(id));
        if let Some(fact) = news {
            self.note(&Fact::Group(fact)).map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
        }
        self.noted.insert(id.clone(), noted);
        Ok(())
    }

    fn take_group_back(&mut self, id: &str) {
        let Some(group) = self.groups.get_mut(id) else { return };
        let refusals = group.go_back(self.noted.get(id), &self.group_rules, self.now);
        if let Some(noted) = self.noted.get_mut(id) {
            *noted = group.news(Some(noted)).1;
        }
        for (ticket, refusal) in refusals {
            self.answer(ticket, refusal);
        }
    }

    /// Changes a transactional id; a change that cannot be written is undone.
    pub(super) fn with_transaction<T>(
        &mut self,
        transactional_id: &Arc<str>,
        act: impl FnOnce(&mut Coordinator) -> Result<T, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        let before = self.coordinator.before(transactional_id);
        let known = self.coordinator.fact(transactional_id);
        let result = act(&mut self.coordinator);
        if self.coordinator.fact(transactional_id) == known {
            return result;
        }
        self.coordinator.touch(transactional_id, self.now);
        if let Some(changed) = self.coordinator.fact(transactional_id)
            && self.note(&Fact::Transaction(changed)).is_err()
        {
            self.coordinator.undo(transactional_id, before);
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let state = self.coordinator.get(transactional_id).map(crate::transaction::Transaction::state);
        self.figures.count_change(known.map(|known| known.state), state);
        result
    }

    /// Makes sure that a few producer ids may be given out.
    pub(super) fn reserve_producer_ids(&mut self) -> Result<(), ErrorCode> {
        let next = self.coordinator.next_producer_id();
        // One request takes two at most.
        if next + 2 > self.reserved_producer_ids {
            self.note(&Fact::ProducerIds(next + PRODUCER_IDS))
                .map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
            self.reserved_producer_ids = next + PRODUCER_IDS;
        }
        Ok(())
    }

    /// Writes the journal anew when it has grown long. Between two requests only: then what is known is what
    /// the facts say.
    pub(super) fn shorten_journal(&mut self) {
        if !self.down && self.storage.journal_is_long() {
            let mut facts = self.facts().into_iter().map(|fact| fact.encode());
            // If it fails the long one goes on.
            let _ = self.storage.journal_rewrite(&mut facts);
        }
    }

    /// The shortest list of facts that says what is known.
    fn facts(&self) -> Vec<Fact> {
        let mut facts = vec![Fact::Started(self.start), Fact::ProducerIds(self.reserved_producer_ids)];
        facts.extend(self.catalogue.topics.iter().map(|(name, topic)| Fact::Topic(topic.fact(name))));
        for group in self.groups.iter() {
            let id = group.id();
            facts.extend(self.noted.get(id).and_then(|noted| noted.fact(id)).map(Fact::Group));
            for (producer_id, offset, at_ms) in group.offsets.history() {
                let offsets = vec![offset];
                facts.push(Fact::Committed { group: id.clone(), producer_id, at_ms, offsets });
            }
        }
        let transactions = self.coordinator.ids();
        facts.extend(transactions.iter().filter_map(|id| self.coordinator.fact(id)).map(Fact::Transaction));
        facts
    }

    /// Knows what storage holds, and nothing else.
    pub(super) fn recover(&mut self) -> Result<(), ErrorCode> {
        let mut replayed = Replayed::default();
        self.storage
            .journal_replay(&mut |entry| replayed.apply(entry))
            .map_err(|_| ErrorCode::KafkaStorageError)?;
        if replayed.unknown {
            return Err(ErrorCode::UnsupportedVersion);
        }
        self.start_unsaid = replayed.any;
        if replayed.any {
            self.start = replayed.start + 1;
            // On a full disk it is written later, before anything else.
            let _ = self.say_start();
        }
        self.ids = IdSource::of_start(self.config.seed, self.start);
        self.compacting.clear();
        self.catalogue = Catalogue::default();
        for (name, fact) in &replayed.topics {
            let settings =
                Settings::new(&fact.configs, &self.topic_defaults).map_err(|_| ErrorCode::InvalidConfig)?;
            let topic = Topic::open(fact, settings, self.start, self.storage.as_mut())?;
            self.catalogue.topics.insert(name.clone(), topic);
        }
        for (name, id, partitions) in &replayed.deleted {
            self.remove_logs(name, *id, *partitions);
        }
        self.groups = replayed.groups;
        self.groups.begin_sessions(&self.group_rules, self.now);
        self.noted = self.groups.iter().map(|group| (group.id().clone(), group.news(None).1)).collect();
        self.coordinator = replayed.coordinator;
        self.reserved_producer_ids = self.coordinator.next_producer_id();
        self.skip_written_markers();
        Ok(())
    }

    /// Markers that stand in their logs already are not written again.
    fn skip_written_markers(&mut self) {
        for due in self.coordinator.due_markers(self.now) {
            if let MarkerTarget::Partition(at) = &due.target
                && let Ok(log) = self.catalogue.log(at)
                && log.has_marker(&due.marker)
            {
                self.coordinator.marker_written(&due);
            }
        }
    }
}
