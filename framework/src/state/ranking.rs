//! The ranking: one board's members in order, in memory, and what they are ordered by.
//!
//! 1. Every member has one place: its score, then its bytes. The best place comes first.
//! 2. The first `n` places are shown. `last_shown` is the `n`-th one, `None` while there are fewer members; it moves
//!    by one neighbour with each place that comes or goes, so nothing here costs more than O(log n).
//! 3. A deleted member stays as a slot without row until its deletion has reached the byte store.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;

/// A score as it is ordered: all scores of a board are ordered the same way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Score<S> {
    /// The highest comes first.
    Highest(Reverse<S>),
    /// The lowest comes first.
    Lowest(S),
}

/// How members are ordered and how many are shown.
pub struct RankBy<V, S> {
    /// How many members are shown.
    pub shown: usize,
    /// Whether the lowest score comes first.
    pub lowest_first: bool,
    /// Tells the score of a row. It must tell the same for the same row, today and after a restart.
    pub score: Arc<dyn Fn(&V) -> S + Send + Sync>,
}

impl<V, S> Clone for RankBy<V, S> {
    fn clone(&self) -> Self {
        Self { shown: self.shown, lowest_first: self.lowest_first, score: Arc::clone(&self.score) }
    }
}

impl<V, S> RankBy<V, S> {
    pub(super) fn score(&self, row: &V) -> Score<S> {
        let score = (self.score)(row);
        if self.lowest_first { Score::Lowest(score) } else { Score::Highest(Reverse(score)) }
    }
}

/// A place in the order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place<S> {
    score: Score<S>,
    member: Rc<[u8]>,
}

/// What a board knows about one member.
pub(super) struct Slot<V, S> {
    row: Option<(V, Score<S>)>,
    /// Timestamp of the row, or of its deletion.
    pub(super) timestamp: i64,
    /// Waits for its commit.
    pub(super) dirty: bool,
    /// Waits for its flush.
    pub(super) unflushed: bool,
}

impl<V, S> Slot<V, S> {
    pub(super) fn value(&self) -> Option<&V> {
        self.row.as_ref().map(|(value, _)| value)
    }
}

/// What setting a member's row would do to the shown places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// There was no row and there is none.
    Nothing,
    /// Only places that are not shown change.
    Hidden,
    /// A shown place keeps its score; its row may be another one.
    SamePlace,
    /// A shown place comes, goes or moves.
    Shown,
}

/// Estimated bytes of a member in memory: its key once, its slot, its place, and what map and tree add to them.
pub(super) fn member_bytes<V, S>(member: &[u8]) -> usize {
    member.len() + size_of::<Slot<V, S>>() + size_of::<Place<S>>() + 64
}

/// Estimated bytes of an empty board in memory.
pub(super) fn board_bytes<V, S>(board: &[u8]) -> usize {
    board.len() + size_of::<Ranking<V, S>>() + 64
}

/// One board's members in order.
pub(super) struct Ranking<V, S> {
    members: HashMap<Rc<[u8]>, Slot<V, S>>,
    order: BTreeSet<Place<S>>,
    last_shown: Option<Place<S>>,
    shown: usize,
    /// The board's bytes.
    pub(super) board: Rc<[u8]>,
    /// Members that are dirty or unflushed; without any, the board may be dropped from memory.
    pub(super) unsaved: usize,
    /// The flush period in which the board was used last.
    pub(super) used: u32,
    /// Whether the byte store's index of windows has the board.
    pub(super) indexed: bool,
}

impl<V, S: Ord + Clone> Ranking<V, S> {
    /// An empty ranking whose first `shown` places are shown.
    pub(super) fn new(board: Rc<[u8]>, shown: usize) -> Self {
        Self {
            members: HashMap::new(),
            order: BTreeSet::new(),
            last_shown: None,
            shown,
            board,
            unsaved: 0,
            used: 0,
            indexed: false,
        }
    }

    /// Number of members with a row.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing is lost when the board is dropped from memory.
    pub(super) fn is_idle(&self) -> bool {
        self.order.is_empty() && self.unsaved == 0
    }

    /// The bytes of a member, shared with its slot where there is one.
    pub(super) fn shared_key(&self, member: &[u8]) -> Rc<[u8]> {
        self.members.get_key_value(member).map_or_else(|| member.into(), |(key, _)| Rc::clone(key))
    }

    /// Estimated bytes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let members: usize = self.members.keys().map(|member| member_bytes::<V, S>(member)).sum();
        members + board_bytes::<V, S>(&self.board)
    }

    /// The slot of a member.
    pub(super) fn slot(&self, member: &[u8]) -> Option<&Slot<V, S>> {
        self.members.get(member)
    }

    /// The same, to be marked.
    pub(super) fn slot_mut(&mut self, member: &[u8]) -> Option<&mut Slot<V, S>> {
        self.members.get_mut(member)
    }

    /// The bytes of all members with a row, in order.
    pub(super) fn keys(&self) -> Vec<Rc<[u8]>> {
        self.order.iter().map(|place| Rc::clone(&place.member)).collect()
    }

    /// The shown members with their rows and timestamps, best first.
    pub(super) fn top(&self) -> impl Iterator<Item = (&[u8], &V, i64)> {
        self.order.iter().take(self.shown).filter_map(|place| {
            let slot = self.members.get(&place.member)?;
            Some((&*place.member, slot.value()?, slot.timestamp))
        })
    }

    /// What it would do to give `member` this score, or to delete it.
    pub(super) fn effect(&self, member: &[u8], score: Option<&Score<S>>) -> Effect {
        let old = self.members.get(member).and_then(|slot| slot.row.as_ref()).map(|(_, score)| score);
        let shows = |score: &Score<S>, inclusive: bool| match &self.last_shown {
            None => true,
            Some(last) => match (score, member).cmp(&(&last.score, &*last.member)) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => inclusive,
                std::cmp::Ordering::Greater => false,
            },
        };
        match (old, score) {
            (None, None) => Effect::Nothing,
            (Some(old), Some(new)) if old == new && shows(old, true) => Effect::SamePlace,
            (old, new) => {
                let leaves = old.is_some_and(|score| shows(score, true));
                let enters = new.is_some_and(|score| shows(score, false));
                if leaves || enters { Effect::Shown } else { Effect::Hidden }
            }
        }
    }

    /// Gives `member` a row, or deletes it; returns whether the slot is new. The caller marks the slot.
    pub(super) fn set(&mut self, member: &Rc<[u8]>, row: Option<(V, Score<S>)>, timestamp: i64) -> bool {
        let new_score = row.as_ref().map(|(_, score)| score.clone());
        let (old_score, fresh) = match self.members.get_mut(member) {
            Some(slot) => {
                slot.timestamp = timestamp;
                (std::mem::replace(&mut slot.row, row).map(|(_, score)| score), false)
            }
            None => {
                let slot = Slot { row, timestamp, dirty: false, unflushed: false };
                self.members.insert(Rc::clone(member), slot);
                (None, true)
            }
        };
        if old_score != new_score {
            if let Some(score) = old_score {
                self.leave(&Place { score, member: Rc::clone(member) });
            }
            if let Some(score) = new_score {
                self.enter(Place { score, member: Rc::clone(member) });
            }
        }
        fresh
    }

    /// Forgets a member that has no row any more.
    pub(super) fn forget(&mut self, member: &[u8]) {
        self.members.remove(member);
    }

    fn enter(&mut self, place: Place<S>) {
        let before_last = self.last_shown.as_ref().map(|last| place < *last);
        self.order.insert(place);
        match (&self.last_shown, before_last) {
            (Some(last), Some(true)) => self.last_shown = self.order.range(..last).next_back().cloned(),
            (None, _) if self.order.len() == self.shown => self.last_shown = self.order.last().cloned(),
            _ => {}
        }
    }

    fn leave(&mut self, place: &Place<S>) {
        self.order.remove(place);
        let Some(last) = &self.last_shown else { return };
        if place <= last {
            let behind = (Bound::Excluded(last), Bound::Unbounded);
            self.last_shown = self.order.range(behind).next().cloned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(score: i64) -> Score<i64> {
        Score::Highest(Reverse(score))
    }

    fn set(ranking: &mut Ranking<i64, i64>, member: &str, row: Option<i64>) -> Effect {
        let member = ranking.shared_key(member.as_bytes());
        let effect = ranking.effect(&member, row.map(score).as_ref());
        ranking.set(&member, row.map(|row| (row, score(row))), 0);
        effect
    }

    #[test]
    fn an_effect_is_known_before_it_happens() {
        let mut ranking = Ranking::new(b"board"[..].into(), 2);
        let steps = [
            ("b", Some(5), Effect::Shown, "b"),
            ("b", Some(5), Effect::SamePlace, "b"),
            ("c", Some(4), Effect::Shown, "bc"),
            ("d", Some(3), Effect::Hidden, "bc"),
            ("d", Some(3), Effect::Hidden, "bc"),
            ("e", None, Effect::Nothing, "bc"),
            ("a", Some(4), Effect::Shown, "ba"),
            ("c", Some(3), Effect::Hidden, "ba"),
            ("d", None, Effect::Hidden, "ba"),
            ("b", Some(1), Effect::Shown, "ac"),
            ("a", None, Effect::Shown, "cb"),
            ("a", None, Effect::Nothing, "cb"),
            ("c", None, Effect::Shown, "b"),
        ];
        for (member, row, expected, top) in steps {
            assert_eq!(set(&mut ranking, member, row), expected, "{member} {row:?}");
            let shown: Vec<u8> = ranking.top().flat_map(|(member, ..)| member.to_vec()).collect();
            assert_eq!(shown, top.as_bytes(), "{member} {row:?}");
        }
    }
}
