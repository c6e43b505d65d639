//! Workers are added and removed while records flow.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock};

use headwater::commit::CommitRecord;
use headwater::worker::{Observer, WorkerState};
use headwater::{Running, TaskId};

use super::bench::{Bench, counting};

/// The workers that have committed something.
#[derive(Default)]
struct Committers(Mutex<BTreeSet<usize>>);

impl Committers {
    fn are(&self, workers: &[usize]) -> bool {
        self.0.lock().unwrap().iter().eq(workers)
    }

    fn forget(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Observer for Committers {
    fn committed(&self, worker: usize, commit: &CommitRecord) {
        let tasks: Vec<TaskId> = commit.tasks.iter().map(|(task, _)| *task).collect();
        if !tasks.is_empty() {
            self.0.lock().unwrap().insert(worker);
        }
    }
}

#[test]
fn workers_come_and_go_and_nothing_is_lost_or_repeated() {
    let (mut bench, committers) = (Bench::new(), Arc::new(Committers::default()));
    let observer = Arc::clone(&committers) as Arc<dyn Observer>;
    let application = bench.application(&counting(|counts| counts), 1).observer(observer);
    let running = application.start().unwrap();
    bench.flow_until("worker 0 works", || committers.are(&[0]));
    for number in [1, 2] {
        assert_eq!(running.add_thread().unwrap(), number);
    }
    bench.flow_until("three workers work", || committers.are(&[0, 1, 2]));
    assert_eq!((bench.members(), running.states().len()), (3, 3));
    for (number, left) in [(2, 2), (1, 1)] {
        assert_eq!(running.remove_thread(), Some(number));
        // It has said goodbye: nobody waits for its session to end.
        assert_eq!((bench.members(), running.states().len()), (left, left));
    }
    committers.forget();
    bench.flow_until("worker 0 works alone", || committers.are(&[0]));
    assert_eq!(running.add_thread().unwrap(), 1, "the number is free again");
    bench.flow_until("two workers work", || committers.are(&[0, 1]));
    for number in [Some(1), Some(0), None] {
        assert_eq!(running.remove_thread(), number);
    }
    let written = bench.written();
    bench.feed();
    assert!(!running.is_finished() && running.states().is_empty());
    assert_eq!((bench.members(), bench.written()), (0, written));
    assert_eq!(running.add_thread().unwrap(), 0);
    bench.check_out();
    let figures = bench.stop(&running).unwrap();
    assert_eq!((figures.total().consumed, figures.failures), (bench.fed(), 0), "gone workers count, too");
    bench.check_producers(3);
    let error = running.add_thread().unwrap_err().to_string();
    assert_eq!(error, "no worker can be added: the application stops");
    assert_eq!(running.remove_thread(), None);
    assert_eq!(running.states(), [WorkerState::Stopped]);
}

#[test]
fn a_function_on_a_worker_may_remove_workers() {
    for workers in [1, 3] {
        let (mut bench, handle) = (Bench::new(), Arc::new(OnceLock::<Running>::new()));
        let (remote, left) = (Arc::clone(&handle), Arc::new(AtomicUsize::new(workers)));
        let topology = counting(move |counts| {
            let (remote, left) = (Arc::clone(&remote), Arc::clone(&left));
            let is_asked = move || left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
            counts.map_values(move |count| {
                if count == 2 && is_asked() {
                    remote.wait().remove_thread();
                }
                count
            })
        });
        let running = bench.application(&topology, workers).start().unwrap();
        assert!(handle.set(running.clone()).is_ok());
        bench.until("all are there", || running.states().len() == workers);
        bench.flow_until("all are removed", || running.states().is_empty());
        running.add_thread().unwrap();
        bench.check_out();
        bench.stop(&running).unwrap();
    }
}
