//! A broker on files: it dies at any point of a compaction, loses snapshots and room, and nothing that was
//! acknowledged.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use std::collections::BTreeMap;
use std::fs;

use headwater_broker::api::{Isolation, NewTopic};
use headwater_broker::batch::BatchOptions;
use headwater_broker::storage::files::{DiskFaults, FileOptions, FileStorage};
use headwater_broker::{Broker, BrokerConfig, ErrorCode};
use rig::{Rig, txn};

fn files(faults: &DiskFaults) -> Rig {
    Rig::in_folder(BrokerConfig::default(), faults.clone())
}

fn compacted(segment_bytes: u64) -> NewTopic {
    let topic = NewTopic::new("t", 1).with_config("cleanup.policy", "compact");
    topic.with_config("segment.bytes", segment_bytes.to_string())
}

/// Key and value of the last record of each key that committed readers see.
fn table(rig: &mut Rig) -> BTreeMap<String, String> {
    let shown = rig.committed("t");
    let record = |shown: &String| {
        let (_, record) = shown.split_once(':').unwrap();
        let (key, value) = record.split_once('=').unwrap_or((record, ""));
        (key.to_owned(), value.to_owned())
    };
    let mut table: BTreeMap<String, String> = shown.iter().map(record).collect();
    table.retain(|_, value| !value.is_empty());
    table
}

/// Keys that come again, tombstones, an aborted and a committed transaction.
fn fill(rig: &mut Rig) {
    let x = rig.init("x");
    for round in 0..4 {
        rig.produce("t", &[&format!("a={round}"), &format!("k{round}={round}")]);
        rig.add("x", x, &["t"]);
        let records = [format!("b={round}"), format!("c={round}")];
        rig.produce_as("t", &txn(x, round * 2), &[&records[0], &records[1]]).unwrap();
        rig.end("x", x, round % 2 == 0);
    }
    rig.produce("t", &["k0"]);
    rig.produce("t", &["k1"]);
}

#[test]
fn a_compaction_may_be_cut_off_after_any_change_of_the_disk() {
    // With the last pair many segments become one.
    for (segment_bytes, merged_bytes) in [(14, 14), (400, 400), (1 << 20, 1 << 20), (14, 1 << 20)] {
        let mut changes = 0;
        loop {
            let faults = DiskFaults::default();
            let mut rig = files(&faults);
            rig.topic(compacted(segment_bytes).with_config("delete.retention.ms", "0"));
            fill(&mut rig);
            let expected = table(&mut rig);
            let end = rig.broker.partition("t", 0).unwrap().high_watermark;
            rig.broker.compact("t", 0, rig.now).unwrap();
            rig.pass(1); // tombstones may go now
            rig.alter("t", "segment.bytes", &merged_bytes.to_string());
            faults.stop_after(Some(changes));
            let compacted = rig.broker.compact("t", 0, rig.now);
            // Until it dies it goes on with what it has.
            assert_eq!(table(&mut rig), expected, "stopped after {changes}");
            let done = compacted.is_ok() && faults.changes() <= changes;
            faults.stop_after(None);
            rig.crash();
            assert_eq!(table(&mut rig), expected, "stopped after {changes}");
            assert_eq!(rig.broker.partition("t", 0).unwrap().high_watermark, end);
            for extension in ["cleaned", "swap", "tmp"] {
                assert!(rig.files("t", extension).is_empty(), "stopped after {changes}");
            }
            rig.broker.compact("t", 0, rig.now).unwrap();
            rig.crash();
            assert_eq!(table(&mut rig), expected, "stopped after {changes}, then compacted");
            assert_eq!(rig.broker.take_damages(), []);
            assert_eq!(rig.produce("t", &["z=1"]), end);
            if done {
                break;
            }
            changes += 1;
        }
        assert!(changes > 5, "{changes}");
    }
}

/// Of what the producer has written a compaction leaves an empty batch, the last one.
#[test]
fn producers_are_known_wherever_a_compaction_was_cut_off() {
    let with = |sequence| BatchOptions::idempotent(7, 0, sequence);
    let mut changes = 0;
    loop {
        let faults = DiskFaults::default();
        let mut rig = files(&faults);
        rig.topic(compacted(14));
        for sequence in 0..7 {
            assert_eq!(rig.produce_as("t", &with(sequence), &["a=1"]), Ok(i64::from(sequence)));
        }
        rig.produce("t", &["a=2"]);
        rig.produce("t", &["b=1"]);
        faults.stop_after(Some(changes));
        let compacted = rig.broker.compact("t", 0, rig.now);
        let done = compacted.is_ok() && faults.changes() <= changes;
        faults.stop_after(None);
        rig.reopen();
        for sequence in 2..7 {
            let again = rig.produce_as("t", &with(sequence), &["a=1"]);
            assert_eq!(again, Ok(i64::from(sequence)), "a duplicate, stopped after {changes}");
        }
        assert_eq!(rig.produce_as("t", &with(8), &["a=3"]), Err(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(rig.produce_as("t", &with(7), &["a=3"]), Ok(9), "stopped after {changes}");
        rig.reopen();
        assert_eq!(rig.produce_as("t", &with(7), &["a=3"]), Ok(9), "stopped after {changes}");
        if done {
            break;
        }
        changes += 1;
    }
    assert!(changes > 5, "{changes}");
}

#[test]
fn a_disk_that_fails_under_a_compaction_changes_nothing() {
    let faults = DiskFaults::default();
    let mut rig = files(&faults);
    rig.topic(compacted(300));
    fill(&mut rig);
    let expected = rig.read("t", Isolation::ReadUncommitted);
    faults.leave_room(Some(100));
    assert_eq!(rig.broker.compact("t", 0, rig.now), Err(ErrorCode::KafkaStorageError));
    assert_eq!(rig.read("t", Isolation::ReadUncommitted), expected);
    faults.leave_room(None);
    let report = rig.broker.compact("t", 0, rig.now).unwrap();
    assert!(report.records_after < report.records_before);
}

#[test]
fn a_full_disk_is_told_to_the_producer_and_forgiven() {
    let faults = DiskFaults::default();
    let mut rig = files(&faults);
    rig.topic(NewTopic::new("t", 1));
    let with = |sequence| BatchOptions::idempotent(7, 0, sequence);
    assert_eq!(rig.produce_as("t", &with(0), &["a=1"]), Ok(0));
    faults.leave_room(Some(30));
    assert_eq!(rig.produce_as("t", &with(1), &["a=2"]), Err(ErrorCode::KafkaStorageError));
    assert_eq!(rig.read("t", Isolation::ReadUncommitted), ["0:a=1"]);
    faults.leave_room(None);
    assert_eq!(rig.produce_as("t", &with(1), &["a=2"]), Ok(1), "its sequence goes on");
    rig.crash();
    assert_eq!(rig.read("t", Isolation::ReadUncommitted), ["0:a=1", "1:a=2"]);
}

/// Producers, their transactions and epochs are the same from a snapshot, an older one, or none.
#[test]
fn what_a_snapshot_says_can_be_read_from_the_batches_too() {
    for tamper in ["keep", "drop the latest", "garble the latest", "drop all"] {
        let mut rig = files(&DiskFaults::default());
        rig.topic(NewTopic::new("t", 1).with_config("segment.bytes", "200"));
        let (x, y) = (rig.init("x"), rig.init("y"));
        rig.add("x", x, &["t"]);
        rig.add("y", y, &["t"]);
        rig.produce_as("t", &txn(x, 0), &["a=aborted"]).unwrap();
        rig.produce_as("t", &txn(y, 0), &["b=open"]).unwrap();
        rig.end("x", x, false);
        let with = |sequence| BatchOptions::idempotent(70, 2, sequence);
        for sequence in 0..5 {
            rig.produce_as("t", &with(sequence), &["c=1"]).unwrap();
        }
        let snapshots = rig.files("t", "snapshot");
        assert_eq!(snapshots.len(), 2, "{snapshots:?}");
        match tamper {
            "drop the latest" => fs::remove_file(&snapshots[1]).unwrap(),
            "garble the latest" => fs::write(&snapshots[1], "garbage").unwrap(),
            "drop all" => snapshots.iter().for_each(|path| fs::remove_file(path).unwrap()),
            _ => {}
        }
        rig.crash();
        let view = rig.broker.partition("t", 0).unwrap();
        assert_eq!((view.last_stable_offset, view.high_watermark), (1, 8), "{tamper}");
        assert_eq!(view.open_transactions, [(y.id, 1)], "{tamper}");
        let bumped = |sequence| BatchOptions::idempotent(70, 1, sequence);
        assert_eq!(rig.produce_as("t", &bumped(0), &["c=1"]), Err(ErrorCode::InvalidProducerEpoch));
        assert_eq!(rig.produce_as("t", &with(3), &["c=1"]), Ok(6), "{tamper}: a duplicate");
        assert_eq!(rig.produce_as("t", &with(6), &["c=1"]), Err(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(rig.produce_as("t", &with(5), &["c=1"]), Ok(8), "{tamper}");
        rig.end("y", y, true);
        assert_eq!(rig.committed("t").len(), 7, "{tamper}");
        assert!(!rig.committed("t").contains(&"0:a=aborted".to_owned()), "{tamper}");
    }
}

/// After an orderly end the last segment is not read: its damage is found by who reads it. Base offset and length lie
/// outside of the checksum.
#[test]
fn damage_in_the_last_segment_hides_nothing_that_is_appended_after_a_start() {
    for (at, byte) in [(0, 1), (7, 0x40), (8, 1), (11, 0x40), (16, 9), (60, 1)] {
        let mut rig = files(&DiskFaults::default());
        rig.topic(NewTopic::new("t", 1));
        for record in ["a=1", "b=1", "c=1"] {
            rig.produce("t", &[record]);
        }
        rig.broker.close(rig.now).unwrap();
        let path = rig.file("t", "00000000000000000000.log");
        let mut bytes = fs::read(&path).unwrap();
        let second = bytes.len() / 3;
        bytes[second + at] ^= byte;
        fs::write(&path, bytes).unwrap();
        rig.reopen();
        assert_eq!(rig.produce("t", &["d=1"]), 3);
        let isolation = Isolation::ReadUncommitted;
        assert_eq!(rig::visible(&rig.fetch("t", 3, isolation), 3), ["3:d=1"], "byte {at}");
        assert_eq!(rig.fetch("t", 1, isolation).error, ErrorCode::CorruptMessage, "byte {at}");
        assert_eq!(rig.fetch("t", 0, isolation).batches.len(), 1, "byte {at}");
    }
}

/// Whoever puts files back may mix them up, and checksums do not tell.
#[test]
fn a_snapshot_of_another_log_counts_for_nothing() {
    let mut rig = files(&DiskFaults::default());
    for topic in ["t", "u"] {
        rig.topic(NewTopic::new(topic, 1).with_config("segment.bytes", "14"));
    }
    let x = rig.init("x");
    rig.add("x", x, &["u"]);
    for _ in 0..4 {
        rig.produce("u", &["a=1"]);
    }
    rig.produce_as("u", &txn(x, 0), &["a=open"]).unwrap();
    rig.produce("u", &["a=1"]);
    rig.produce("t", &["a=1"]);
    rig.produce("t", &["a=2"]);
    let latest = rig.files("u", "snapshot").pop().unwrap();
    fs::copy(latest, rig.files("t", "snapshot").pop().unwrap()).unwrap();
    rig.crash();
    let view = rig.broker.partition("t", 0).unwrap();
    assert_eq!((view.last_stable_offset, view.high_watermark), (2, 2));
    assert_eq!(view.open_transactions, []);
}

/// With snapshots a start reads the end of a log only: here nothing else is left to be read.
#[test]
fn a_start_reads_from_the_last_snapshot_only() {
    let mut rig = files(&DiskFaults::default());
    rig.topic(NewTopic::new("t", 1).with_config("segment.bytes", "14"));
    for sequence in 0..6 {
        rig.produce_as("t", &BatchOptions::idempotent(7, 0, sequence), &["a=1"]).unwrap();
    }
    let segments = rig.files("t", "log");
    for path in &segments[..4] {
        fs::write(path, vec![0; usize::try_from(fs::metadata(path).unwrap().len()).unwrap()]).unwrap();
    }
    rig.crash();
    assert_eq!(rig.broker.take_damages(), []);
    assert_eq!(rig.produce_as("t", &BatchOptions::idempotent(7, 0, 6), &["a=1"]), Ok(6));
    assert_eq!(rig.fetch("t", 0, Isolation::ReadUncommitted).error, ErrorCode::CorruptMessage);
    assert_eq!(rig.fetch("t", 4, Isolation::ReadUncommitted).batches.len(), 3);
}

#[test]
fn who_has_read_everything_costs_no_disk() {
    let mut rig = files(&DiskFaults::default());
    rig.topic(NewTopic::new("t", 1));
    rig.produce("t", &["a=1"]);
    fs::write(rig.file("t", "00000000000000000000.log"), "").unwrap();
    let fetched = rig.fetch("t", 1, Isolation::ReadUncommitted);
    assert_eq!((fetched.error, fetched.batches.len()), (ErrorCode::None, 0));
    assert_eq!(rig.fetch("t", 0, Isolation::ReadUncommitted).error, ErrorCode::KafkaStorageError);
}

#[test]
fn a_large_compaction_is_done_in_steps_while_appends_go_on() {
    let config = BrokerConfig { compaction_interval_ms: Some(1_000), ..BrokerConfig::default() };
    let mut rig = Rig::in_folder(config, DiskFaults::default());
    let topic = compacted(3 << 20).with_config("max.message.bytes", (2 << 20).to_string());
    rig.topic(topic);
    rig.pass(0);
    let value = "x".repeat(1 << 20);
    for round in 0..12 {
        rig.produce("t", &[&format!("a={value}"), &format!("k{round}=1")]);
    }
    rig.produce("t", &["b=1"]);
    let size = rig.broker.partition("t", 0).unwrap().size;
    rig.pass(1_000);
    let mut steps = 0;
    while rig.broker.next_deadline() == Some(rig.now) {
        rig.produce("t", &[&format!("s{steps}=1")]);
        rig.pass(0);
        steps += 1;
    }
    assert!(steps > 4, "{steps}");
    assert!(rig.broker.partition("t", 0).unwrap().size < size / 2);
    let left = table(&mut rig);
    assert_eq!(left.len(), 14 + steps, "{:?}", left.keys());
    assert_eq!(left["a"], value);
}

#[test]
fn retention_frees_whole_segments_and_the_last_one_when_all_is_old() {
    let mut rig = files(&DiskFaults::default());
    let size = rig::batch_of(&BatchOptions::default(), &["a=1"]).len();
    let topic = NewTopic::new("t", 1).with_config("retention.ms", "1000");
    rig.topic(topic.with_config("segment.bytes", (size * 2).to_string()));
    rig.now = 10_000;
    for time in [0, 100, 200, 300, 400] {
        let record = headwater_broker::batch::Record::new(time, Some(b"a"), Some(b"1"));
        let bytes = headwater_broker::batch::encode(&BatchOptions::default(), [record]);
        rig.produce_bytes("t", bytes.into());
    }
    assert_eq!(rig.broker.apply_retention("t", 0, 10_000), Ok(5), "all of it, for all is old");
    assert_eq!(rig.files("t", "log"), [rig.file("t", "00000000000000000005.log")]);
    rig.crash();
    let view = rig.broker.partition("t", 0).unwrap();
    assert_eq!((view.log_start_offset, view.high_watermark, view.size), (5, 5, 0));
    assert_eq!(rig.produce("t", &["a=1"]), 5);
}

/// Base offsets lie outside of checksums, and names of files may be anything.
#[test]
fn offsets_that_nothing_can_follow_are_damage() {
    let mut rig = files(&DiskFaults::default());
    rig.topic(NewTopic::new("t", 1));
    rig.produce("t", &["a=1"]);
    rig.produce("t", &["b=1"]);
    let path = rig.file("t", "00000000000000000000.log");
    let mut bytes = fs::read(&path).unwrap();
    let second = bytes.len() / 2;
    bytes[second..second + 8].copy_from_slice(&i64::MAX.to_be_bytes());
    fs::write(&path, bytes).unwrap();
    rig.crash();
    assert_eq!(rig.read("t", Isolation::ReadUncommitted), ["0:a=1"]);
    assert_eq!(rig.broker.take_damages().len(), 1);
    assert_eq!(rig.produce("t", &["b=1"]), 1);

    fs::write(rig.file("t", "-0000000000000000001.log"), "").unwrap();
    rig.crash();
    assert_eq!(rig.broker.partition("t", 0).unwrap().log_start_offset, 0, "no offset is negative");
    fs::write(rig.file("t", &format!("{:020}.log", i64::MAX)), "").unwrap();
    rig.crash();
    assert_eq!(rig.produce_as("t", &BatchOptions::default(), &["c=1"]), Err(ErrorCode::KafkaStorageError));
}

/// Who cannot start has to know what to look at.
#[test]
fn a_start_that_is_refused_says_why() {
    let refused = |spoil: &dyn Fn(&std::path::Path)| {
        let mut rig = files(&DiskFaults::default());
        rig.topic(NewTopic::new("t", 1));
        rig.produce("t", &["a=1"]);
        let folder = rig.file("t", "partition.metadata").parent().unwrap().to_owned();
        drop(std::mem::replace(&mut rig.broker, Broker::new(BrokerConfig::default())));
        spoil(&folder);
        let storage = FileStorage::open(folder.parent().unwrap(), FileOptions::default()).unwrap();
        Broker::open(BrokerConfig::default(), Box::new(storage), 0).unwrap_err()
    };
    let blocked = refused(&|folder| {
        fs::remove_dir_all(folder).unwrap();
        fs::write(folder, "a file").unwrap();
    });
    assert_eq!((blocked.error, blocked.damages.len()), (ErrorCode::KafkaStorageError, 1));
    let text = blocked.to_string();
    assert!(text.contains("/t-0: cannot be opened: "), "{text}");
    let later = refused(&|folder| {
        let entry = [200];
        let journal = folder.parent().unwrap().join("meta/journal-0.log");
        let framed = [&1_u32.to_be_bytes()[..], &crc32c::crc32c(&entry).to_be_bytes(), &entry].concat();
        let bytes = [fs::read(&journal).unwrap(), framed].concat();
        fs::write(&journal, bytes).unwrap();
    });
    assert_eq!(later.error, ErrorCode::UnsupportedVersion);
    assert_eq!(later.to_string(), "UNSUPPORTED_VERSION (35)");
}
