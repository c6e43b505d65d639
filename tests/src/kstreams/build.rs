//! From a pipeline to a topology, with the public DSL.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use headwater::{EmitStrategy, SessionWindows, StreamsBuilder, TimeWindows, Topology};
use serde_json::Value as Json;

use super::case::{Case, Op, Topic, WindowSpec};
use super::function::{Function, Joiner, Predicate, Reducer};
use super::handle::{Aggregation, Fold, Handle, Made, Regroup, Step, Stream, Table, Typed, Windows};
use super::value::{Kind, Val};
use super::{Trouble, stream, table};

/// Operators that the framework does not have yet.
const UNSUPPORTED: &[&str] = &["global_table", "cogroup", "suppress"];

/// A case's topology.
pub(super) struct Built {
    /// The topology.
    pub(super) topology: Topology,
    /// Sizes of the windows of the window stores, in the order in which the topology has these.
    pub(super) window_sizes: Vec<i64>,
}

/// Builds the topology of a case.
pub(super) fn build(case: &Case) -> Result<Built, Trouble> {
    if case.config.optimization.as_deref().is_some_and(|level| level != "none") {
        return Err(Trouble::unsupported("topology optimization".to_owned()));
    }
    let cached = case.config.cache_max_bytes.unwrap_or(0) > 0;
    let in_sessions = |op: &Op| op.window.as_ref().is_some_and(|window| window["type"] == "session");
    let merged = |op: &Op| in_sessions(op) && op.emit.as_deref() != Some("close");
    if cached && case.pipeline.iter().any(merged) {
        return Err(Trouble::unsupported(
            "a record cache (`statestore.cache.max.bytes`) of sessions".to_owned(),
        ));
    }
    let mut pipeline = Pipeline {
        builder: StreamsBuilder::new(),
        topics: &case.topics,
        made: BTreeMap::new(),
        window_sizes: Vec::new(),
    };
    for op in &case.pipeline {
        pipeline.step(op)?;
    }
    Ok(Built { topology: pipeline.builder.build()?, window_sizes: pipeline.window_sizes })
}

/// A topology under construction.
struct Pipeline<'a> {
    builder: StreamsBuilder,
    topics: &'a BTreeMap<String, Topic>,
    made: BTreeMap<&'a str, Handle>,
    window_sizes: Vec<i64>,
}

impl<'a> Pipeline<'a> {
    fn step(&mut self, op: &'a Op) -> Made<()> {
        if UNSUPPORTED.contains(&op.op.as_str()) {
            return Err(Trouble::unsupported(format!("operator `{}`", op.op)));
        }
        if let Some((name, _)) = op.rest.iter().next() {
            return Err(Trouble::unsupported(format!("`{}` with the field `{name}`", op.op)));
        }
        if op.op == "to" {
            let name = op.need("topic", &op.topic)?;
            return self.stream(op.need("from", &op.from)?)?.to(name, self.topic(name)?);
        }
        let made = self.make(op)?;
        self.made.insert(&op.id, made);
        Ok(())
    }

    fn make(&mut self, op: &Op) -> Made {
        match op.op.as_str() {
            "stream" => {
                let name = op.need("topic", &op.topic)?;
                stream::source(&self.builder, name, self.topic(name)?)
            }
            "table" => {
                let name = op.need("topic", &op.topic)?;
                table::source(&self.builder, name, self.topic(name)?, op.store.as_deref())
            }
            "join" => self.join(op),
            "merge" => {
                let other = self.stream(op.need("with", &op.with)?)?;
                self.stream(op.need("from", &op.from)?)?.merge(&*other)
            }
            _ => {
                let from = op.need("from", &op.from)?;
                match self.find(from)? {
                    Handle::Stream(stream) => on_stream(op, &stream),
                    Handle::Table(table) => on_table(op, &*table),
                    Handle::Group(stream) if op.op == "window" => Ok(Handle::Windows(stream, windows(op)?)),
                    Handle::Group(stream) => stream.aggregate(aggregation(op)?, None),
                    Handle::Windows(stream, windows) => {
                        if let Windows::Time(windows, _) = windows {
                            self.window_sizes.push(windows.size_ms());
                        }
                        stream.aggregate(aggregation(op)?, Some(windows))
                    }
                    Handle::TableGroup(group) => group.aggregate(aggregation(op)?),
                }
            }
        }
    }

    fn topic(&self, name: &str) -> Made<&'a Topic> {
        self.topics.get(name).ok_or_else(|| Trouble::failed(format!("topic `{name}` has no types")))
    }

    fn find(&self, id: &str) -> Made {
        self.made.get(id).cloned().ok_or_else(|| Trouble::failed(format!("there is no step `{id}` before")))
    }

    fn stream(&self, id: &str) -> Made<Rc<dyn Stream>> {
        match self.find(id)? {
            Handle::Stream(stream) => Ok(stream),
            _ => Err(Trouble::failed(format!("step `{id}` is no stream"))),
        }
    }

    fn table(&self, id: &str) -> Made<Rc<dyn Table>> {
        match self.find(id)? {
            Handle::Table(table) => Ok(table),
            _ => Err(Trouble::failed(format!("step `{id}` is no table"))),
        }
    }

    fn join(&self, op: &Op) -> Made {
        let kind = op.need("kind", &op.kind)?;
        if kind != "stream-table" {
            return Err(Trouble::unsupported(format!("join `{kind}`")));
        }
        let left = match op.need("type", &op.join_type)?.as_str() {
            "inner" => false,
            "left" => true,
            other => return Err(Trouble::unsupported(format!("stream-table join of type `{other}`"))),
        };
        let stream = self.stream(op.need("left", &op.left)?)?;
        let table = self.table(op.need("right", &op.right)?)?;
        stream.join(&*table, Joiner::parse(op.need("joiner", &op.joiner)?)?, left)
    }
}

fn unknown(op: &Op, what: &str) -> Trouble {
    Trouble::unsupported(format!("operator `{}` on a {what}", op.op))
}

fn typed(function: &str, kind: Option<&String>) -> Made<Typed> {
    Ok(Typed { function: Function::parse(function)?, kind: Op::kind_of(kind)? })
}

fn on_stream(op: &Op, stream: &Rc<dyn Stream>) -> Made {
    let predicate = || Predicate::parse(op.need("pred", &op.pred)?);
    let key_type = op.key_type.as_ref();
    match op.op.as_str() {
        "filter" => Ok(stream.filter(predicate()?, false)),
        "filter_not" => Ok(stream.filter(predicate()?, true)),
        "map" => {
            let key = typed(op.need("key_fn", &op.key_fn)?, key_type)?;
            stream.map(key, typed(op.need("value_fn", &op.value_fn)?, op.value_type.as_ref())?)
        }
        "map_values" => stream.map_values(typed(op.need("fn", &op.function)?, op.value_type.as_ref())?),
        "select_key" => stream.select_key(typed(op.need("fn", &op.function)?, key_type)?),
        "repartition" => stream.repartition(),
        "to_table" => stream.to_table(op.store.as_deref()),
        "group_by_key" => Ok(Handle::Group(Rc::clone(stream))),
        "group_by" => match stream.select_key(typed(op.need("fn", &op.function)?, key_type)?)? {
            Handle::Stream(stream) => Ok(Handle::Group(stream)),
            _ => Err(unknown(op, "stream")),
        },
        _ => Err(unknown(op, "stream")),
    }
}

fn on_table(op: &Op, table: &dyn Table) -> Made {
    let predicate = || Predicate::parse(op.need("pred", &op.pred)?);
    let store = op.store.as_deref();
    match op.op.as_str() {
        "filter" => table.filter(predicate()?, false, store),
        "filter_not" => table.filter(predicate()?, true, store),
        "map_values" => table.map_values(typed(op.need("fn", &op.function)?, op.value_type.as_ref())?, store),
        "to_stream" => Ok(table.to_stream()),
        "group_by" => table.group_by(Regroup {
            key: typed(op.need("key_fn", &op.key_fn)?, op.key_type.as_ref())?,
            value: typed(op.need("value_fn", &op.value_fn)?, op.value_type.as_ref())?,
            drop_key: op.drop_key.clone(),
        }),
        _ => Err(unknown(op, "table")),
    }
}

fn windows(op: &Op) -> Made<Windows> {
    let emit = match op.emit.as_deref() {
        None | Some("update") => EmitStrategy::on_window_update(),
        Some("close") => EmitStrategy::on_window_close(),
        Some(other) => return Err(Trouble::unsupported(format!("emit strategy `{other}`"))),
    };
    let spec = WindowSpec::read(op.need("window", &op.window)?)?;
    let millis = Duration::from_millis;
    Ok(match spec {
        WindowSpec::Tumbling { size_ms, grace_ms } => {
            Windows::Time(TimeWindows::of_size_and_grace(millis(size_ms), millis(grace_ms)), emit)
        }
        WindowSpec::Hopping { size_ms, advance_ms, grace_ms } => {
            let windows = TimeWindows::of_size_and_grace(millis(size_ms), millis(grace_ms));
            Windows::Time(windows.advance_by(millis(advance_ms)), emit)
        }
        WindowSpec::Session { gap_ms, grace_ms } => {
            let windows = SessionWindows::of_inactivity_gap_and_grace(millis(gap_ms), millis(grace_ms));
            Windows::Session(windows, emit)
        }
        WindowSpec::Other => return Err(Trouble::unsupported("these windows".to_owned())),
    })
}

fn aggregation(op: &Op) -> Made<Aggregation> {
    let aggregator = |text: &String| Reducer::parse_aggregator(text);
    let step = match op.op.as_str() {
        "count" => Step::Count,
        "reduce" => {
            let sub = op.sub.as_ref().map(|text| Reducer::parse(text)).transpose()?;
            Step::Reduce(Reducer::parse(op.need("fn", &op.function)?)?, sub)
        }
        "aggregate" => {
            let (init, kind) = beginning(op)?;
            Step::Aggregate(Fold {
                init,
                kind,
                add: aggregator(op.need("add", &op.add)?)?,
                sub: op.sub.as_ref().map(aggregator).transpose()?,
                merge: op.merge.as_ref().map(|text| Reducer::parse(text)).transpose()?,
            })
        }
        _ => return Err(unknown(op, "group")),
    };
    Ok(Aggregation { store: op.store.clone(), step })
}

/// What an aggregation begins with, and its type.
fn beginning(op: &Op) -> Made<(Val, Option<Kind>)> {
    let init = op.need("init", &op.init)?;
    let kind = match (Op::kind_of(op.value_type.as_ref())?, init) {
        (Some(kind), _) => kind,
        (None, Json::String(_)) => Kind::Text,
        (None, Json::Number(number)) if number.is_f64() => Kind::Double,
        (None, _) => Kind::Long,
    };
    Ok((kind.read(init)?, Some(kind)))
}
