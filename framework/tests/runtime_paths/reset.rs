//! `auto.offset.reset`, where the committed offset has been deleted from the input.

use headwater::kafka::StartAt;
use headwater::{Consumed, StreamsBuilder};

use crate::bench::Bench;

fn copy(builder: &StreamsBuilder, begin: Option<StartAt>) {
    let consumed = Consumed::default();
    let consumed = match begin {
        Some(begin) => consumed.with_offset_reset_policy(begin),
        None => consumed,
    };
    builder.stream_with::<String, String>("in", consumed).to("out");
}

/// Five records are committed, five more written, and all below offset 8 deleted; then one more comes. What is read of that.
fn after_deletion(reset: &str, begin: Option<StartAt>) -> Result<String, String> {
    let mut bench = Bench::new().set("auto.offset.reset", "earliest");
    bench.start(&|builder| copy(builder, begin)).unwrap();
    bench.pipe("in", &[("k", b"0"), ("k", b"1"), ("k", b"2"), ("k", b"3"), ("k", b"4")]);
    bench.stop();
    bench.put("in", &[("k", b"5"), ("k", b"6"), ("k", b"7"), ("k", b"8"), ("k", b"9")]);
    bench.trim("in", 8);
    let mut bench = bench.set("auto.offset.reset", reset);
    bench.start(&|builder| copy(builder, begin)).map_err(|error| error.to_string())?;
    bench.pipe("in", &[("k", b"+")]);
    let total = bench.worker().figures().total();
    let read = bench.out().split_off(5).concat();
    assert_eq!((total.consumed, total.produced), (read.len() as u64, read.len() as u64));
    Ok(String::from_utf8(read).unwrap())
}

#[test]
fn a_deleted_offset_goes_on_as_auto_offset_reset_says() {
    assert_eq!(after_deletion("earliest", None), Ok("89+".to_owned()));
    assert_eq!(after_deletion("latest", None), Ok("+".to_owned()));
    let error = "the offset to read next is out of range: there are 8 to 10 (topic in, partition 0, offset 5, task 0_0); \
                 `auto.offset.reset` is `none`: reset the group's offsets, or set it to `earliest` or `latest`";
    assert_eq!(after_deletion("none", None), Err(error.to_owned()));
}

#[test]
fn a_source_with_a_policy_of_its_own_keeps_to_it() {
    assert_eq!(after_deletion("latest", Some(StartAt::Earliest)), Ok("89+".to_owned()));
    assert_eq!(after_deletion("none", Some(StartAt::Latest)), Ok("+".to_owned()));
}

/// What the application wrote itself is never skipped.
#[test]
fn a_repartition_topic_goes_on_at_its_start_whatever_the_setting() {
    let topology = |builder: &StreamsBuilder| {
        let stream = builder.stream::<String, String>("in").select_key(|_, value| value.clone());
        stream.repartition_with(headwater::Repartitioned::named("by-value")).to("out");
    };
    for reset in ["latest", "none"] {
        let mut bench = Bench::new();
        bench.start(&topology).unwrap();
        bench.pipe("in", &[("k", b"a"), ("k", b"b")]);
        bench.stop();
        let own = "app-by-value-repartition";
        bench.put(own, &[("c", b"c"), ("d", b"d"), ("e", b"e")]);
        bench.trim(own, bench.end(own) - 2);
        let mut bench = bench.set("auto.offset.reset", reset);
        bench.start(&topology).unwrap();
        assert_eq!(bench.out().concat(), b"abde", "{reset}");
    }
}

#[test]
fn a_group_without_offsets_and_none_is_told_so() {
    let mut bench = Bench::new().set("auto.offset.reset", "none");
    bench.put("in", &[("k", b"0")]);
    let error = bench.start(&|builder| copy(builder, None)).unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no committed offset, and `auto.offset.reset` is `none` (topic in, partition 0, offset 0); set it to \
         `earliest` or `latest`, or commit an offset for the group"
    );
}
