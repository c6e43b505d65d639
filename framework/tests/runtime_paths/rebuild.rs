//! Local state that cannot be trusted: thrown away under a cause that is counted, and rebuilt from the changelog.

use std::time::Duration;

use headwater::state::{Change, MemoryBackend};
use headwater::task::Rebuild;
use headwater::{Materialized, StreamsBuilder, TaskId, TimeWindows};
use headwater_broker::ErrorCode;
use headwater_broker::api::{ApiKey, DeleteTopicsRequest};
use headwater_broker::faults::{Rule, Verdict};

use crate::bench::{Bench, CHANGELOG, counting};

const TASK: TaskId = TaskId { subtopology: 0, partition: 0 };
const DAY_MS: i64 = 86_400_000;

/// As [`counting`], with one more store.
fn counting_twice(builder: &StreamsBuilder) {
    let grouped = builder.stream::<String, String>("in").group_by_key();
    grouped.count_with(Materialized::named("another")).to_stream().foreach(|_, _| {});
    grouped.count_with(Materialized::named("counts")).to_stream().to("out");
}

/// Three records of `k` are counted, something befalls the state, and a fourth comes. The causes of rebuilds, and the count.
fn after(befall: impl Fn(&mut Bench), topology: impl Fn(&StreamsBuilder)) -> (Vec<(Rebuild, u64)>, Vec<i64>) {
    let mut bench = Bench::new();
    bench.start(&counting).unwrap();
    bench.pipe("in", &[("k", b"v"), ("k", b"v"), ("k", b"v")]);
    bench.stop();
    befall(&mut bench);
    bench.start(&topology).unwrap();
    bench.pipe("in", &[("k", b"v")]);
    (bench.rebuilds(), bench.counts().split_off(3))
}

/// Another instance has counted on.
fn elsewhere(bench: &Bench, count: i64) {
    bench.put(CHANGELOG, &[("k", &count.to_be_bytes())]);
}

#[test]
fn state_that_can_be_trusted_is_kept() {
    assert_eq!(after(|_| {}, counting), (vec![], vec![4]));
    assert_eq!(after(|bench| elsewhere(bench, 9), counting), (vec![], vec![10]));
    // However old, nothing was missed.
    assert_eq!(after(|bench| bench.clock.advance_ms(9 * DAY_MS), counting), (vec![], vec![4]));
}

#[test]
fn a_changelog_that_was_deleted_and_made_again() {
    let delete = |bench: &mut Bench| {
        let request = DeleteTopicsRequest { topics: vec![CHANGELOG.into()] };
        bench.cluster.broker().call(&"test".into(), request, 1_000_000).unwrap();
    };
    assert_eq!(after(delete, counting), (vec![(Rebuild::TopicRecreated, 1)], vec![1]));
}

#[test]
fn a_changelog_that_begins_behind_the_local_offset() {
    let trim = |bench: &mut Bench| {
        (7..10).for_each(|count| elsewhere(bench, count));
        // Brokers delete nothing from a topic that is compacted and no more.
        bench.clean_up(CHANGELOG, "compact,delete");
        bench.trim(CHANGELOG, bench.end(CHANGELOG) - 1);
        bench.clean_up(CHANGELOG, "compact");
    };
    assert_eq!(after(trim, counting), (vec![(Rebuild::OffsetOutOfRange, 1)], vec![10]));
}

#[test]
fn a_changelog_that_begins_behind_the_offset_while_it_is_read() {
    let fault = |bench: &mut Bench| {
        // A machine without state has to read everything.
        bench.backend = MemoryBackend::default();
        let rule = Rule::on(ApiKey::Fetch, Verdict::Fail(ErrorCode::OffsetOutOfRange));
        let rule = rule.by("app-000-0-restore".into()).times(1);
        bench.cluster.broker().faults_mut().rules.add(rule);
    };
    assert_eq!(after(fault, counting), (vec![(Rebuild::OffsetOutOfRange, 1)], vec![4]));
}

#[test]
fn state_so_old_that_deletions_may_be_gone() {
    let age = |bench: &mut Bench| {
        elsewhere(bench, 9);
        bench.clock.advance_ms(DAY_MS + 1);
    };
    assert_eq!(after(age, counting), (vec![(Rebuild::TooOld, 1)], vec![10]));
}

#[test]
fn a_topology_with_other_stores() {
    assert_eq!(after(|_| {}, counting_twice), (vec![(Rebuild::OtherStores, 1)], vec![4]));
}

/// Three bytes where a value begins with eight of its timestamp.
fn spoil(bench: &Bench, key: &[u8]) {
    let change = Change::Put(1, key, &[1, 2, 3]);
    bench.backend.look_at(TASK).apply(&[change].into()).unwrap();
}

#[test]
fn stored_bytes_of_another_form() {
    let result = after(|bench| spoil(bench, b"k"), counting);
    assert_eq!(result, (vec![(Rebuild::Corrupt, 1)], vec![4]));
}

#[test]
fn state_that_is_corrupt_again_after_a_rebuild_stops_the_worker() {
    let mut bench = Bench::new();
    bench.start(&counting).unwrap();
    bench.pipe("in", &[("k", b"v"), ("j", b"v")]);
    bench.stop();
    spoil(&bench, b"k");
    bench.start(&counting).unwrap();
    bench.pipe("in", &[("k", b"v")]);
    assert_eq!((bench.rebuilds(), bench.counts()), (vec![(Rebuild::Corrupt, 1)], vec![1, 1, 2]));
    spoil(&bench, b"j");
    bench.put("in", &[("j", b"v")]);
    assert_eq!(
        bench.settle().unwrap_err().to_string(),
        "store `counts` holds a value without timestamp (topic in, partition 0, offset 3, task 0_0); was the changelog \
         written by another application or another version of this one?; the state was rebuilt before, and it did not \
         help"
    );
}

/// A rebuild would not help: it reads the same changelog again.
#[test]
fn a_changelog_of_another_form_stops_the_worker() {
    let windowed = |builder: &StreamsBuilder| {
        let grouped = builder.stream::<String, String>("in").group_by_key();
        let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
        grouped.windowed_by(windows).count_with(Materialized::named("windows"));
    };
    let mut bench = Bench::new();
    bench.start(&windowed).unwrap();
    bench.pipe("in", &[("k", b"v")]);
    bench.stop();
    let changelog = "app-windows-changelog";
    let end = bench.end(changelog);
    bench.put(changelog, &[("short", b"12345678")]);
    assert_eq!(
        bench.start(&windowed).unwrap_err().to_string(),
        format!(
            "store `windows` holds a changelog key without window (topic {changelog}, partition 0, offset {end}); was \
             the changelog written by another application or another version of this one?"
        )
    );
}
