//! What a restore does to tasks that run already, and what it notes for the next one.

use headwater::TaskId;
use headwater::state::MemoryBackend;
use headwater::task::{Checkpoint, Rebuild};
use headwater_broker::ErrorCode;
use headwater_broker::api::ApiKey;
use headwater_broker::faults::{Rule, Verdict};

use crate::bench::{Bench, CHANGELOG, counting};

const HOUR_MS: i64 = 3_600_000;
/// Records so long that a fetch brings one or two.
const LONG: usize = 700_000;

fn task(partition: i32) -> TaskId {
    TaskId { subtopology: 0, partition }
}

fn long_key(number: usize) -> String {
    format!("{number:03}").repeat(LONG / 3)
}

#[test]
fn a_task_that_runs_is_left_alone_where_another_has_to_begin_anew() {
    let mut bench = Bench::with_partitions(2);
    bench.start(&counting).unwrap();
    bench.put_to("in", 0, &[("k", b"v")]);
    for number in 0..20 {
        bench.put_to("in", 1, &[(&long_key(number), b"v")]);
    }
    bench.settle().unwrap();
    bench.stop();
    bench.backend = MemoryBackend::default();
    // The changelog of the second task is long; a later fetch of it finds that its beginning is gone. Meanwhile the first task
    // goes on, and its changelog grows.
    let rule = Rule::on(ApiKey::Fetch, Verdict::Fail(ErrorCode::OffsetOutOfRange));
    let rule = rule.by("app-000-0-restore".into()).after(16).times(1);
    bench.cluster.broker().faults_mut().rules.add(rule);
    bench.put_to("in", 0, &[("k", b"v")]);
    bench.begin(&counting);
    let pieces = |bench: &Bench, of: TaskId| bench.restored().iter().filter(|one| **one == of).count();
    while pieces(&bench, task(1)) < 3 {
        bench.step();
    }
    bench.request_commit();
    bench.settle().unwrap();
    assert_eq!(bench.rebuilds(), [(Rebuild::OffsetOutOfRange, 1)]);
    assert!(pieces(&bench, task(1)) > 20, "it began anew");
    assert_eq!(pieces(&bench, task(0)), 1);
    assert_eq!(bench.counts().iter().filter(|count| **count == 2).count(), 1);
}

#[test]
fn a_task_says_what_it_is_before_it_stores_anything() {
    let mut bench = Bench::new();
    bench.start(&counting).unwrap();
    let known = Checkpoint::read(bench.backend.look_at(task(0)).as_ref()).unwrap();
    assert!(!known.is_empty() && !known.fits("another layout"));
    assert_eq!(known.number("offset", CHANGELOG), Some(0));
}

#[test]
fn a_restore_that_breaks_off_makes_state_no_younger() {
    let mut bench = Bench::new();
    bench.start(&counting).unwrap();
    bench.pipe("in", &[("k", b"v")]);
    bench.stop();
    bench.clock.advance_ms(23 * HOUR_MS);
    for number in 0..80 {
        bench.put(CHANGELOG, &[(&long_key(number), &1_i64.to_be_bytes())]);
    }
    let offset = |bench: &Bench| {
        let known = Checkpoint::read(bench.backend.look_at(task(0)).as_ref()).unwrap();
        known.number("offset", CHANGELOG).unwrap()
    };
    let (before, end) = (offset(&bench), bench.end(CHANGELOG));
    bench.begin(&counting);
    while offset(&bench) == before {
        bench.step();
    }
    assert!(offset(&bench) < end, "it is to break off");
    bench.crash();
    bench.clock.advance_ms(2 * HOUR_MS);
    bench.start(&counting).unwrap();
    assert_eq!(bench.rebuilds(), [(Rebuild::TooOld, 1)]);
}

#[test]
fn a_task_that_was_idle_for_long_keeps_its_state_in_a_crash() {
    let mut bench = Bench::new();
    bench.start(&counting).unwrap();
    bench.pipe("in", &[("k", b"v")]);
    for _ in 0..25 * 120 {
        bench.clock.advance_ms(HOUR_MS / 120);
        bench.settle().unwrap();
    }
    bench.pipe("in", &[("k", b"v")]);
    bench.crash();
    bench.start(&counting).unwrap();
    bench.pipe("in", &[("k", b"v")]);
    assert_eq!((bench.rebuilds(), bench.counts()), (vec![], vec![1, 2, 3]));
}
