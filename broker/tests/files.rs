//! Storage in files: what a crash, a damaged file or a full disk leaves, and that nothing else is ever read.
#![allow(clippy::unwrap_used, reason = "a failed step ends the test")]

mod rig;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use headwater_broker::api::TopicId;
use headwater_broker::batch::{BatchHeader, BatchOptions, Record, encode};
use headwater_broker::storage::files::{DiskFaults, FileOptions, FileStorage};
use headwater_broker::storage::{Damage, KeepRules, LogId, Storage, StoredBatch};
use rig::Folder;

const LOG: LogId = LogId { topic: TopicId(7), partition: 0 };
const RULES: KeepRules = KeepRules {
    segment_bytes: 1 << 20,
    segment_ms: i64::MAX,
    index_interval_bytes: 0,
    flush_messages: i64::MAX,
    flush_ms: i64::MAX,
    now: 0,
};

/// Batches of two records each; the value says which.
fn batch(number: i64) -> StoredBatch {
    let options = BatchOptions { base_offset: number * 2, leader_epoch: 3, ..BatchOptions::default() };
    let value = format!("value {number}");
    let record = Record::new(number * 10, Some(b"key"), Some(value.as_bytes()));
    let bytes = Bytes::from(encode(&options, [record, record]));
    StoredBatch { header: BatchHeader::parse(&bytes).unwrap(), bytes }
}

fn originals(numbers: std::ops::Range<i64>) -> Vec<Bytes> {
    numbers.map(|number| batch(number).bytes).collect()
}

struct Files {
    folder: Folder,
    faults: DiskFaults,
    storage: Option<FileStorage>,
    rules: KeepRules,
}

impl Files {
    fn new() -> Self {
        let mut files =
            Self { folder: Folder::new(), faults: DiskFaults::default(), storage: None, rules: RULES };
        files.reopen();
        files
    }

    /// A log of five batches in segments of this size.
    fn with_five(segment_bytes: u64) -> Self {
        let mut files = Self::new();
        files.rules.segment_bytes = segment_bytes;
        (0..5).for_each(|number| files.append(number).unwrap());
        files
    }

    /// As after a `kill -9`: nobody had the time to say anything.
    fn reopen(&mut self) -> i64 {
        self.storage = None;
        let options = FileOptions { open_files: 2, faults: self.faults.clone(), ..FileOptions::default() };
        let mut storage = FileStorage::open(&self.folder.0, options).unwrap();
        let end = storage.open(LOG, "t").unwrap().end;
        self.storage = Some(storage);
        end
    }

    fn storage(&mut self) -> &mut FileStorage {
        self.storage.as_mut().unwrap()
    }

    fn append(&mut self, number: i64) -> io::Result<()> {
        let rules = self.rules;
        self.storage().append(LOG, batch(number), &rules).map(|_| ())
    }

    fn read(&mut self, from: i64) -> io::Result<Vec<Bytes>> {
        self.storage().read(LOG, from..i64::MAX, usize::MAX)
    }

    fn damages(&mut self) -> Vec<Damage> {
        self.storage().take_damages()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.0.join("t-0").join(name)
    }

    fn names(&self, extension: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.0.join("t-0")).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.retain(|name| Path::new(name).extension().is_some_and(|known| known == extension));
        names.sort();
        names
    }
}

fn cut(path: &Path, len: usize) {
    fs::File::options().write(true).open(path).unwrap().set_len(len as u64).unwrap();
}

fn flip(path: &Path, at: usize, bits: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= bits;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_appended_is_there_after_a_kill() {
    let size = batch(0).bytes.len() as u64;
    for segment_bytes in [14, size * 2, 1 << 20] {
        let mut files = Files::with_five(segment_bytes);
        assert_eq!(files.read(0).unwrap(), originals(0..5));
        assert_eq!(files.reopen(), 10);
        assert_eq!(files.read(0).unwrap(), originals(0..5));
        assert_eq!(files.read(5).unwrap(), originals(2..5), "the batch that contains the offset comes first");
        assert_eq!(files.storage().read(LOG, 2..5, usize::MAX).unwrap(), originals(1..3));
        assert_eq!(files.storage().read(LOG, 4..10, 1).unwrap(), originals(2..3), "the first always comes");
        assert_eq!(files.storage().size(LOG), size * 5);
        files.append(5).unwrap();
        assert_eq!(files.read(8).unwrap(), originals(4..6));
        assert_eq!(files.damages(), []);
    }
}

#[test]
fn a_tail_that_is_cut_anywhere_is_cut_to_whole_batches() {
    let size = batch(0).bytes.len();
    for len in size * 2..=size * 5 {
        let mut files = Files::with_five(1 << 20);
        cut(&files.path("00000000000000000000.log"), len);
        let whole = i64::try_from(len / size).unwrap();
        assert_eq!(files.reopen(), whole * 2, "cut at {len}");
        assert_eq!(files.read(0).unwrap_or_default(), originals(0..whole), "cut at {len}");
        let damages = files.damages();
        assert_eq!(damages.is_empty(), len % size == 0, "cut at {len}: {damages:?}");
        if let [damage] = &damages[..] {
            assert_eq!((damage.position, damage.bytes), ((len / size * size) as u64, (len % size) as u64));
            assert!(damage.to_string().ends_with("cut off"), "{damage}");
        }
        files.append(whole).unwrap();
        assert_eq!(files.reopen(), whole * 2 + 2);
        assert_eq!(files.read(0).unwrap(), originals(0..whole + 1));
    }
}

#[test]
fn a_flipped_byte_cuts_the_log_in_front_of_its_batch() {
    let size = batch(0).bytes.len();
    for at in size * 2..size * 5 {
        for bits in [0x01, 0x80] {
            let mut files = Files::with_five(1 << 20);
            flip(&files.path("00000000000000000000.log"), at, bits);
            let end = files.reopen();
            let (whole, within) = (i64::try_from(at / size).unwrap(), at % size);
            if (12..16).contains(&within) {
                // The leader epoch is no part of what is checked, as in Kafka: the records are as they were.
                assert_eq!(end, 10);
                let read = files.read(0).unwrap();
                assert!(read.iter().zip(originals(0..5)).all(|(read, sent)| read[16..] == sent[16..]));
                continue;
            }
            assert_eq!(end, whole * 2, "byte {within} of batch {whole}");
            assert_eq!(files.read(0).unwrap_or_default(), originals(0..whole));
            assert_eq!(files.damages().len(), 1);
            files.append(whole).unwrap();
            assert_eq!(files.reopen(), whole * 2 + 2, "what stood behind it does not come back");
            assert_eq!(files.damages(), []);
        }
    }
}

#[test]
fn a_flipped_byte_in_an_old_segment_harms_its_batch_only() {
    let size = batch(0).bytes.len();
    for at in (0..size).filter(|at| !(12..16).contains(at)) {
        let mut files = Files::with_five(size as u64 * 2);
        // Segments: 0 and 1, 2 and 3, 4. The second batch of the second one is hit.
        flip(&files.path("00000000000000000004.log"), size + at, 0x40);
        assert_eq!(files.reopen(), 10);
        assert_eq!(files.read(0).unwrap(), originals(0..3), "byte {at}: what stands before it");
        assert_eq!(files.read(6).unwrap_err().kind(), ErrorKind::InvalidData, "byte {at}");
        assert_eq!(files.read(8).unwrap(), originals(4..5), "byte {at}: what stands behind it");
        let damages = files.damages();
        assert!(
            damages.iter().any(|damage| damage.file.ends_with("00000000000000000004.log")),
            "{damages:?}"
        );
        let mut seen = Vec::new();
        files.storage().walk(LOG, 0, &mut |header, _| seen.push(header.base_offset)).unwrap();
        seen.retain(|offset| *offset != 6);
        assert_eq!(seen, [0, 2, 4, 8], "byte {at}");
    }
}

#[test]
fn indexes_that_are_missing_or_damaged_are_made_again() {
    let size = batch(0).bytes.len() as u64;
    for extension in ["index", "timeindex"] {
        for tamper in ["remove", "empty", "flip", "other"] {
            let mut files = Files::with_five(size * 2);
            let path = files.path(&format!("00000000000000000004.{extension}"));
            let good = fs::read(&path).unwrap();
            match tamper {
                "remove" => fs::remove_file(&path).unwrap(),
                "empty" => cut(&path, 0),
                "flip" => flip(&path, 3, 0x10),
                _ => {
                    fs::copy(files.path(&format!("00000000000000000000.{extension}")), &path).unwrap();
                }
            }
            files.reopen();
            let found = files.storage().find_time(LOG, 0..10, 21).unwrap();
            assert_eq!(found, Some(batch(3).bytes), "{tamper} {extension}");
            assert_eq!(files.read(7).unwrap(), originals(3..5), "{tamper} {extension}");
            assert_eq!(files.storage().newest_time(LOG, 10).unwrap(), Some(40));
            if tamper != "other" {
                assert_eq!(fs::read(&path).unwrap(), good, "{tamper} {extension}");
            }
        }
    }
}

#[test]
fn times_are_found_in_any_segment() {
    let size = batch(0).bytes.len() as u64;
    for segment_bytes in [14, size * 2, 1 << 20] {
        let mut files = Files::with_five(segment_bytes);
        let cases = [(0, -5, Some(0)), (0, 1, Some(1)), (0, 40, Some(4)), (0, 41, None), (7, 0, Some(3))];
        for (from, time, expected) in cases {
            let found = files.storage().find_time(LOG, from..10, time).unwrap();
            assert_eq!(found, expected.map(|number| batch(number).bytes), "{from} {time}");
        }
        assert_eq!(files.storage().find_time(LOG, 0..4, 20).unwrap(), None);
        for (below, newest) in [(0, None), (1, None), (2, Some(0)), (9, Some(30)), (10, Some(40))] {
            assert_eq!(files.storage().newest_time(LOG, below).unwrap(), newest, "below {below}");
        }
    }
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let size = batch(0).bytes.len() as u64;
    for segment_bytes in [1 << 20, size * 2] {
        for room in 0..size {
            let mut files = Files::with_five(segment_bytes);
            files.faults.leave_room(Some(room));
            for _ in 0..2 {
                assert_eq!(files.append(5).unwrap_err().kind(), ErrorKind::StorageFull, "room for {room}");
                files.faults.leave_room(Some(room));
            }
            assert_eq!(files.read(0).unwrap(), originals(0..5), "room for {room}");
            if room % 2 == 0 {
                files.faults.leave_room(None);
                assert_eq!(files.reopen(), 10, "room for {room}");
                assert_eq!(files.damages(), [], "what was written in part is gone");
            }
            files.faults.leave_room(None);
            files.append(5).unwrap();
            assert_eq!(files.read(0).unwrap(), originals(0..6), "room for {room}");
        }
    }
}

#[test]
fn what_cannot_be_cut_off_is_not_appended_to() {
    let mut files = Files::with_five(1 << 20);
    files.faults.leave_room(Some(20));
    files.faults.keep_torn_writes(true);
    assert_eq!(files.append(5).unwrap_err().kind(), ErrorKind::StorageFull);
    files.faults.leave_room(None);
    assert_eq!(files.append(5).unwrap_err().to_string(), "the file cannot be cut");
    assert_eq!(files.read(0).unwrap(), originals(0..5));
    files.faults.keep_torn_writes(false);
    files.append(5).unwrap();
    assert_eq!(files.reopen(), 12);
    assert_eq!(files.read(0).unwrap(), originals(0..6));
    assert_eq!(files.damages(), []);
}

#[test]
fn after_an_orderly_end_nothing_is_read() {
    let mut files = Files::with_five(1 << 20);
    files.storage().save_snapshot(LOG, 10, b"state").unwrap();
    files.storage().close().unwrap();
    assert!(files.append(5).is_err(), "it is closed");
    let path = files.path("00000000000000000000.log");
    flip(&path, 70, 0x01);
    assert_eq!(files.reopen(), 10, "nobody has looked");
    assert_eq!(files.storage().snapshots(LOG).unwrap(), [(10, b"state".to_vec())]);
    assert_eq!(files.damages(), []);
    assert_eq!(files.read(0).unwrap_err().kind(), ErrorKind::InvalidData, "until it is read");
    assert_eq!(files.read(2).unwrap(), originals(1..5));
    assert_eq!(files.reopen(), 0, "the promise holds once");
    assert_eq!(files.damages().len(), 1);
}

/// A power cut may take the end of a segment when the next one has just begun.
#[test]
fn the_segment_before_an_empty_one_is_checked_too() {
    let size = batch(0).bytes.len();
    let mut files = Files::with_five(1 << 20);
    files.storage().close_unit(LOG).unwrap();
    cut(&files.path("00000000000000000000.log"), size * 3 + 5);
    assert_eq!(files.reopen(), 10, "offsets never come twice");
    assert_eq!(files.read(0).unwrap(), originals(0..3));
    assert_eq!(files.damages().len(), 1);
    files.append(5).unwrap();
    assert_eq!(files.read(6).unwrap(), originals(5..6));
}

#[test]
fn the_start_is_durable_and_whole_segments_go() {
    let size = batch(0).bytes.len() as u64;
    let mut files = Files::with_five(size * 2);
    files.storage().truncate_front(LOG, 6).unwrap();
    assert_eq!(files.names("log"), ["00000000000000000004.log", "00000000000000000008.log"]);
    let opened = |files: &mut Files| {
        files.reopen();
        files.storage().open(LOG, "t").unwrap()
    };
    assert_eq!((opened(&mut files).start, opened(&mut files).end), (6, 10));
    files.storage().truncate_front(LOG, 10).unwrap();
    assert_eq!((files.names("log"), files.storage().size(LOG)), (vec!["00000000000000000010.log".into()], 0));
    assert_eq!((opened(&mut files).start, opened(&mut files).end), (10, 10));
    files.append(5).unwrap();
    assert_eq!(files.read(10).unwrap(), originals(5..6));
    while files.storage().next_upkeep().is_some() {
        files.storage().upkeep(0);
    }
    assert_eq!(files.names("deleted"), [""; 0]);
}

#[test]
fn segments_roll_by_the_time_of_their_records() {
    let mut files = Files::new();
    files.rules.segment_ms = 15; // the batches lie 10 ms apart
    (0..5).for_each(|number| files.append(number).unwrap());
    let names = ["00000000000000000000.log", "00000000000000000004.log", "00000000000000000008.log"];
    assert_eq!(files.names("log"), names);
}

#[test]
fn bytes_become_durable_when_the_topic_says_so() {
    let mut files = Files::new();
    let mut changes = |rules: KeepRules, number| {
        files.faults.stop_after(None);
        files.storage().append(LOG, batch(number), &rules).unwrap();
        files.faults.changes()
    };
    assert_eq!(changes(RULES, 0), 1, "a write and nothing else");
    assert_eq!(changes(KeepRules { flush_messages: 5, ..RULES }, 1), 1, "four records");
    assert_eq!(changes(KeepRules { flush_messages: 5, ..RULES }, 2), 2, "six");
    assert_eq!(changes(KeepRules { flush_messages: 1, ..RULES }, 3), 2);
    assert_eq!(changes(KeepRules { flush_ms: 100, now: 50, ..RULES }, 4), 1);
    assert_eq!(changes(KeepRules { flush_ms: 100, now: 140, ..RULES }, 5), 1);
    assert_eq!(files.storage().next_upkeep(), Some(150));
    files.faults.stop_after(None);
    files.storage().upkeep(149);
    assert_eq!(files.faults.changes(), 0);
    files.storage().upkeep(150);
    assert_eq!((files.faults.changes(), files.storage().next_upkeep()), (1, None));
}

#[test]
fn a_folder_belongs_to_one_broker_and_to_one_topic() {
    let mut files = Files::with_five(1 << 20);
    let error = FileStorage::open(&files.folder.0, FileOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    files.storage().remove(LogId { topic: TopicId(6), partition: 0 }, "t").unwrap();
    assert_eq!(files.names("log").len(), 1, "it is another one's");
    files.storage().remove(LOG, "t").unwrap();
    files.storage().upkeep(0);
    let again = LogId { topic: TopicId(8), partition: 0 };
    let opened = files.storage().open(again, "t").unwrap();
    assert_eq!(opened.end, 0, "a topic made again is another one");
    let folders = |files: &Files| {
        let entries = fs::read_dir(&files.folder.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(folders(&files), [".lock", "t-0"]);
    fs::write(files.path("partition.metadata"), "garbage").unwrap();
    assert_eq!(files.storage().open(again, "t").unwrap().end, 0);
    assert_eq!(folders(&files), [".lock", "t-0", "t-0.0-stray"], "nobody knows whose it is");
    assert_eq!(files.storage().open(LOG, "t").unwrap().end, 0);
    assert_eq!(folders(&files).len(), 4, "nobody has said that the other one was deleted");
    assert_eq!(files.damages().len(), 2);
    files.storage().remove(LOG, "t").unwrap();
    files.storage().upkeep(0);
    assert_eq!(folders(&files), [".lock", "t-0.0-stray", "t-0.1-stray"]);
}

/// More partitions than files may be open.
#[test]
fn many_partitions_share_few_handles() {
    let mut files = Files::new();
    let log = |partition| LogId { topic: TopicId(9), partition };
    for partition in 0..300 {
        files.storage().open(log(partition), "many").unwrap();
    }
    for number in 0..3 {
        for partition in 0..300 {
            files.storage().append(log(partition), batch(number), &RULES).unwrap();
        }
    }
    let open = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < 100, "{open} files are open");
    for partition in 0..300 {
        assert_eq!(files.storage().read(log(partition), 0..6, usize::MAX).unwrap(), originals(0..3));
    }
}

#[test]
fn large_logs_are_read_in_pieces_from_anywhere() {
    let mut files = Files::new();
    files.rules.segment_bytes = 100_000;
    (0..5_000).for_each(|number| files.append(number).unwrap());
    assert_eq!(files.reopen(), 10_000);
    assert!(files.names("log").len() > 3);
    let mut next = 0;
    while next < 10_000 {
        let found = files.storage().read(LOG, next..10_000, 3_000).unwrap();
        assert!(found.iter().map(Bytes::len).sum::<usize>() <= 3_000);
        for bytes in found {
            assert_eq!(bytes, batch(next / 2).bytes);
            next += 2;
        }
    }
    for offset in (0..270).rev().map(|step| step * 37) {
        assert_eq!(
            files.storage().read(LOG, offset..10_000, 1).unwrap(),
            originals(offset / 2..offset / 2 + 1)
        );
        let found = files.storage().find_time(LOG, 0..10_000, offset / 2 * 10).unwrap();
        assert_eq!(found, Some(batch(offset / 2).bytes));
    }
}
