//! The range assignor: a topic's partitions are cut into ranges, one per subscriber, the first ones a partition
//! larger where it does not come out even. Topics with the same subscribers and as many partitions are cut alike.

use super::{Partitions, Place, Subscriber, Topics};

pub(super) fn assign(subscribers: &[Subscriber<'_>], topics: &Topics) -> Vec<Partitions> {
    let mut given = vec![Partitions::new(); subscribers.len()];
    for (topic, count) in topics {
        let wants = |(_, subscriber): &(usize, &Subscriber<'_>)| subscriber.topics.contains(topic);
        let takers: Vec<usize> =
            subscribers.iter().enumerate().filter(wants).map(|(index, _)| index).collect();
        let Ok(share) = i32::try_from(takers.len()) else { continue };
        let mut next = 0;
        for (place, taker) in (0..share).zip(takers) {
            let size = count / share + i32::from(place < count % share);
            given[taker].extend((next..next + size).map(|partition| Place { topic: *topic, partition }));
            next += size;
        }
    }
    given
}
