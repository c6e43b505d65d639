//! What must not grow with what is there: counted in allocations, clones and values read, never in time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headwater::codec::{LongSerde, SerdeError, StringSerde};
use headwater::operator::{self, ChangeSerde};
use headwater::state::{
    Batches, Change, Changes, KeyValueStore, MemoryBackend, SessionStore, Shelf, StateBackend, StateStore,
    WindowStore,
};
use headwater::testkit::Testkit;
use headwater::{
    Consumed, HasSerde, Materialized, RecordBatch, Serde, SessionWindows, StreamsBuilder, TaskId,
    TopicPartition,
};

fn shelf(backend: &MemoryBackend) -> Shelf {
    let bytes = backend.open(TaskId { subtopology: 0, partition: 0 }).unwrap();
    Shelf { name: "store".to_owned(), space: 1, bytes }
}

fn commit(store: &mut dyn StateStore) {
    store.log(&mut RecordBatch::default()).unwrap();
    store.committed();
}

fn flush(store: &mut dyn StateStore, shelf: &Shelf) {
    commit(store);
    let mut apply = |changes: &mut Changes| shelf.bytes.apply(changes);
    let mut batches = Batches::new(usize::MAX, &mut apply);
    store.unflushed(&mut batches).unwrap();
    batches.end().unwrap();
    store.flushed();
}

#[test]
fn a_range_is_deleted_without_a_touch_to_the_rest() {
    let shelf = shelf(&MemoryBackend::default());
    let key = |number: u32| number.to_be_bytes().to_vec();
    let mut changes = Changes::default();
    (0..100_000).for_each(|number| changes.put(1, [&key(number)], []));
    shelf.bytes.apply(&changes).unwrap();
    let ranges = [(10, 20), (30, 25)].map(|(from, to)| (key(from), key(to)));
    let delete = ranges.iter().map(|(from, to)| Change::DeleteRange(1, from, to)).collect();
    let cost = allocation_counter::measure(|| shelf.bytes.apply(&delete).unwrap());
    assert!(cost.count_total < 100, "{cost:?}");
    assert_eq!(shelf.bytes.get(1, &key(19)).unwrap(), None);
    assert_eq!(shelf.bytes.get(1, &key(20)).unwrap(), Some(Vec::new()));
    assert_eq!(shelf.bytes.get(1, &key(27)).unwrap(), Some(Vec::new()));
}

/// In flushes of some thousand, in no order, each entry several times.
#[test]
fn an_entry_in_memory_takes_little_beside_its_bytes() {
    let shelf = shelf(&MemoryBackend::default());
    let entries = 50_000_u64;
    let cost = allocation_counter::measure(|| {
        for number in 0..4 * entries / 5_000 {
            let mut changes = Changes::default();
            for entry in (number * 5_000..).take(5_000) {
                let key = (entry * 31 % entries).to_be_bytes();
                changes.put(1, [&key, b"key."], [&key, b"value..."]);
            }
            shelf.bytes.apply(&changes).unwrap();
        }
    });
    let each = u64::try_from(cost.bytes_current).unwrap() / entries;
    assert!((28..60).contains(&each), "{each} bytes for 28");
}

/// Counts how many values are read.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Counting {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Serde<i64> for Counting {
    fn serialize(&self, value: &i64, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        LongSerde.serialize(value, out)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<i64, SerdeError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        LongSerde.deserialize(bytes)
    }
}

#[test]
fn sessions_are_found_among_those_of_their_key_and_kept_while_they_are_used() {
    let (backend, read) = (MemoryBackend::default(), Counting::default());
    let shelf = shelf(&backend);
    let mut store =
        SessionStore::open(shelf.clone(), Arc::new(StringSerde), Arc::new(read.clone()), 1_000_000).unwrap();
    let empty = store.memory_bytes();
    let keys = || (0..1_000).map(|number| format!("user{number}")).chain(["".to_owned(), "user".to_owned()]);
    for key in keys() {
        for start in [0, 500, 1_000] {
            store.put(&key, (start, start + 9), Some(start), start).unwrap();
        }
    }
    let all = store.memory_bytes();
    assert!(all > 3_000 * 100, "{all}");
    flush(&mut store, &shelf);
    store.evict(0);
    assert_eq!((store.memory_bytes(), read.take()), (empty, 0));

    for key in ["", "user"] {
        let found = store.find(&key.to_owned(), 400, 600).unwrap();
        assert_eq!(found.iter().map(|session| session.value).collect::<Vec<_>>(), [500]);
        assert!(read.take() <= 2, "only sessions that end at 400 or later are read");
    }
    flush(&mut store, &shelf);
    let used = "user".to_owned();
    store.find(&used, 400, 600).unwrap();
    store.evict(1);
    assert_eq!((store.find(&used, 400, 600).unwrap().len(), read.take()), (1, 0), "still in memory");
    assert_eq!((store.find(&String::new(), 0, 600).unwrap().len(), read.take()), (2, 3), "read again");
    assert_eq!((store.find(&used, 0, 2_000).unwrap().len(), read.take()), (3, 1), "what was not there yet");

    // What is deleted gives its memory back, and all of it is found by its end.
    assert_eq!(store.all().unwrap().len(), 3_006);
    for key in keys() {
        for start in [0, 500, 1_000] {
            store.put(&key, (start, start + 9), None, start).unwrap();
        }
    }
    assert_eq!(store.all().unwrap().len(), 0);
    flush(&mut store, &shelf);
    store.evict(0);
    assert_eq!(store.memory_bytes(), empty);
    store.discard().unwrap();
    assert_eq!(store.all().unwrap().len(), 0);
}

const BIG: usize = 100_000;

#[test]
fn memory_counts_what_values_hold() {
    let text = || Arc::new(StringSerde);
    let big = || "x".repeat(BIG);
    for committed in [false, true] {
        let mut table = KeyValueStore::open(shelf(&MemoryBackend::default()), text(), text()).unwrap();
        let mut windows =
            WindowStore::open(shelf(&MemoryBackend::default()), text(), text(), 1_000_000).unwrap();
        let mut sessions =
            SessionStore::open(shelf(&MemoryBackend::default()), text(), text(), 1_000_000).unwrap();
        for row in 0..30_i64 {
            let slot = table.slot(&row.to_string()).unwrap().unwrap();
            table.set(slot, Some(big()), 0);
            let start = row % 3 * 10;
            let slot = windows.slot(&row.to_string(), start).unwrap().unwrap();
            windows.update(start, std::iter::once(slot), |_, _| (Some(big()), 0));
            sessions.put(&row.to_string(), (start, start), Some(big()), 0).unwrap();
        }
        let stores: [&mut dyn StateStore; 3] = [&mut table, &mut windows, &mut sessions];
        for store in stores {
            if committed {
                commit(store);
            }
            let bytes = store.memory_bytes();
            assert!((30 * BIG..31 * BIG).contains(&bytes), "{bytes}, committed: {committed}");
        }
    }
}

/// Blobs that are in memory.
static BLOBS: AtomicUsize = AtomicUsize::new(0);

/// A large row that counts how many there are.
#[derive(Debug)]
struct Blob(String);

impl Blob {
    fn new(text: String) -> Self {
        BLOBS.fetch_add(1, Ordering::SeqCst);
        Self(text)
    }
}

impl Clone for Blob {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        BLOBS.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy, Default)]
struct BlobSerde;

impl Serde<Blob> for BlobSerde {
    fn serialize(&self, value: &Blob, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        StringSerde.serialize(&value.0, out)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Blob, SerdeError> {
        StringSerde.deserialize(bytes).map(Blob::new)
    }
}

impl HasSerde for Blob {
    type Serde = BlobSerde;
}

#[test]
fn large_rows_stay_within_memory_max() {
    let builder = StreamsBuilder::new();
    let rows = Materialized::<String, Blob>::named("rows");
    builder.table_with::<String, Blob>("in", Consumed::default(), Some(rows)).to_stream().to("out");
    let kit = Testkit::builder().set("memory.max", "4 MiB").set("commit.interval.ms", 3_600_000);
    let mut kit = kit.topic("in", 2).topic("out", 2).build(&builder.build().unwrap()).unwrap();
    let mut most = 0;
    for round in 0..300 {
        let mut batch = RecordBatch::default();
        for row in 0..2_i64 {
            batch.push(
                round,
                Some((round * 2 + row).to_string().as_bytes()),
                Some("x".repeat(BIG).as_bytes()),
                0,
            );
        }
        let partition = i32::from(round % 2 == 0);
        kit.put(&TopicPartition::new("in", partition), &batch).unwrap();
        kit.settle().unwrap();
        most = most.max(BLOBS.load(Ordering::SeqCst));
        let counted: usize = kit.worker(0).unwrap().tasks().values().map(|task| task.memory_bytes()).sum();
        assert!(counted < 5 << 20, "{counted} bytes in round {round}");
    }
    assert!((20..60).contains(&most), "{most} rows of 100 kB were in memory at once");
    assert_eq!(kit.read_bytes("out").unwrap().iter().map(|batch| batch.len()).sum::<usize>(), 600);
}

#[test]
fn a_change_is_written_where_it_goes() {
    let serde = ChangeSerde::<String>(Arc::new(StringSerde));
    let [new, old] = ["new", "old"].map(|text| Some(text.to_owned()));
    let mut out = Vec::with_capacity(64);
    let cost = allocation_counter::measure(|| {
        for (new, old, bytes) in
            [(&new, &old, &b"\x06newold\x02"[..]), (&new, &None, b"new\x01"), (&None, &old, b"old\x00")]
        {
            out.clear();
            out.push(b'>');
            let change = operator::Change { new: new.clone(), old: old.clone() };
            assert!(serde.serialize(&change, &mut out).unwrap());
            assert_eq!(out[1..], *bytes);
        }
    });
    // The two texts of each change are cloned for it.
    assert_eq!(cost.count_total, 4);
    assert!(serde.serialize(&operator::Change { new: None, old: None }, &mut out).is_err());
}

static CLONES: AtomicUsize = AtomicUsize::new(0);

/// An aggregate that counts its clones.
#[derive(Debug, Default, PartialEq, Eq)]
struct Large(i64);

impl Clone for Large {
    fn clone(&self) -> Self {
        CLONES.fetch_add(1, Ordering::SeqCst);
        Self(self.0)
    }
}

#[derive(Clone, Copy, Default)]
struct LargeSerde;

impl Serde<Large> for LargeSerde {
    fn serialize(&self, value: &Large, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        LongSerde.serialize(&value.0, out)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Large, SerdeError> {
        LongSerde.deserialize(bytes).map(Large)
    }
}

impl HasSerde for Large {
    type Serde = LargeSerde;
}

/// Clones of the aggregate for each of 50 records of one key.
fn clones(draw: impl Fn(&StreamsBuilder)) -> usize {
    let builder = StreamsBuilder::new();
    draw(&builder);
    let mut kit = Testkit::builder().topic("in", 1).build(&builder.build().unwrap()).unwrap();
    CLONES.store(0, Ordering::SeqCst);
    for number in 0..50 {
        kit.pipe("in", &format!("k{}", number % 2), &number, number).unwrap();
    }
    CLONES.load(Ordering::SeqCst) / 50
}

/// One test, since all count in the same place.
#[test]
fn an_aggregate_is_cloned_once_to_be_told_and_not_at_all_otherwise() {
    let gap = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_millis(10));
    for (emit, expected) in
        [(headwater::EmitStrategy::OnWindowUpdate, 1), (headwater::EmitStrategy::OnWindowClose, 0)]
    {
        let sessions = clones(|builder| {
            let grouped = builder.stream::<String, i64>("in").group_by_key().windowed_by_session(gap);
            let merge = |_: &String, one: Large, other: Large| Large(one.0 + other.0);
            grouped.emit_strategy(emit).aggregate(
                Large::default,
                |_, value, sum| Large(sum.0 + value),
                merge,
            );
        });
        assert_eq!(sessions, expected, "sessions, {emit:?}");
    }
    let table = |listen: bool| {
        clones(|builder| {
            let grouped = builder.table::<String, i64>("in").group_by(|_, value| ("all".to_owned(), *value));
            let (add, subtract) = (
                |_: &String, value, sum: Large| Large(sum.0 + value),
                |_: &String, value, sum: Large| Large(sum.0 - value),
            );
            let sums = grouped.aggregate(Large::default, add, subtract);
            if listen {
                sums.to_stream().foreach(|_, _| ());
            }
        })
    };
    assert_eq!((table(true), table(false)), (1, 0));
}
