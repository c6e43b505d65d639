//! The shapes of all requests that are served, after Kafka's message definitions.

use kafka_protocol::messages::ApiKey;

use super::shape::{Field, Kind};

const BOOL: Field = Field::new(Kind::Fixed(1));
const I8: Field = Field::new(Kind::Fixed(1));
const I16: Field = Field::new(Kind::Fixed(2));
const I32: Field = Field::new(Kind::Fixed(4));
const I64: Field = Field::new(Kind::Fixed(8));
const UUID: Field = Field::new(Kind::Fixed(16));
const TEXT: Field = Field::new(Kind::Text);
const BYTES: Field = Field::new(Kind::Bytes);
const TEXTS: Field = Field::new(Kind::List(&Kind::Text));
const I8S: Field = Field::new(Kind::List(&Kind::Fixed(1)));
const I32S: Field = Field::new(Kind::List(&Kind::Fixed(4)));
const I64S: Field = Field::new(Kind::List(&Kind::Fixed(8)));

const fn array(fields: &'static [Field]) -> Field {
    Field::new(Kind::Array(fields))
}

const fn tagged(number: usize, kind: &'static Kind) -> Field {
    Field::new(Kind::Tagged(number, kind))
}

/// Topics, each with numbers of partitions.
const PARTITIONS: Field = array(&[TEXT, I32S]);

const FETCH: &[Field] = &[
    I32.until(14),
    I32,
    I32,
    I32,
    I8,
    I32.since(7),
    I32.since(7),
    array(&[
        TEXT.until(12),
        UUID.since(13),
        array(&[
            I32,
            I32.since(9),
            I64,
            I32.since(12),
            I64.since(5),
            I32,
            tagged(0, &Kind::Fixed(16)).since(17),
            tagged(1, &Kind::Fixed(8)).since(18),
        ]),
    ]),
    array(&[TEXT.until(12), UUID.since(13), I32S]).since(7),
    TEXT.since(11),
    tagged(0, &Kind::Text).since(12),
    tagged(1, &Kind::Structure(&[I32, I64])).since(15),
];

const OFFSET_COMMIT: &[Field] = &[
    TEXT,
    I32,
    TEXT,
    TEXT.since(7),
    I64.until(4),
    array(&[TEXT.until(9), UUID.since(10), array(&[I32, I64, I32.since(6), TEXT])]),
];

const OFFSET_FETCH: &[Field] = &[
    TEXT.until(7),
    PARTITIONS.until(7),
    array(&[TEXT, TEXT.since(9), I32.since(9), array(&[TEXT.until(9), UUID.since(10), I32S])]).since(8),
    BOOL.since(7),
];

const ADD_PARTITIONS_TO_TXN: &[Field] = &[
    array(&[TEXT, I64, I16, BOOL, PARTITIONS]).since(4),
    TEXT.until(3),
    I64.until(3),
    I16.until(3),
    PARTITIONS.until(3),
];

const TXN_OFFSET_COMMIT: &[Field] = &[
    TEXT,
    TEXT,
    I64,
    I16,
    I32.since(3),
    TEXT.since(3),
    TEXT.since(3),
    array(&[TEXT, array(&[I32, I64, I32.since(2), TEXT])]),
];

const CONSUMER_GROUP_HEARTBEAT: &[Field] =
    &[TEXT, TEXT, I32, TEXT, TEXT, I32, TEXTS, TEXT.since(1), TEXT, array(&[UUID, I32S])];

#[rustfmt::skip] // A table: one line each.
const SHAPES: &[(ApiKey, &[Field])] = &[
    (ApiKey::Produce, &[TEXT, I16, I32, array(&[TEXT.until(12), UUID.since(13), array(&[I32, BYTES])])]),
    (ApiKey::Fetch, FETCH),
    (ApiKey::ListOffsets, &[I32, I8.since(2), array(&[TEXT, array(&[I32, I32.since(4), I64])]), I32.since(10)]),
    (ApiKey::Metadata, &[array(&[UUID.since(10), TEXT]), BOOL.since(4), BOOL.since(8).until(10), BOOL.since(8)]),
    (ApiKey::OffsetCommit, OFFSET_COMMIT),
    (ApiKey::OffsetFetch, OFFSET_FETCH),
    (ApiKey::FindCoordinator, &[TEXT.until(3), I8.since(1), TEXTS.since(4)]),
    (ApiKey::JoinGroup, &[TEXT, I32, I32.since(1), TEXT, TEXT.since(5), TEXT, array(&[TEXT, BYTES]), TEXT.since(8)]),
    (ApiKey::Heartbeat, &[TEXT, I32, TEXT, TEXT.since(3)]),
    (ApiKey::LeaveGroup, &[TEXT, TEXT.until(2), array(&[TEXT, TEXT, TEXT.since(5)]).since(3)]),
    (ApiKey::SyncGroup, &[TEXT, I32, TEXT, TEXT.since(3), TEXT.since(5), TEXT.since(5), array(&[TEXT, BYTES])]),
    (ApiKey::DescribeGroups, &[TEXTS, BOOL.since(3)]),
    (ApiKey::ListGroups, &[TEXTS.since(4), TEXTS.since(5)]),
    (ApiKey::SaslHandshake, &[TEXT]),
    (ApiKey::ApiVersions, &[TEXT.since(3), TEXT.since(3)]),
    (ApiKey::CreateTopics, &[array(&[TEXT, I32, I16, array(&[I32, I32S]), array(&[TEXT, TEXT])]), I32, BOOL]),
    (ApiKey::DeleteTopics, &[array(&[TEXT, UUID]).since(6), TEXTS.until(5), I32]),
    (ApiKey::DeleteRecords, &[array(&[TEXT, array(&[I32, I64])]), I32]),
    (ApiKey::InitProducerId, &[TEXT, I32, I64.since(3), I16.since(3), BOOL.since(6), BOOL.since(6)]),
    (ApiKey::OffsetForLeaderEpoch, &[I32.since(3), array(&[TEXT, array(&[I32, I32, I32])])]),
    (ApiKey::AddPartitionsToTxn, ADD_PARTITIONS_TO_TXN),
    (ApiKey::AddOffsetsToTxn, &[TEXT, I64, I16, TEXT]),
    (ApiKey::EndTxn, &[TEXT, I64, I16, BOOL]),
    (ApiKey::TxnOffsetCommit, TXN_OFFSET_COMMIT),
    (ApiKey::DescribeAcls, &[I8, TEXT, I8, TEXT, TEXT, I8, I8]),
    (ApiKey::DescribeConfigs, &[array(&[I8, TEXT, TEXTS]), BOOL, BOOL.since(3)]),
    (ApiKey::AlterConfigs, &[array(&[I8, TEXT, array(&[TEXT, TEXT])]), BOOL]),
    (ApiKey::DescribeLogDirs, &[PARTITIONS]),
    (ApiKey::SaslAuthenticate, &[BYTES]),
    (ApiKey::CreatePartitions, &[array(&[TEXT, I32, array(&[I32S])]), I32, BOOL]),
    (ApiKey::DeleteGroups, &[TEXTS]),
    (ApiKey::IncrementalAlterConfigs, &[array(&[I8, TEXT, array(&[TEXT, I8, TEXT])]), BOOL]),
    (ApiKey::ListPartitionReassignments, &[I32, PARTITIONS]),
    (ApiKey::OffsetDelete, &[TEXT, array(&[TEXT, array(&[I32])])]),
    (ApiKey::DescribeCluster, &[BOOL, I8.since(1), BOOL.since(2)]),
    (ApiKey::DescribeProducers, &[PARTITIONS]),
    (ApiKey::DescribeTransactions, &[TEXTS]),
    (ApiKey::ListTransactions, &[TEXTS, I64S, I64.since(1), TEXT.since(2)]),
    (ApiKey::ConsumerGroupHeartbeat, CONSUMER_GROUP_HEARTBEAT),
    (ApiKey::ConsumerGroupDescribe, &[TEXTS, BOOL]),
    (ApiKey::ListConfigResources, &[I8S.since(1)]),
    (ApiKey::DescribeTopicPartitions, &[array(&[TEXT]), I32, Field::new(Kind::Maybe(&[TEXT, I32]))]),
];

/// What a request's message is made of; `None` if it is not served.
pub(super) fn shape_of(key: ApiKey) -> Option<&'static [Field]> {
    SHAPES.iter().find(|(known, _)| *known == key).map(|(_, fields)| *fields)
}
