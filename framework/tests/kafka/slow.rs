//! Steps of the user's that take too long: the coordinator aborts their transactions, the group gives their tasks to others, and
//! what they held is done again, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::broker::on_a_broker;
use crate::heard;
use crate::pipeline::Pipeline;

/// A step of the user's takes this long, once, while a transaction is open. Something that is told then has one of `words`.
fn sleeper(lines: &str, sleeps_ms: u64, words: &[&str]) {
    on_a_broker(|broker| {
        let mut pipeline = Pipeline::new(broker);
        let slept = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&slept);
        // A second's worth goes before; and the transaction of this feed was opened by what came 300 ms before.
        let look = move |number: i64| {
            if number == 130 && !told.swap(true, Ordering::Relaxed) {
                heard::pause(sleeps_ms);
            }
        };
        let running = pipeline.watched(lines, look).unwrap().start().unwrap();
        pipeline.feed(Duration::from_secs(1));
        pipeline.check();
        pipeline.feed(Duration::from_secs(5));
        pipeline.check();
        println!("{}", heard::lines("").join("\n"));
        assert!(slept.load(Ordering::Relaxed));
        assert!(words.iter().any(|words| !heard::lines(words).is_empty()), "nobody has said: {words:?}");
        assert_eq!(running.failure(), None);
        pipeline.stop(running);
    });
}

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_transaction_that_times_out_is_done_again_and_nothing_is_doubled() {
    let fenced = ["PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "INVALID_TXN_STATE"];
    sleeper("transaction.timeout.ms=4000\ncommit.interval.ms=3900", 25_000, &fenced);
}

/// What a step of the user's is told that takes longer than `max.poll.interval.ms`.
const SILENT: &str = "Application maximum poll interval (7000ms) exceeded";

#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn a_worker_that_is_silent_for_too_long_loses_its_tasks_and_comes_back() {
    sleeper("max.poll.interval.ms=7000\ntransaction.timeout.ms=60000", 15_000, &["tasks are lost"]);
    let told = heard::lines(SILENT);
    assert!(told.iter().all(|line| line.starts_with("WARN") && line.contains("adjust max.poll.interval.ms")));
    assert_eq!(told.len(), 1, "{told:?}");
}

/// Its step ends only when others have told all of it: nothing else goes on by itself.
#[test]
#[ignore = "kills the brokers of HEADWATER_TEST_KAFKA"]
fn the_tasks_of_a_worker_that_is_stuck_are_done_by_others_and_nothing_is_doubled() {
    on_a_broker(|broker| {
        let mut pipeline = Pipeline::new(broker);
        let (stuck, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let look = {
            let (stuck, is_over) = (Arc::clone(&stuck), Arc::clone(&is_over));
            move |number: i64| {
                if number == 130 && !stuck.swap(true, Ordering::Relaxed) {
                    while !is_over.load(Ordering::Relaxed) {
                        heard::pause(20);
                    }
                }
            }
        };
        // Others wait for the end of its transaction, which the coordinator aborts.
        let lines = "max.poll.interval.ms=7000\ntransaction.timeout.ms=8000\nnum.stream.threads=2";
        let running = pipeline.watched(lines, look).unwrap().start().unwrap();
        pipeline.feed(Duration::from_secs(1));
        pipeline.check();
        pipeline.feed(Duration::from_secs(3));
        pipeline.check();
        assert!(stuck.load(Ordering::Relaxed));
        let told = heard::wait(SILENT, Duration::ZERO);
        assert!(heard::lines("tasks are lost").is_empty(), "who is stuck can tell nothing");
        // It comes back, and what it holds is not committed.
        is_over.store(true, Ordering::Relaxed);
        heard::wait("tasks are lost", Duration::from_secs(10));
        pipeline.feed(Duration::from_secs(3));
        pipeline.check();
        println!("{told}\n{}", heard::lines("").join("\n"));
        assert_eq!(running.failure(), None);
        pipeline.stop(running);
    });
}
