//! Topologies on the production worker, through the test kit.

use headwater::testkit::Testkit;
use headwater::{Materialized, StreamsBuilder};

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_stateless_topology_maps_every_record_once() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").map_values(|value| value.to_uppercase()).to("out");
    for exactly_once in [false, true] {
        let mut kit = Testkit::builder();
        if exactly_once {
            kit = kit.exactly_once();
        }
        let mut kit = kit.partitions(3).build(&builder.build().unwrap()).unwrap();
        for number in 0..20 {
            kit.pipe("in", &format!("k{number}"), &format!("v{number}"), 100 + number).unwrap();
        }
        let mut out = kit.read::<String, String>("out").unwrap();
        out.sort_by_key(|record| record.timestamp);
        let values: Vec<_> = out.iter().map(|record| record.value.clone()).collect();
        assert_eq!(values, (0..20).map(|number| format!("V{number}")).collect::<Vec<_>>());
        assert_eq!(kit.counters().to_string(), "consumed 20, processed 20, produced 20");
        assert!(kit.read::<String, String>("out").unwrap().is_empty(), "each record is read once");
    }
}

fn counting() -> StreamsBuilder {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, i64>("in").group_by_key().count_with(Materialized::named("counts"));
    counts.to_stream().to("out");
    builder
}

#[test]
fn state_survives_a_crash_and_moves_to_other_instances() {
    let topology = counting().build().unwrap();
    let mut kit = Testkit::builder().exactly_once().partitions(4).instances(2).build(&topology).unwrap();
    let keys: Vec<_> = (0..10).map(|number| format!("key{number}")).collect();
    let round = |kit: &mut Testkit| keys.iter().for_each(|key| kit.pipe("in", key, &1_i64, 0).unwrap());
    let counts = |kit: &mut Testkit| {
        let out = kit.read::<String, Option<i64>>("out").unwrap();
        let mut counts: Vec<_> = out.into_iter().map(|record| record.value.unwrap()).collect();
        counts.sort_unstable();
        counts
    };
    round(&mut kit);
    assert_eq!(counts(&mut kit), [1; 10]);
    kit.crash(0).unwrap();
    round(&mut kit);
    assert_eq!(counts(&mut kit), [2; 10]);
    kit.restart(0).unwrap();
    round(&mut kit);
    assert_eq!(counts(&mut kit), [3; 10]);
    let third = kit.add_instance().unwrap();
    kit.stop(1).unwrap();
    round(&mut kit);
    assert_eq!(counts(&mut kit), [4; 10]);
    kit.crash(third).unwrap();
    kit.crash(0).unwrap();
    kit.restart(1).unwrap();
    round(&mut kit);
    assert_eq!(counts(&mut kit), [5; 10]);
    assert!(kit.figures().rebuilds.is_empty(), "no crash costs local state: {:?}", kit.figures().rebuilds);
    let stored = kit.store::<headwater::state::KeyValueStore<String, i64>>("counts");
    assert_eq!(stored.get(&text("key3")).unwrap(), Some(5));
    assert_eq!(stored.all().unwrap().len(), 10);
}
