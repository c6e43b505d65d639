//! The uniform assignor: loads differ by one at most where subscriptions allow it, and few partitions move.
//!
//! 1. Everybody keeps what it had, as far as it is still wanted.
//! 2. What nobody has goes to the subscriber that holds least, and of those to the one that holds least of its
//!    topic; topics with few subscribers come first.
//! 3. As long as one subscriber holds at least two partitions more than another, one is handed on, directly or
//!    through subscribers between them: each of those takes one and gives one. The heaviest gives first, to the
//!    lightest of those that are nearest, so that nothing moves twice without need. When no such chain is left,
//!    no distribution is more even.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Partitions, Place, Subscriber, Topics};
use crate::api::TopicId;

pub(super) fn assign(subscribers: &[Subscriber<'_>], topics: &Topics) -> Vec<Partitions> {
    let mut plan = Plan::keeping(subscribers, topics);
    plan.give_the_rest(topics);
    while let Some(chain) = plan.unfair_chain() {
        plan.hand_on(&chain);
    }
    plan.loads.into_iter().map(Load::into_partitions).collect()
}

/// What one subscriber holds.
#[derive(Default)]
struct Load {
    count: usize,
    topics: BTreeMap<TopicId, BTreeSet<i32>>,
}

impl Load {
    fn of_topic(&self, topic: TopicId) -> usize {
        self.topics.get(&topic).map_or(0, BTreeSet::len)
    }

    fn add(&mut self, at: Place) {
        self.topics.entry(at.topic).or_default().insert(at.partition);
        self.count += 1;
    }

    /// Takes the last partition of a topic away.
    fn take(&mut self, topic: TopicId) -> Place {
        let held = self.topics.get_mut(&topic).expect("chains lead over topics that are held");
        let partition = held.pop_last().expect("topics without partitions are not kept");
        if held.is_empty() {
            self.topics.remove(&topic);
        }
        self.count -= 1;
        Place { topic, partition }
    }

    fn into_partitions(self) -> Partitions {
        let of_topic = |(topic, held): (TopicId, BTreeSet<i32>)| {
            held.into_iter().map(move |partition| Place { topic, partition })
        };
        self.topics.into_iter().flat_map(of_topic).collect()
    }
}

struct Plan<'a> {
    subscribers: &'a [Subscriber<'a>],
    /// Who wants a topic.
    takers: BTreeMap<TopicId, Vec<usize>>,
    /// By subscriber.
    loads: Vec<Load>,
}

impl<'a> Plan<'a> {
    fn keeping(subscribers: &'a [Subscriber<'a>], topics: &Topics) -> Self {
        let mut takers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
        let mut taken = Partitions::new();
        let mut loads = Vec::with_capacity(subscribers.len());
        for (index, subscriber) in subscribers.iter().enumerate() {
            for topic in subscriber.topics {
                takers.entry(*topic).or_default().push(index);
            }
            let exists = |at: &Place| topics.get(&at.topic).is_some_and(|count| at.partition < *count);
            let mut load = Load::default();
            for at in subscriber.had {
                if subscriber.topics.contains(&at.topic) && exists(at) && taken.insert(*at) {
                    load.add(*at);
                }
            }
            loads.push(load);
        }
        Self { subscribers, takers, loads }
    }

    fn give_the_rest(&mut self, topics: &Topics) {
        let mut order: Vec<TopicId> = topics.keys().copied().collect();
        order.sort_by_key(|topic| self.takers.get(topic).map_or(0, Vec::len));
        for topic in order {
            let Some(takers) = self.takers.get(&topic) else { continue };
            let held: BTreeSet<i32> = takers
                .iter()
                .filter_map(|taker| self.loads[*taker].topics.get(&topic))
                .flatten()
                .copied()
                .collect();
            for partition in (0..topics[&topic]).filter(|partition| !held.contains(partition)) {
                let load = |taker: &usize| (self.loads[*taker].count, self.loads[*taker].of_topic(topic));
                let lightest = takers.iter().copied().min_by_key(load);
                if let Some(taker) = lightest {
                    self.loads[taker].add(Place { topic, partition });
                }
            }
        }
    }

    /// A chain of subscribers along which a partition can be handed on so that loads become more even.
    fn unfair_chain(&self) -> Option<Vec<usize>> {
        let least = self.loads.iter().map(|load| load.count).min()?;
        let mut heavy: Vec<usize> = (0..self.loads.len()).collect();
        heavy.retain(|index| self.loads[*index].count >= least + 2);
        heavy.sort_by_key(|index| Reverse(self.loads[*index].count));
        heavy.into_iter().find_map(|from| self.chain_from(from))
    }

    /// The shortest chain from this subscriber to one that holds at least two less; of those the lightest.
    fn chain_from(&self, from: usize) -> Option<Vec<usize>> {
        let enough = self.loads[from].count - 2;
        let mut before: BTreeMap<usize, usize> = BTreeMap::new();
        let mut seen_topics: BTreeSet<TopicId> = BTreeSet::new();
        let mut ring = vec![from];
        while !ring.is_empty() {
            let mut next_ring = Vec::new();
            for giver in ring {
                for topic in self.loads[giver].topics.keys().filter(|topic| seen_topics.insert(**topic)) {
                    for taker in &self.takers[topic] {
                        if *taker != from && !before.contains_key(taker) {
                            before.insert(*taker, giver);
                            next_ring.push(*taker);
                        }
                    }
                }
            }
            let light = next_ring.iter().copied().filter(|taker| self.loads[*taker].count <= enough);
            if let Some(mut last) = light.min_by_key(|taker| self.loads[*taker].count) {
                let mut chain = vec![last];
                while let Some(giver) = before.get(&last) {
                    chain.push(*giver);
                    last = *giver;
                }
                return Some(chain);
            }
            ring = next_ring;
        }
        None
    }

    /// Hands a partition on from each subscriber of the chain to the one before it in the list.
    fn hand_on(&mut self, chain: &[usize]) {
        for pair in chain.windows(2) {
            let (taker, giver) = (pair[0], pair[1]);
            let wanted = self.subscribers[taker].topics;
            let surplus = |topic: &TopicId| {
                let of = |index: usize| i64::try_from(self.loads[index].of_topic(*topic)).unwrap_or(i64::MAX);
                of(giver) - of(taker)
            };
            let shared = self.loads[giver].topics.keys().copied().filter(|topic| wanted.contains(topic));
            let topic = shared.max_by_key(surplus).expect("the chain leads over a topic that both want");
            let at = self.loads[giver].take(topic);
            self.loads[taker].add(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % sides
        }
    }

    fn at(topic: u128, partition: i32) -> Place {
        Place { topic: TopicId(topic), partition }
    }

    /// Topics wanted, and what was held, of each subscriber.
    type Members = Vec<(BTreeSet<TopicId>, Partitions)>;

    fn assigned(members: &Members, topics: &Topics) -> Vec<Partitions> {
        let subscribers: Vec<Subscriber<'_>> =
            members.iter().map(|(topics, had)| Subscriber { topics, had }).collect();
        assign(&subscribers, topics)
    }

    /// Members of whom each wants a topic with one chance in `chances`, with partitions that anybody had.
    fn any_members(dice: &mut Dice, topics: &Topics, chances: u64) -> Members {
        let mut members: Members = vec![(BTreeSet::new(), Partitions::new()); 3];
        for (topic, count) in topics {
            for (wanted, _) in &mut members {
                if dice.roll(chances) == 0 {
                    wanted.insert(*topic);
                }
            }
            for partition in 0..*count {
                if let Some((_, had)) = members.get_mut(usize::try_from(dice.roll(4)).unwrap_or(0)) {
                    had.insert(Place { topic: *topic, partition });
                }
            }
        }
        members
    }

    /// The smallest sum of squared loads that any distribution of these partitions has, by trying them all.
    fn most_even(places: &[Place], members: &Members, loads: &mut [usize]) -> usize {
        let Some((place, rest)) = places.split_first() else { return squares(loads.iter().copied()) };
        let mut best = usize::MAX;
        let mut is_wanted = false;
        for (index, (wanted, _)) in members.iter().enumerate() {
            if wanted.contains(&place.topic) {
                is_wanted = true;
                loads[index] += 1;
                best = best.min(most_even(rest, members, loads));
                loads[index] -= 1;
            }
        }
        if is_wanted { best } else { most_even(rest, members, loads) }
    }

    fn squares(loads: impl Iterator<Item = usize>) -> usize {
        loads.map(|load| load * load).sum()
    }

    #[test]
    fn no_distribution_is_more_even() {
        let mut dice = Dice(1);
        for _ in 0..300 {
            let topics: Topics = [(TopicId(1), 3), (TopicId(2), 1), (TopicId(3), 3)].into();
            let members = any_members(&mut dice, &topics, 2);
            let given = assigned(&members, &topics);
            let places: Vec<Place> = topics
                .iter()
                .flat_map(|(topic, count)| (0..*count).map(|partition| Place { topic: *topic, partition }))
                .collect();
            for place in &places {
                let wanted = members.iter().any(|(wanted, _)| wanted.contains(&place.topic));
                let holders = given.iter().filter(|given| given.contains(place)).count();
                assert_eq!(holders, usize::from(wanted), "{place:?} of {members:?}: {given:?}");
            }
            let best = most_even(&places, &members, &mut [0; 3]);
            assert_eq!(squares(given.iter().map(BTreeSet::len)), best, "{members:?}: {given:?}");
        }
    }

    /// Where all want the same, nobody gives up more than it has too much.
    #[test]
    fn as_few_as_possible_move() {
        let mut dice = Dice(2);
        for _ in 0..300 {
            let topics: Topics = [(TopicId(1), 6), (TopicId(2), 5), (TopicId(3), 3)].into();
            let members = any_members(&mut dice, &topics, 1);
            let given = assigned(&members, &topics);
            // Fourteen partitions: two members may keep five, one four.
            let mut had: Vec<usize> = members.iter().map(|(_, had)| had.len()).collect();
            had.sort_unstable();
            let least: usize = had.iter().zip([4, 5, 5]).map(|(had, share)| had.saturating_sub(share)).sum();
            let moved: usize =
                members.iter().zip(&given).map(|((_, had), given)| had.difference(given).count()).sum();
            assert_eq!(moved, least, "{members:?}: {given:?}");
        }
    }

    /// Of members with as much, the one with less of the topic gets the next partition of it.
    #[test]
    fn a_topic_is_spread() {
        let topics: Topics = [(TopicId(1), 2), (TopicId(2), 1)].into();
        let both: BTreeSet<TopicId> = topics.keys().copied().collect();
        let members = vec![(both.clone(), [at(1, 0)].into()), (both, [at(2, 0)].into())];
        assert_eq!(assigned(&members, &topics), [[at(1, 0)].into(), Partitions::from([at(1, 1), at(2, 0)])]);
    }
}
