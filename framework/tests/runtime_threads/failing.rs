//! Workers fail, and are replaced or not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use headwater::time::{Clock, ManualClock};
use headwater::worker::WorkerState;
use headwater::{KStream, Topology, UncaughtErrorResponse};

use super::bench::{Bench, counting};

/// An operator fails when something is counted for the so many-th time.
const OFTEN: i64 = 20;

/// Something behind the counts that fails once.
type Failing = fn(KStream<String, i64>) -> KStream<String, i64>;

fn panics_once(counts: KStream<String, i64>) -> KStream<String, i64> {
    let failed = AtomicBool::new(false);
    counts.map_values(move |count| {
        assert!(count != OFTEN || failed.swap(true, Ordering::SeqCst), "the operator failed");
        count
    })
}

fn fails_once(counts: KStream<String, i64>) -> KStream<String, i64> {
    let failed = AtomicBool::new(false);
    counts.try_map_values(move |_, count| {
        let fails = count == OFTEN && !failed.swap(true, Ordering::SeqCst);
        if fails { Err("the operator failed".into()) } else { Ok(count) }
    })
}

fn always_panics() -> Topology {
    counting(|counts| {
        counts.map_values(|count| {
            assert!(count != 3, "the operator failed");
            count
        })
    })
}

#[test]
fn a_worker_that_is_replaced_leaves_no_trace_in_the_output() {
    for failing in [panics_once as Failing, fails_once] {
        for workers in [1, 2] {
            let (mut bench, asked) = (Bench::new(), Arc::new(Mutex::new(Vec::new())));
            let told = Arc::clone(&asked);
            let running = bench
                .application(&counting(failing), workers)
                .uncaught_error_handler(move |error| {
                    told.lock().unwrap().push(error.to_string());
                    UncaughtErrorResponse::ReplaceThread
                })
                .start()
                .unwrap();
            (1..OFTEN).for_each(|_| bench.feed());
            bench.check_out();
            bench.flow_until("a failure", || !asked.lock().unwrap().is_empty());
            (0..20).for_each(|_| bench.feed());
            bench.check_out();
            let asked = asked.lock().unwrap().clone();
            assert!(asked.len() == 1 && asked[0].contains("the operator failed"), "{asked:?}");
            assert!(asked[0].contains("task 0_"), "{asked:?}");
            assert!(running.failure().is_none());
            let figures = bench.stop(&running).unwrap();
            assert_eq!((figures.total().consumed, figures.failures), (bench.fed(), 1));
            bench.check_producers(workers);
        }
    }
}

#[test]
fn without_a_word_for_it_a_worker_that_fails_stops_all() {
    fn nobody() -> UncaughtErrorResponse {
        panic!("the handler failed, too")
    }
    let handlers = [None, Some((|| UncaughtErrorResponse::ShutdownClient) as fn() -> _), Some(nobody)];
    for handler in handlers {
        let mut bench = Bench::new();
        let mut application = bench.application(&always_panics(), 2);
        if let Some(handler) = handler {
            application = application.uncaught_error_handler(move |_| handler());
        }
        let running = application.start().unwrap();
        let other = running.clone();
        bench.flow_until("the end", || running.is_finished());
        let states = running.states();
        assert!(states.contains(&WorkerState::Failed) && states.iter().all(|state| state.is_final()));
        assert!(running.add_thread().is_err());
        let said = running.failure().unwrap();
        assert!(said.contains("panicked: the operator failed"), "{said}");
        assert!(running.figures().failures >= 1);
        for running in [running, other] {
            assert_eq!(running.wait().unwrap_err().to_string(), said);
        }
        assert_eq!(bench.members(), 0);
    }
}

/// Nobody follows it: what is not committed would go without a word.
#[test]
fn a_worker_that_fails_in_its_last_commit_fails_the_application() {
    let (mut bench, seen) = (Bench::new(), Arc::new(AtomicU64::new(0)));
    let see = Arc::clone(&seen);
    let topology = counting(move |counts| {
        let see = Arc::clone(&see);
        counts.peek(move |_, _| {
            see.fetch_add(1, Ordering::SeqCst);
        })
    });
    // Time stands still: nothing is committed before the end.
    let running = bench
        .application(&topology, 1)
        .clock(Arc::new(ManualClock::at(1_000_000)))
        .probe(Arc::new(|_, window| panic!("the commit failed at {window:?}")))
        .uncaught_error_handler(|_| UncaughtErrorResponse::ReplaceThread)
        .start()
        .unwrap();
    bench.feed();
    bench.until("the records", || seen.load(Ordering::SeqCst) == bench.fed());
    let error = bench.stop(&running).unwrap_err().to_string();
    assert!(error.contains("the commit failed"), "{error}");
    assert_eq!(bench.written(), 0);
}

/// Time stands still but while the test waits for a failure: a pause that did not grow, or that an end had to wait for, shows.
#[test]
fn what_always_fails_is_tried_ever_more_seldom_and_can_be_ended_at_any_time() {
    for removed in [false, true] {
        let (mut bench, clock) = (Bench::new(), ManualClock::at(1_000_000));
        let (failed_ms, looked) = (Arc::new(Mutex::new(Vec::new())), clock.clone());
        let told = Arc::clone(&failed_ms);
        let running = bench
            .application(&always_panics(), 1)
            .clock(Arc::new(clock.clone()))
            .uncaught_error_handler(move |_| {
                told.lock().unwrap().push(looked.now_ms());
                UncaughtErrorResponse::ReplaceThread
            })
            .start()
            .unwrap();
        (0..3).for_each(|_| bench.feed());
        let failures = || failed_ms.lock().unwrap().len();
        bench.until("failures", || {
            clock.advance_ms(20);
            failures() >= 7
        });
        let failed_ms = failed_ms.lock().unwrap().clone();
        let pauses: Vec<_> = failed_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (pause, least) in pauses.iter().zip([0, 100, 200, 400, 800, 1_600]) {
            assert!(*pause >= least, "{pauses:?}");
        }
        bench.until("the pause", || running.states() == [WorkerState::Failed]);
        if removed {
            assert_eq!(running.remove_thread(), Some(0));
            assert!(running.states().is_empty() && !running.is_finished());
        }
        let figures = bench.stop(&running).unwrap();
        assert_eq!(figures.failures, failed_ms.len() as u64);
        bench.check_producers(1);
    }
}
