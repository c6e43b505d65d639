//! The feed: numbered records, at a rate, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use headwater::codec::partition::partition_for_key;
use headwater::kafka::{Cluster, Fault, ProducerOptions};
use headwater::time::{Clock, SystemClock};
use headwater::{RecordBatch, TopicPartition};

use crate::Fallible;
use crate::cluster::answer;

/// Event times begin here: September 2020.
const EPOCH_MS: i64 = 1_600_000_000_000;

/// Records between two looks at what the brokers say.
const AT_ONCE: u64 = 20_000;
/// No limit but the rate.
pub(crate) const UNBOUNDED: u64 = u64::MAX;

/// What is fed.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    pub(crate) keys: u64,
    pub(crate) rate: u64,
    pub(crate) seed: u64,
    /// The first records have each key once, in order.
    pub(crate) each_first: bool,
    /// How many records there may be by now; whoever feeds as fast as it is read raises it.
    pub(crate) allowed: Arc<AtomicU64>,
}

/// A feed that runs.
pub(crate) struct Feeding {
    stop: Arc<AtomicBool>,
    pub(crate) sent: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), String>>,
}

impl Feed {
    pub(crate) fn start(self, cluster: &Arc<dyn Cluster>) -> Feeding {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count, cluster) = (Arc::clone(&stop), Arc::clone(&sent), cluster.for_worker());
        let thread = std::thread::spawn(move || {
            self.run(cluster.as_ref(), &told, &count).map_err(|error| format!("the feed: {error}"))
        });
        Feeding { stop, sent, thread }
    }

    fn run(&self, cluster: &dyn Cluster, stop: &AtomicBool, sent: &AtomicU64) -> Fallible<()> {
        let clock = SystemClock::new();
        let mut producer = cluster.producer(&ProducerOptions {
            client: "chaos-feed".to_owned(),
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            request_timeout_ms: 30_000,
        });
        answer(cluster, &clock, |now_ms| producer.init(now_ms))?;
        let mut chance = fastrand::Rng::with_seed(self.seed);
        let mut batches: Vec<_> = (0..self.partitions).map(|_| RecordBatch::default()).collect();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            let due = clock.elapsed_us().saturating_mul(self.rate) / 1_000_000;
            let due = due.min(self.allowed.load(Ordering::Relaxed)).min(number + AT_ONCE);
            while number < due {
                let first = self.each_first && number < self.keys;
                let key = format!("key-{:04}", if first { number } else { chance.u64(..self.keys) });
                let partition = partition_for_key(key.as_bytes(), self.partitions);
                let time = EPOCH_MS + i64::try_from(number)?;
                let value = format!("value-{number}");
                batches[usize::try_from(partition)?].push(
                    time,
                    Some(key.as_bytes()),
                    Some(value.as_bytes()),
                    0,
                );
                number += 1;
            }
            for (partition, batch) in (0..).zip(&mut batches).filter(|(_, batch)| !batch.is_empty()) {
                producer.send(&TopicPartition::new(self.topic.as_str(), partition), batch, clock.now_ms())?;
            }
            match producer.poll(clock.now_ms()) {
                Err(error) if error.fault != Fault::Retriable => return Err(error.into()),
                _ => sent.store(number, Ordering::Relaxed),
            }
            cluster.wait(5);
        }
        answer(cluster, &clock, |now_ms| producer.flush(now_ms))
    }
}

impl Feeding {
    /// Ends the feed; all that was counted is written then.
    pub(crate) fn stop(self) -> Fallible<u64> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(result) => result?,
            Err(_) => return Err("the feed has panicked".into()),
        }
        Ok(self.sent.load(Ordering::Relaxed))
    }

    /// Whether it has ended by itself, which is an error.
    pub(crate) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }
}
