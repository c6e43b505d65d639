//! Waiting: fetches that found too little, and the partitions that they wait for. What comes to one partition wakes
//! nobody who waits for others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::api::TopicPartition;
use crate::broker::Moved;

/// Who waits.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    next: u64,
    /// By partition, and then by a number of their own.
    by_partition: BTreeMap<TopicPartition, BTreeMap<u64, Arc<Notify>>>,
}

/// One that waits, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    waiting: Arc<Waiting>,
    number: u64,
    partitions: Vec<TopicPartition>,
    news: Arc<Notify>,
}

impl Waiting {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait for partitions that have moved.
    pub(super) fn wake(&self, moved: &Moved) {
        if moved.is_empty() {
            return;
        }
        let places = self.places();
        let waiters =
            |at: &TopicPartition| places.by_partition.get(at).into_iter().flat_map(BTreeMap::values);
        match moved {
            Moved::These(these) => these.iter().flat_map(waiters).for_each(|news| news.notify_one()),
            Moved::All => places.by_partition.keys().flat_map(waiters).for_each(|news| news.notify_one()),
        }
    }

    /// From now on there is news for whoever has this when one of these partitions moves.
    pub(super) fn wait_for(self: &Arc<Self>, partitions: Vec<TopicPartition>) -> Place {
        let news = Arc::new(Notify::new());
        let mut places = self.places();
        let number = places.next;
        places.next += 1;
        for at in &partitions {
            places.by_partition.entry(at.clone()).or_default().insert(number, news.clone());
        }
        drop(places);
        Place { waiting: self.clone(), number, partitions, news }
    }
}

impl Place {
    /// Waits for news; what came since the last time counts.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.waiting.places();
        for at in &self.partitions {
            if let Some(waiters) = places.by_partition.get_mut(at) {
                waiters.remove(&self.number);
                if waiters.is_empty() {
                    places.by_partition.remove(at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::{Moved, Place, Waiting};
    use crate::api::TopicPartition;

    fn these(partitions: &[i32]) -> Moved {
        Moved::These(partitions.iter().map(|number| TopicPartition::new("t", *number)).collect())
    }

    /// Whether there is news; it is taken.
    fn is_woken(place: &Place) -> bool {
        let news = std::pin::pin!(place.news());
        news.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn only_who_waits_for_a_partition_hears_of_it() {
        let waiting = Arc::new(Waiting::default());
        let wait = |partitions: &[i32]| {
            let partitions = partitions.iter().map(|number| TopicPartition::new("t", *number));
            waiting.wait_for(partitions.collect())
        };
        let (first, second, both) = (wait(&[1]), wait(&[2]), wait(&[1, 2]));
        let woken = |moved: &Moved| {
            waiting.wake(moved);
            [&first, &second, &both].map(is_woken)
        };
        assert_eq!(woken(&Moved::default()), [false; 3]);
        assert_eq!(woken(&these(&[1])), [true, false, true]);
        assert_eq!(woken(&these(&[2, 3])), [false, true, true]);
        assert_eq!(woken(&these(&[3])), [false; 3]);
        assert_eq!(woken(&Moved::All), [true; 3]);
        drop((first, second, both));
        assert!(waiting.places().by_partition.is_empty(), "nobody is left behind");
    }
}
