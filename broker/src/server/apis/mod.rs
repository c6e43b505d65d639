//! The APIs: each request of the wire, told to the broker in its words, and its answer told back.
//!
//! A function for each API, which does both ways; a table says which versions are served. That is what ApiVersions tells.

mod cluster;
mod configs;
mod data;
mod fetch;
mod groups;
mod metadata;
mod offsets;
mod operations;
mod sasl;
mod topics;
mod transactions;

use bytes::BytesMut;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};

use super::exchange::{Exchange, Hangup};
use crate::error::ErrorCode;
use crate::wire::{self, Call};

macro_rules! served {
    ($($key:ident $least:literal..=$most:literal => $function:path;)*) => {
        /// Which APIs there are, and in which versions.
        const SERVED: &[(ApiKey, i16, i16)] = &[$((ApiKey::$key, $least, $most),)*];

        /// Serves a request. Some have no answer.
        pub(super) async fn serve(exchange: &Exchange<'_>, call: &mut Call) -> Result<Option<BytesMut>, Hangup> {
            match call.key {
                $(ApiKey::$key => {
                    let request = call.decode()?;
                    match $function(exchange, request).await? {
                        Some(answer) => encode(call, &answer).map(Some),
                        None => Ok(None),
                    }
                })*
                key => Err(Hangup::Malformed(format!("{key:?} is not served"))),
            }
        }
    };
}

served! {
    Produce 3..=13 => data::produce;
    Fetch 4..=17 => fetch::fetch;
    ListOffsets 1..=10 => data::list_offsets;
    Metadata 0..=13 => metadata::metadata;
    OffsetCommit 2..=9 => offsets::offset_commit;
    OffsetFetch 1..=9 => offsets::offset_fetch;
    FindCoordinator 0..=6 => cluster::find_coordinator;
    JoinGroup 0..=9 => groups::join_group;
    Heartbeat 0..=4 => groups::heartbeat;
    LeaveGroup 0..=5 => groups::leave_group;
    SyncGroup 0..=5 => groups::sync_group;
    DescribeGroups 0..=6 => groups::describe_groups;
    ListGroups 0..=5 => groups::list_groups;
    SaslHandshake 0..=1 => sasl::sasl_handshake;
    ApiVersions 0..=4 => api_versions;
    CreateTopics 2..=7 => topics::create_topics;
    DeleteTopics 1..=6 => topics::delete_topics;
    DeleteRecords 0..=2 => data::delete_records;
    InitProducerId 0..=5 => transactions::init_producer_id;
    OffsetForLeaderEpoch 2..=4 => data::offset_for_leader_epoch;
    AddPartitionsToTxn 0..=3 => transactions::add_partitions_to_txn;
    AddOffsetsToTxn 0..=4 => transactions::add_offsets_to_txn;
    EndTxn 0..=4 => transactions::end_txn;
    TxnOffsetCommit 0..=4 => transactions::txn_offset_commit;
    DescribeConfigs 1..=4 => configs::describe_configs;
    AlterConfigs 0..=2 => configs::alter_configs;
    SaslAuthenticate 0..=2 => sasl::sasl_authenticate;
    CreatePartitions 0..=3 => topics::create_partitions;
    DeleteGroups 0..=2 => groups::delete_groups;
    IncrementalAlterConfigs 0..=1 => configs::incremental_alter_configs;
    DescribeCluster 0..=2 => cluster::describe_cluster;
    DescribeProducers 0..=0 => operations::describe_producers;
    DescribeTransactions 0..=0 => operations::describe_transactions;
    ListTransactions 0..=1 => operations::list_transactions;
    OffsetDelete 0..=0 => offsets::offset_delete;
    ConsumerGroupHeartbeat 0..=1 => groups::consumer_group_heartbeat;
    ConsumerGroupDescribe 0..=1 => groups::consumer_group_describe;
    DescribeTopicPartitions 0..=0 => metadata::describe_topic_partitions;
}

/// The versions of an API that are served.
pub(super) fn versions(key: ApiKey) -> Option<(i16, i16)> {
    SERVED.iter().find(|(served, ..)| *served == key).map(|(_, least, most)| (*least, *most))
}

/// Numbers and names of all APIs that are served.
#[cfg(feature = "metrics")]
pub(super) fn names() -> impl Iterator<Item = (i16, String)> {
    SERVED.iter().map(|(key, ..)| (*key as i16, format!("{key:?}")))
}

/// An answer to a request.
pub(super) fn encode<M>(call: &Call, answer: &M) -> Result<BytesMut, Hangup>
where
    M: kafka_protocol::protocol::Encodable + kafka_protocol::protocol::HeaderVersion,
{
    wire::answer(call.correlation_id, call.version, answer).map_err(|error| {
        // A field that the version lacks: a bug of ours, which costs this connection and no other.
        tracing::error!(api = ?call.key, version = call.version, %error, "an answer cannot be told");
        Hangup::Failed(ErrorCode::UnknownServerError)
    })
}

/// What a client is told of, at every listener alike: whoever wants to log in where there is no login is refused by name.
fn table() -> ApiVersionsResponse {
    let entry = |&(key, least, most): &(ApiKey, i16, i16)| {
        ApiVersion::default().with_api_key(key as i16).with_min_version(least).with_max_version(most)
    };
    ApiVersionsResponse::default().with_api_keys(SERVED.iter().map(entry).collect())
}

async fn api_versions(
    _: &Exchange<'_>,
    _: ApiVersionsRequest,
) -> Result<Option<ApiVersionsResponse>, Hangup> {
    Ok(Some(table()))
}

/// KIP-511: whoever asks in a version that is not served is told, in version 0, which are.
pub(super) fn unknown_api_versions(correlation_id: i32) -> Result<BytesMut, Hangup> {
    let answer = table().with_error_code(ErrorCode::UnsupportedVersion.code());
    wire::answer(correlation_id, 0, &answer).map_err(|_| Hangup::Failed(ErrorCode::UnknownServerError))
}
