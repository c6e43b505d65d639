//! Repartition records that are consumed are deleted now and then: `repartition.purge.interval.ms`.

use headwater::{Materialized, StreamsBuilder};

use crate::bench::Bench;

const TOPIC: &str = "app-counts-repartition";

fn counting(builder: &StreamsBuilder) {
    let stream = builder.stream::<String, String>("in").select_key(|_, value| value.clone());
    stream.group_by_key().count_with(Materialized::named("counts")).to_stream().to("out");
}

/// Where the repartition topic begins.
fn start(bench: &Bench) -> i64 {
    bench.cluster.broker().partition(TOPIC, 0).unwrap().log_start_offset
}

/// Where the group is in the repartition topic.
fn committed(bench: &Bench) -> i64 {
    bench.cluster.broker().committed_offset("app", TOPIC, 0).unwrap().offset
}

#[test]
fn consumed_repartition_records_go_when_the_interval_is_over() {
    let mut bench = Bench::new().set("repartition.purge.interval.ms", "5000");
    bench.start(&counting).unwrap();
    bench.pipe("in", &[("k", b"a"), ("k", b"a")]);
    bench.clock.advance_ms(4_999);
    bench.settle().unwrap();
    assert_eq!(start(&bench), 0);
    bench.clock.advance_ms(1);
    bench.settle().unwrap();
    let purged = start(&bench);
    assert!(purged >= 2 && purged <= committed(&bench), "{purged} of {}", committed(&bench));
    // Nothing new, nothing to delete; and later records wait for their own turn.
    bench.pipe("in", &[("k", b"a")]);
    assert_eq!(start(&bench), purged);
    bench.clock.advance_ms(5_000);
    bench.settle().unwrap();
    assert!(start(&bench) > purged && start(&bench) <= committed(&bench));
    bench.stop();
    bench.start(&counting).unwrap();
    bench.pipe("in", &[("k", b"a")]);
    assert_eq!(bench.counts(), [1, 2, 3, 4], "a worker that follows finds its place");
}

#[test]
fn an_interval_of_0_deletes_after_each_commit() {
    let mut bench = Bench::new().set("repartition.purge.interval.ms", "0");
    bench.start(&counting).unwrap();
    for count in 1..=3 {
        bench.pipe("in", &[("k", b"a")]);
        assert_eq!(start(&bench), committed(&bench), "{count}");
    }
    assert_eq!(bench.counts(), [1, 2, 3]);
}
