//! What the user described: nodes, edges, stores. No I/O here.

mod plan;

pub use plan::{Plan, RepartitionPlan, SourcePlan, StorePlan, SubtopologyPlan};
