//! rskafka: topics, all codecs, offsets by time, deleted records, a stream that goes on while records arrive.
//!
//! Lacks by design: groups, transactions, settings, more partitions of a topic; headers twice or without a value.

mod checks;

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use checks::{Checks, Problem, a_minute_ago, equal, fresh, records, until};
use chrono::{TimeDelta, Utc};
use futures::StreamExt;
use rskafka::client::consumer::{StartOffset, StreamConsumerBuilder};
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::producer::{BatchProducerBuilder, aggregator::RecordAggregator};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::RecordAndOffset;

/// What the manifest says of the client.
const MANIFEST: &str = include_str!("../Cargo.toml");
const TIMEOUT_MS: i32 = 30_000;
const EVERY_BYTE: std::ops::Range<i32> = 1..50_000_000;
const CODECS: [Compression; 5] =
    [Compression::NoCompression, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

async fn create(client: &Client, topic: &str, partitions: i32) -> Result<(), Problem> {
    Ok(client.controller_client()?.create_topic(topic, partitions, 1, TIMEOUT_MS).await?)
}

async fn open(client: &Client, topic: &str, partition: i32) -> Result<PartitionClient, Problem> {
    Ok(client.partition_client(topic, partition, UnknownTopicHandling::Retry).await?)
}

/// The partitions of a topic, as the list of all topics has them; none if it is not there.
async fn listed(client: &Client, topic: &str) -> Result<Option<Vec<i32>>, Problem> {
    let topics = client.list_topics().await?;
    Ok(topics.into_iter().find(|one| one.name == topic).map(|one| one.partitions.into_iter().collect()))
}

/// The first records of a partition.
async fn read(partition: &PartitionClient, count: usize) -> Result<Vec<RecordAndOffset>, Problem> {
    let mut got: Vec<RecordAndOffset> = Vec::new();
    while got.len() < count {
        let next = got.last().map_or(0, |last| last.offset + 1);
        got.extend(partition.fetch_records(next, EVERY_BYTE, 500).await?.0);
    }
    Ok(got)
}

async fn topics(client: &Client, topic: &str) -> Result<(), Problem> {
    create(client, topic, 2).await?;
    until("it is listed", || async { Ok(listed(client, topic).await? == Some(vec![0, 1])) }).await?;
    let twice = client.controller_client()?.create_topic(topic, 1, 1, TIMEOUT_MS).await;
    match twice {
        Err(Error::ServerError { protocol_error: ProtocolError::TopicAlreadyExists, .. }) => Ok(()),
        other => Err(format!("a topic that exists is created: {other:?}").into()),
    }
}

async fn codec(client: &Client, codec: Compression) -> Result<(), Problem> {
    let topic = fresh("codec");
    create(client, &topic, 2).await?;
    for partition in [0, 1] {
        let partition = open(client, &topic, partition).await?;
        let made = records("codec", a_minute_ago(), 12);
        equal("offsets", partition.produce(made.clone(), codec).await?, (0..12).collect())?;
        for (place, (got, record)) in read(&partition, made.len()).await?.into_iter().zip(made).enumerate() {
            equal("offset", usize::try_from(got.offset)?, place)?;
            equal(&format!("record {place}"), got.record, record)?;
        }
    }
    Ok(())
}

async fn offsets(client: &Client, topic: &str) -> Result<(), Problem> {
    create(client, topic, 1).await?;
    let partition = open(client, topic, 0).await?;
    let first = a_minute_ago();
    // One compressed batch: the broker has to look into it.
    partition.produce(records("time", first, 12), Compression::Lz4).await?;
    let sixth = first + TimeDelta::seconds(5);
    let cases = [
        ("the first", OffsetAt::Earliest, 0),
        ("the last", OffsetAt::Latest, 12),
        ("before all", OffsetAt::Timestamp(first - TimeDelta::seconds(60)), 0),
        ("at the sixth", OffsetAt::Timestamp(sixth), 5),
        ("behind the sixth", OffsetAt::Timestamp(sixth + TimeDelta::milliseconds(1)), 6),
        ("after all", OffsetAt::Timestamp(Utc::now() + TimeDelta::seconds(60)), -1),
    ];
    for (what, at, expected) in cases {
        equal(what, partition.get_offset(at).await?, expected)?;
    }
    Ok(())
}

async fn deletion_of_records(client: &Client, topic: &str) -> Result<(), Problem> {
    let partition = open(client, topic, 0).await?;
    partition.delete_records(5, TIMEOUT_MS).await?;
    until("they are gone", || async { Ok(partition.get_offset(OffsetAt::Earliest).await? == 5) }).await?;
    match partition.fetch_records(0, EVERY_BYTE, 500).await {
        Err(Error::ServerError { protocol_error: ProtocolError::OffsetOutOfRange, .. }) => Ok(()),
        other => Err(format!("a record that is deleted is asked for: {other:?}").into()),
    }
}

/// Batches of a producer that lingers, and a reader that was there before them.
async fn stream(client: &Client) -> Result<(), Problem> {
    let topic = fresh("stream");
    create(client, &topic, 1).await?;
    let partition = Arc::new(open(client, &topic, 0).await?);
    let mut reader =
        StreamConsumerBuilder::new(partition.clone(), StartOffset::Earliest).with_max_wait_ms(500).build();
    let producer = BatchProducerBuilder::new(partition)
        .with_linger(Duration::from_millis(5))
        .with_compression(Compression::Zstd)
        .build(RecordAggregator::new(1_000_000));
    let made = records("stream", a_minute_ago(), 8);
    for (place, record) in made.into_iter().enumerate() {
        equal("offset", usize::try_from(producer.produce(record.clone()).await?)?, place)?;
        let (got, _) = reader.next().await.ok_or("the stream ends")??;
        equal("record", got.record, record)?;
    }
    Ok(())
}

async fn deletion(client: &Client, topic: &str) -> Result<(), Problem> {
    client.controller_client()?.delete_topic(topic, TIMEOUT_MS).await?;
    until("it is gone", || async { Ok(listed(client, topic).await?.is_none()) }).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Problem> {
    let version = MANIFEST.lines().find_map(|line| line.strip_prefix("rskafka = \"="));
    println!("version {}", version.unwrap_or_default().trim_end_matches('"'));
    let bootstrap = env::args().nth(1).ok_or("name a broker: rskafka 127.0.0.1:9092")?;
    let client = ClientBuilder::new(vec![bootstrap]).build().await?;
    let mut checks = Checks::default();
    let (topic, timed) = (fresh("topic"), fresh("time"));
    checks.check("a topic is created and listed, and refused twice", topics(&client, &topic)).await;
    for one in CODECS {
        checks.check(&format!("records by {one:?} come back byte by byte"), codec(&client, one)).await;
    }
    checks.check("offsets by time, the first, the last", offsets(&client, &timed)).await;
    checks.check("records are deleted up to an offset", deletion_of_records(&client, &timed)).await;
    checks.check("a stream goes on while records arrive", stream(&client)).await;
    checks.check("a topic is deleted", deletion(&client, &topic)).await;
    Ok(if checks.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
