//! Runs a case's topology on the production worker, in process: one partition per topic, a commit after every input,
//! a clock that stands still until the case moves it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use headwater::record::RawRecord;
use headwater::testkit::Testkit;
use headwater::{RecordBatch, TopicPartition};
use serde_json::{Map, Value as Json, json};

use super::Trouble;
use super::build::Built;
use super::case::{Case, Input, InputRecord, Topic};
use super::stores;
use super::value::{ValSerde, encode};

/// The application id under which the cases were recorded.
const APPLICATION: &str = "app";

/// Feeds the inputs, one by one, and tells what came of each.
pub(super) fn run(case: &Case, built: &Built) -> Result<Json, Trouble> {
    let mut builder = Testkit::builder().application(APPLICATION);
    for name in case.topics.keys() {
        builder = builder.topic(name, 1);
    }
    let mut kit = builder.build(&built.topology)?;
    let mut steps = Vec::new();
    for input in &case.inputs {
        match input {
            Input::Record(record) => feed(&mut kit, case, record)?,
            Input::Clock { advance_wall_clock_ms } => kit.advance_wall_clock(*advance_wall_clock_ms)?,
        }
        steps.push(results(&mut kit, case)?);
    }
    Ok(json!({
        "steps": steps,
        "stores_end": stores::contents(&kit, built)?,
        "internal_topics": internal_topics(&kit),
        "topology_describe": built.topology.describe(),
    }))
}

fn feed(kit: &mut Testkit, case: &Case, record: &InputRecord) -> Result<(), Trouble> {
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
    kit.put(&TopicPartition::new(record.topic.as_str(), 0), &batch)?;
    Ok(kit.settle()?)
}

/// What came out since the last call.
fn results(kit: &mut Testkit, case: &Case) -> Result<Vec<Json>, Trouble> {
    let mut records = Vec::new();
    for (name, topic) in case.topics.iter().filter(|(_, topic)| topic.sink) {
        for batch in kit.read_bytes(name)? {
            for raw in &batch {
                records.push(result(name, topic, &raw)?);
            }
        }
    }
    Ok(records)
}

fn result(name: &str, topic: &Topic, raw: &RawRecord<'_>) -> Result<Json, Trouble> {
    let (keys, values) = topic.kinds()?;
    let mut record = Map::new();
    record.insert("topic".to_owned(), json!(name));
    record.insert("key".to_owned(), keys.decode(raw.key)?);
    record.insert("value".to_owned(), values.decode(raw.value)?);
    record.insert("ts".to_owned(), json!(raw.timestamp));
    if raw.has_headers() {
        let header =
            |(name, value): (&str, Option<&[u8]>)| json!([name, value.map(|value| BASE64.encode(value))]);
        record.insert("headers".to_owned(), raw.headers().map(header).collect());
    }
    Ok(Json::Object(record))
}

/// The application's own topics that got a record.
fn internal_topics(kit: &Testkit) -> Vec<String> {
    let broker = kit.cluster().broker();
    let prefix = format!("{APPLICATION}-");
    let wrote = |topic: &str| broker.partition(topic, 0).is_some_and(|view| view.high_watermark > 0);
    let mut topics = broker.topics();
    topics.retain(|topic| topic.starts_with(&prefix) && wrote(topic));
    topics
}
