//! Runs a case's topology on the production worker, in process: one partition per topic, a commit after every input,
//! a clock that stands still until the case moves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{Cluster, Consumer, Isolation};
use headwater::record::RawRecord;
use headwater::state::MemoryBackend;
use headwater::time::{Clock, ManualClock};
use headwater::topology::PlanOptions;
use headwater::worker::{Worker, WorkerOptions, WorkerState};
use headwater::{Config, RecordBatch, TopicPartition, Topology};
use serde_json::{Map, Value as Json, json};

use super::Trouble;
use super::build::Built;
use super::case::{Case, Input, InputRecord, Topic};
use super::stores;
use super::value::{KeyKind, Kind, ValSerde, encode};

/// The application id under which the cases were recorded.
const APPLICATION: &str = "app";
/// Far more steps than any input takes: who needs more will never come to rest.
const STEPS: usize = 10_000;
/// Bytes that are asked for at a time.
const READ_BYTES: usize = 1 << 20;

/// Feeds the inputs, one by one, and tells what came of each.
pub(super) fn run(case: &Case, built: &Built) -> Result<Json, Trouble> {
    let mut bench = Bench::new(case, &built.topology)?;
    let mut steps = Vec::new();
    for input in &case.inputs {
        match input {
            Input::Record(record) => bench.feed(case, record)?,
            Input::Clock { advance_wall_clock_ms } => bench.clock.advance_ms(*advance_wall_clock_ms),
        }
        bench.settle()?;
        steps.push(bench.results()?);
    }
    Ok(json!({
        "steps": steps,
        "stores_end": stores::contents(&bench.worker, built)?,
        "internal_topics": bench.internal_topics(),
        "topology_describe": built.topology.describe(),
    }))
}

/// A worker on a cluster of its own.
struct Bench {
    cluster: MemoryCluster,
    clock: ManualClock,
    worker: Worker,
    sinks: BTreeMap<String, Output>,
}

/// A topic that is watched.
struct Output {
    consumer: Box<dyn Consumer>,
    partition: TopicPartition,
    kinds: (KeyKind, Kind),
}

impl Bench {
    fn new(case: &Case, topology: &Topology) -> Result<Self, Trouble> {
        let (cluster, clock) = (MemoryCluster::new(), ManualClock::at(0));
        let mut sinks = BTreeMap::new();
        for (name, topic) in &case.topics {
            cluster.create_topic(name, 1).map_err(|error| Trouble::failed(error.to_string()))?;
            if topic.sink {
                let partition = TopicPartition::new(name.as_str(), 0);
                let mut consumer = cluster.consumer(name, Isolation::ReadCommitted);
                consumer.add(&partition, 0);
                sinks.insert(name.clone(), Output { consumer, partition, kinds: topic.kinds()? });
            }
        }
        let config = Config::builder()
            .set("application.id", APPLICATION)
            .set("emit.interval.ms.kstreams.windowed.aggregation", "0")
            .build()?;
        let plan = topology.plan(&PlanOptions {
            application: APPLICATION.to_owned(),
            additional_retention_ms: config.settings().windowstore_changelog_additional_retention_ms,
        })?;
        let backend = Arc::new(MemoryBackend::default());
        let options = WorkerOptions::new(Arc::new(plan), config, Arc::new(cluster.clone()), backend);
        let worker = Worker::new(options.clock(Arc::new(clock.clone())));
        let mut bench = Self { cluster, clock, worker, sinks };
        bench.settle()?;
        Ok(bench)
    }

    /// Lets the worker work until there is nothing left to do; every record that it takes is committed at once.
    fn settle(&mut self) -> Result<(), Trouble> {
        let mut quiet = 0;
        for _ in 0..STEPS {
            let progress = self.worker.step(self.clock.now_ms())?;
            if progress.consumed > 0 {
                self.worker.request_commit();
            }
            let rests =
                !progress.busy && self.worker.is_idle() && self.worker.state() == WorkerState::Running;
            quiet = if rests { quiet + 1 } else { 0 };
            if quiet > 1 {
                return Ok(());
            }
        }
        Err(Trouble::failed(format!("the worker does not come to rest: {:?}", self.worker.state())))
    }

    fn feed(&mut self, case: &Case, record: &InputRecord) -> Result<(), Trouble> {
        let topic = case.topics.get(&record.topic).map(Topic::kinds);
        let (keys, values) =
            topic.ok_or_else(|| Trouble::failed(format!("topic `{}` has no types", record.topic)))??;
        let key = keys.encode(&record.key)?;
        let value = encode(&ValSerde::of(values), &values.read(&record.value)?)?;
        let mut batch = RecordBatch::default();
        batch.push(record.ts, key.as_deref(), value.as_deref(), 0);
        for (name, value) in &record.headers {
            let value = value.as_ref().map(|text| BASE64.decode(text)).transpose();
            let value = value.map_err(|error| Trouble::failed(format!("header `{name}`: {error}")))?;
            batch.push_header(name, value.as_deref());
        }
        let partition = TopicPartition::new(record.topic.as_str(), 0);
        let sent = self.cluster.produce(&partition, &batch);
        sent.map(drop).map_err(|error| Trouble::failed(error.to_string()))
    }

    /// What came out since the last call.
    fn results(&mut self) -> Result<Vec<Json>, Trouble> {
        let mut records = Vec::new();
        for output in self.sinks.values_mut() {
            let fetched = output.consumer.fetch(&output.partition, READ_BYTES, self.clock.now_ms());
            let fetched = fetched.map_err(|error| Trouble::failed(error.to_string()))?.unwrap_or_default();
            for raw in fetched.records.iter() {
                records.push(output.record(&raw)?);
            }
        }
        Ok(records)
    }

    /// The application's own topics that got a record.
    fn internal_topics(&self) -> Vec<String> {
        let broker = self.cluster.broker();
        let mut topics = broker.topics();
        let prefix = format!("{APPLICATION}-");
        let wrote = |topic: &str| broker.partition(topic, 0).is_some_and(|view| view.high_watermark > 0);
        topics.retain(|topic| topic.starts_with(&prefix) && wrote(topic));
        topics
    }
}

impl Output {
    fn record(&self, raw: &RawRecord<'_>) -> Result<Json, Trouble> {
        let (keys, values) = self.kinds;
        let mut record = Map::new();
        record.insert("topic".to_owned(), json!(&*self.partition.topic));
        record.insert("key".to_owned(), keys.decode(raw.key)?);
        record.insert("value".to_owned(), values.decode(raw.value)?);
        record.insert("ts".to_owned(), json!(raw.timestamp));
        let headers: Vec<_> = raw
            .headers()
            .map(|(name, value)| json!([name, value.map(|value| BASE64.encode(value))]))
            .collect();
        record.insert("headers".to_owned(), json!(headers));
        Ok(Json::Object(record))
    }
}
