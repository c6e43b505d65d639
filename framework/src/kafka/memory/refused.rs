//! Refused: which record of a batch the broker does not take.

use bytes::Bytes;
use headwater_broker::ErrorCode;
use headwater_broker::batch::{Batch, BatchBuilder, Header, Record};

use super::outbox::Undelivered;
use crate::kafka::{Refusal, RefusedRecord};
use crate::topic::TopicPartition;

/// What a batch was refused for.
pub(super) enum Blame {
    /// Nothing that lies in the records.
    Nothing,
    /// This.
    Is(Refusal),
    /// Something in one of these halves.
    OneOf(BatchBuilder, BatchBuilder),
}

/// Who is to blame that `batch` was not delivered.
pub(super) fn blame(partition: &TopicPartition, why: Undelivered, batch: &[u8]) -> Blame {
    let (code, in_doubt) = match why {
        Undelivered::Refused(code) => (code, false),
        Undelivered::InDoubt(code) => (code, true),
        Undelivered::TimedOut => return Blame::Nothing,
    };
    let refusal = |record| Blame::Is(Refusal { partition: partition.clone(), code: code.name(), record });
    match code {
        ErrorCode::TopicAuthorizationFailed => refusal(None),
        ErrorCode::MessageTooLarge | ErrorCode::InvalidRecord | ErrorCode::InvalidTimestamp => {
            match open(batch) {
                Some(Opened::One(record)) => refusal(Some(record)),
                // Sequence numbers that may have been used cannot be dealt out anew.
                Some(Opened::Halves(..)) | None if in_doubt => Blame::Nothing,
                Some(Opened::Halves(first, second)) => Blame::OneOf(first, second),
                None => Blame::Nothing,
            }
        }
        _ => Blame::Nothing,
    }
}

enum Opened {
    One(RefusedRecord),
    Halves(BatchBuilder, BatchBuilder),
}

/// Takes a batch of our own apart.
fn open(batch: &[u8]) -> Option<Opened> {
    let batch = Batch::parse(batch).ok()?;
    let count = usize::try_from(batch.header().records_count).ok()?;
    if count == 1 {
        let record = batch.records().next()?.ok()?;
        return Some(Opened::One(RefusedRecord {
            timestamp: record.timestamp,
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
        }));
    }
    let mut halves = [BatchBuilder::new(), BatchBuilder::new()];
    for (at, record) in batch.records().enumerate() {
        let record = record.ok()?;
        let headers: Vec<Header<'_>> = record.headers.iter().collect();
        let copy = Record::new(record.timestamp, record.key, record.value).with_headers(&headers);
        halves[usize::from(at >= count / 2)].push(&copy);
    }
    let [first, second] = halves;
    Some(Opened::Halves(first, second))
}
