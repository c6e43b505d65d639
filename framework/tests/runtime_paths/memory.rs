//! `memory.max`: state that outgrows its share is committed and flushed early, and what is clean leaves memory.

use std::time::Duration;

use headwater::state::{KeyValueStore, WindowStore};
use headwater::testkit::Testkit;
use headwater::{Materialized, RecordBatch, StreamsBuilder, TimeWindows, TopicPartition};

const KEYS: usize = 4_000;

fn counting(builder: &StreamsBuilder) {
    let grouped = builder.stream::<String, String>("in").group_by_key();
    grouped.count_with(Materialized::named("counts"));
    let windows = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    grouped.windowed_by(windows).count_with(Materialized::named("windows"));
}

fn kit(memory: &str) -> Testkit {
    let builder = StreamsBuilder::new();
    counting(&builder);
    let kit = Testkit::builder().exactly_once().set("memory.max", memory);
    kit.build(&builder.build().unwrap()).unwrap()
}

/// One record of each key.
fn round(kit: &mut Testkit) {
    let mut batch = RecordBatch::default();
    (0..KEYS).for_each(|number| batch.push(1, Some(format!("key {number}").as_bytes()), Some(b"v"), 0));
    kit.put(&TopicPartition::new("in", 0), &batch).unwrap();
    kit.settle().unwrap();
    // A worker looks at its memory now and then.
    for _ in 0..20 {
        kit.settle().unwrap();
    }
}

fn memory(kit: &Testkit) -> usize {
    kit.worker(0).unwrap().tasks().values().map(headwater::task::Task::memory_bytes).sum()
}

#[test]
fn clean_entries_leave_memory_when_it_runs_short_and_come_back_when_needed() {
    let mut roomy = kit("64 MiB");
    round(&mut roomy);
    let needed = memory(&roomy);
    assert!(needed > 200_000, "{needed} bytes");

    let mut tight = kit("100k");
    for count in 1..=3 {
        round(&mut tight);
        assert!(memory(&tight) <= 100 << 10, "{} of {needed} bytes", memory(&tight));
        let keys = tight.store::<KeyValueStore<String, i64>>("counts").all().unwrap();
        assert_eq!(keys.len(), KEYS);
        assert!(keys.iter().all(|(_, value, _)| *value == count), "each key was found again");
        let windows = tight.store::<WindowStore<String, i64>>("windows").all().unwrap();
        assert_eq!(windows.len(), KEYS);
        assert!(windows.iter().all(|(_, _, value, _)| *value == count));
    }
    assert!(tight.figures().rebuilds.is_empty());
    // What was flushed early is there after a crash, without the changelog.
    let before = tight.figures().restored;
    tight.restart(0).unwrap();
    assert_eq!(tight.figures().restored, before, "nothing has to be restored");
}
