//! What Kafka Streams does, as data: every case made of operators that the framework has gives the expected records,
//! stores, internal topics and text; every other case says that it is not supported.
//!
//! The cases are our own; with `HEADWATER_SUITES` naming a folder of conformance suites, those of its `kstreams` as well.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headwater_tests::kstreams;
use serde_json::{Value as Json, json};

/// Operators that the framework has.
const OPERATORS: &[&str] = &[
    "stream",
    "table",
    "filter",
    "filter_not",
    "map",
    "map_values",
    "select_key",
    "repartition",
    "to_table",
    "to_stream",
    "merge",
    "group_by",
    "group_by_key",
    "window",
    "count",
    "reduce",
    "aggregate",
    "join",
    "to",
];

/// Whether the framework has everything that an operator of a pipeline asks for.
fn has(op: &Json) -> bool {
    let absent = |field: &str| op.get(field).is_none();
    OPERATORS.iter().any(|name| op["op"] == *name)
        && absent("versioned_ms")
        && op["window"]["type"] != "sliding"
        && (op["op"] != "join" || op["kind"] == "stream-table" && absent("grace_ms"))
}

fn is_supported(case: &Json) -> bool {
    let optimized = case["config"].get("optimization").is_some_and(|level| level != "none");
    !optimized && !needs_cache(case) && case["pipeline"].as_array().is_some_and(|ops| ops.iter().all(has))
}

/// Whether the records of a case depend on a record cache, which the framework does not have. Where every record is
/// committed it shows in one place only: a cache merges the steps in which one record changes one session.
fn needs_cache(case: &Json) -> bool {
    let pipeline = case["pipeline"].as_array().map_or(&[][..], Vec::as_slice);
    case["config"]["cache_max_bytes"].as_u64().unwrap_or(0) > 0
        && pipeline.iter().any(|op| op["window"]["type"] == "session" && op["emit"] != "close")
}

/// The records of a step by topic, in order; headers only where the case has some.
fn by_topic(step: &Json, with_headers: bool) -> BTreeMap<String, Vec<Json>> {
    let mut topics: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for record in step.as_array().into_iter().flatten() {
        let headers = record.get("headers").filter(|_| with_headers).cloned().unwrap_or(json!([]));
        let fields = json!([record["key"], record["value"], record["ts"], headers]);
        topics.entry(record["topic"].to_string()).or_default().push(fields);
    }
    topics
}

fn sorted(list: &Json) -> Vec<String> {
    let mut texts: Vec<_> = list.as_array().into_iter().flatten().map(Json::to_string).collect();
    texts.sort();
    texts
}

/// What is wrong with the result of a case.
fn faults(case: &Json, result: &Json) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(error) = result.get("error").or(result.get("unsupported")) {
        return vec![error.to_string()];
    }
    let headers = case["inputs"].to_string().contains("\"headers\":");
    let (expected, steps) = (case["expect"].as_array().unwrap(), result["steps"].as_array().unwrap());
    assert_eq!(expected.len(), steps.len());
    for (number, (expected, got)) in expected.iter().zip(steps).enumerate() {
        if by_topic(expected, headers) != by_topic(got, headers) {
            faults.push(format!("input {number}: expected {expected}, got {got}"));
        }
    }
    for (store, entries) in case["stores_end"].as_object().into_iter().flatten() {
        let got = &result["stores_end"][store];
        if sorted(entries) != sorted(got) {
            faults.push(format!("store {store}: expected {entries}, got {got}"));
        }
    }
    if sorted(&case["internal_topics"]) != sorted(&result["internal_topics"]) {
        faults.push(format!("internal topics: {}", result["internal_topics"]));
    }
    let (expected, got) =
        (case["topology_describe"].as_str().unwrap(), result["topology_describe"].as_str().unwrap());
    if expected.trim() != got.trim() {
        faults.push(format!("expected the topology\n{expected}\ngot\n{got}"));
    }
    faults
}

/// Runs the cases of a folder: what is supported passes, what is not says so. Returns how many pass.
fn check(folder: &Path) -> usize {
    let mut cases = Vec::new();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let read: Json = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        cases.extend(read["cases"].as_array().into_iter().flatten().cloned());
    }
    let results = kstreams::run(folder).unwrap();
    assert_eq!(cases.len(), results.len(), "one result per case");
    let (mut passed, mut failed) = (0, Vec::new());
    for (case, result) in cases.iter().zip(&results) {
        assert_eq!(case["id"], result["id"]);
        if !is_supported(case) {
            assert!(result.get("unsupported").is_some(), "{} is to be reported: {result}", case["id"]);
            continue;
        }
        let faults = faults(case, result);
        if !faults.is_empty() {
            failed.push(format!("{}: {}", case["id"], faults.join("\n  ")));
        } else {
            passed += 1;
        }
    }
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), cases.len(), failed.join("\n"));
    let supported = cases.iter().filter(|case| is_supported(case)).count();
    println!("{}: {passed} of {} cases pass, {supported} are supported", folder.display(), cases.len());
    passed
}

#[test]
fn our_own_cases_pass() {
    assert!(check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("kstreams/cases")) > 0);
}

/// Cases of the conformance suite that are made of what there is; more of them pass as more is built.
const SUPPORTED: usize = 338;

#[test]
fn the_conformance_suite_passes() {
    let Some(suites) = std::env::var_os("HEADWATER_SUITES") else { return };
    let folder = Path::new(&suites).join("kstreams");
    let passed = check(&folder) + check(&folder.join("oracle"));
    assert!(passed >= SUPPORTED, "{passed} cases of {} were run and passed", folder.display());
}
