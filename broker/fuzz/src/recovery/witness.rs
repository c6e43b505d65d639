//! Witness: all that can be seen of a broker, to compare what two starts make of the same files.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use headwater_broker::api::{
    FetchPartition, FetchRequest, FetchResponse, FetchedPartition, Isolation, ListGroupsRequest,
    ListGroupsResponse, ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListedOffset,
    OffsetSpec, ProducePartition, ProduceRequest, ProduceResponse,
};
use headwater_broker::batch::{self, Batch, BatchOptions, Record};
use headwater_broker::broker::{PartitionView, TransactionView};
use headwater_broker::{Broker, ClientId, ErrorCode, Request, Response, TopicPartition};

/// Partitions of a topic that are looked at: a journal may say that there are many.
const LOOKS: i32 = 8;
/// So many offsets that cannot be read are passed over; then a partition is left.
const MOST_GAPS: usize = 20;
/// Nothing is appended behind this offset.
const LAST_OFFSET: i64 = i64::MAX / 2;

/// What can be seen of a broker.
#[derive(Debug, PartialEq)]
pub struct Witness {
    partitions: BTreeMap<(String, i32), Seen>,
    offsets: BTreeMap<(Arc<str>, String, i32), String>,
    pending: BTreeMap<Arc<str>, String>,
    members: BTreeMap<Arc<str>, String>,
    transactions: BTreeMap<Arc<str>, TransactionView>,
}

/// What can be seen of a partition.
#[derive(Debug, PartialEq)]
struct Seen {
    view: PartitionView,
    /// By base offset.
    batches: BTreeMap<i64, Bytes>,
    gaps: Vec<(i64, ErrorCode)>,
    listed: Vec<ListedOffset>,
}

fn ask<T: TryFrom<Response, Error = ErrorCode>>(
    broker: &mut Broker,
    request: impl Into<Request>,
    now: i64,
) -> T {
    let response = broker.call(&ClientId::new("witness"), request, now).expect("it is answered at once");
    T::try_from(response).unwrap_or_else(|code| panic!("another answer was expected, not {code}"))
}

/// All partitions, of large topics the first.
#[must_use]
pub fn partitions(broker: &Broker) -> Vec<(String, i32)> {
    let of = |topic: String| {
        let count = broker.partition_count(&topic).unwrap_or(0).min(LOOKS);
        (0..count).map(move |partition| (topic.clone(), partition))
    };
    broker.topics().into_iter().flat_map(of).collect()
}

/// Appends a record to each partition, and reads it.
///
/// # Panics
/// If that does not work.
pub fn append(broker: &mut Broker, now: i64) {
    for (topic, partition) in partitions(broker) {
        let at = TopicPartition::new(topic.as_str(), partition);
        let end = broker.partition(&topic, partition).expect("it is there").high_watermark;
        let record = Record::new(900_000, Some(b"key"), Some(b"appended"));
        let batch: Bytes = batch::encode(&BatchOptions::default(), [record]).into();
        let wanted = vec![ProducePartition { at, batch: batch.clone() }];
        let request = ProduceRequest { transactional_id: None, partitions: wanted };
        let produced = ask::<ProduceResponse>(broker, request, now).partitions.remove(0);
        match produced.error {
            ErrorCode::None => {}
            // What its settings say, if the journal has them so, or there are no offsets left.
            ErrorCode::MessageTooLarge | ErrorCode::InvalidTimestamp => continue,
            _ if end > LAST_OFFSET => continue,
            error => panic!("{topic}-{partition} takes nothing: {error}"),
        }
        assert_eq!(produced.base_offset, end, "{topic}-{partition}");
        let fetched = fetch(broker, (&topic, partition), end, now);
        assert_eq!(fetched.error, ErrorCode::None, "{topic}-{partition}: what was appended cannot be read");
        let read = fetched.batches.first().expect("there is what was appended");
        assert_eq!(Batch::parse(read).map(|read| read.header().base_offset), Ok(end));
        assert_eq!(read.len(), batch.len());
    }
}

fn fetch(broker: &mut Broker, (topic, partition): (&str, i32), offset: i64, now: i64) -> FetchedPartition {
    let at = TopicPartition::new(topic, partition);
    let wanted = vec![FetchPartition { at, offset, max_bytes: 1 << 20, current_leader_epoch: None }];
    let isolation = Isolation::ReadUncommitted;
    let request = FetchRequest { isolation, max_bytes: 1 << 20, partitions: wanted };
    ask::<FetchResponse>(broker, request, now).partitions.remove(0)
}

fn list(broker: &mut Broker, at: (&str, i32), now: i64) -> Vec<ListedOffset> {
    let at = TopicPartition::new(at.0, at.1);
    let specs = [
        OffsetSpec::Earliest,
        OffsetSpec::Latest,
        OffsetSpec::MaxTimestamp,
        OffsetSpec::Timestamp(0),
        OffsetSpec::Timestamp(1_001),
        OffsetSpec::Timestamp(950_000),
    ];
    let wanted = specs.map(|spec| ListOffsetsPartition { at: at.clone(), spec, current_leader_epoch: None });
    let request = ListOffsetsRequest { isolation: Isolation::ReadCommitted, partitions: wanted.to_vec() };
    ask::<ListOffsetsResponse>(broker, request, now).partitions
}

impl Seen {
    fn of(broker: &mut Broker, at: (&str, i32), now: i64) -> Self {
        let (topic, partition) = at;
        let view = broker.partition(topic, partition).expect("it is there");
        assert!(view.log_start_offset <= view.high_watermark, "{topic}-{partition}: {view:?}");
        assert!(view.last_stable_offset <= view.high_watermark, "{topic}-{partition}: {view:?}");
        let mut seen =
            Self { view, batches: BTreeMap::new(), gaps: Vec::new(), listed: list(broker, at, now) };
        let mut next = seen.view.log_start_offset;
        while next < seen.view.high_watermark && seen.gaps.len() < MOST_GAPS {
            let fetched = fetch(broker, at, next, now);
            if fetched.error != ErrorCode::None {
                seen.gaps.push((next, fetched.error));
                next += 1;
                continue;
            }
            if fetched.batches.is_empty() {
                break;
            }
            for bytes in fetched.batches {
                next = seen.take(bytes, next);
            }
        }
        // It reads all there is, and may come upon damage.
        let _ = broker.records(topic, partition);
        let _ = broker.producers(topic, partition);
        seen
    }

    /// Takes a batch that was served at an offset; says where to go on.
    fn take(&mut self, bytes: Bytes, offset: i64) -> i64 {
        let batch = Batch::parse(&bytes).expect("what is served is a batch");
        assert_eq!(batch.verify(), Ok(()), "a batch is served that is not what was written");
        let header = *batch.header();
        assert!(header.last_offset() >= offset, "offset {offset} was asked for: {header:?}");
        assert!(header.last_offset() < self.view.high_watermark, "{header:?} lies behind the end");
        self.batches.insert(header.base_offset, bytes);
        header.next_offset()
    }
}

impl Witness {
    /// Looks at all of a broker.
    ///
    /// # Panics
    /// If it serves what it may not.
    #[must_use]
    pub fn of(broker: &mut Broker, now: i64) -> Self {
        let _ = broker.take_damages();
        let places = partitions(broker);
        let mut seen = BTreeMap::new();
        for (topic, partition) in &places {
            seen.insert((topic.clone(), *partition), Seen::of(broker, (topic, *partition), now));
        }
        let all = ListGroupsRequest { states: Vec::new(), types: Vec::new() };
        let groups = ask::<ListGroupsResponse>(broker, all, now).groups;
        let (mut offsets, mut pending, mut members) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for group in &groups {
            let id = &group.group_id;
            pending.insert(id.clone(), format!("{:?}", broker.pending_offsets(id)));
            members.insert(id.clone(), format!("{:?} {:?}", broker.group(id), broker.consumer_group(id)));
            for (topic, partition) in &places {
                let committed = broker.committed_offset(id, topic, *partition);
                offsets.insert((id.clone(), topic.clone(), *partition), format!("{committed:?}"));
            }
        }
        let known = |id: Arc<str>| broker.transaction(&id).map(|transaction| (id, transaction));
        let transactions = broker.transactional_ids().into_iter().filter_map(known).collect();
        Self { partitions: seen, offsets, pending, members, transactions }
    }

    /// What was seen before an orderly end is seen again.
    ///
    /// # Panics
    /// If it is not.
    pub fn check_same(&self, after: &Self) {
        assert_eq!(self.offsets, after.offsets);
        assert_eq!(self.pending, after.pending);
        assert_eq!(self.members, after.members);
        assert_eq!(self.transactions, after.transactions);
        let places = |witness: &Self| witness.partitions.keys().cloned().collect::<Vec<_>>();
        assert_eq!(places(self), places(after));
        for (at, seen) in &self.partitions {
            let again = &after.partitions[at];
            // Each start has an epoch of its own.
            let view = PartitionView { leader_epoch: seen.view.leader_epoch, ..again.view.clone() };
            assert_eq!(seen.view, view, "{at:?}");
            for (offset, batch) in &seen.batches {
                assert_eq!(
                    again.batches.get(offset),
                    Some(batch),
                    "{at:?} at {offset}: what was read is lost"
                );
            }
            assert_eq!(seen.gaps, again.gaps, "{at:?}");
            let places = |seen: &Seen| {
                seen.listed
                    .iter()
                    .map(|listed| (listed.error, listed.offset, listed.timestamp))
                    .collect::<Vec<_>>()
            };
            assert_eq!(places(seen), places(again), "{at:?}");
        }
    }
}
