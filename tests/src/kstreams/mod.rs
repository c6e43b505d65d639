//! Runs cases that tell what Kafka Streams does: a pipeline of operators, inputs, and the records, stores, internal
//! topics and topology text that came of them. Each case becomes a topology of the public DSL on the production
//! worker; a judge compares.
//!
//! An id is copied into its result and does nothing else.

mod build;
mod case;
mod function;
mod handle;
mod run;
mod stores;
mod stream;
mod table;
mod value;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use headwater::codec::SerdeError;
use serde_json::{Value as Json, json};

use case::{Case, CaseFile};

/// Why a case has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// It asks for something that is not there yet.
    Unsupported(String),
    /// Something went wrong.
    Failed(String),
}

impl Trouble {
    fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }

    fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(why) => write!(f, "unsupported: {why}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl From<SerdeError> for Trouble {
    fn from(error: SerdeError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<headwater::Error> for Trouble {
    fn from(error: headwater::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs the cases of a file, or of the `*.json` files directly in a folder: one result per case, in their order.
///
/// A result has `steps`, `stores_end`, `internal_topics` and `topology_describe`, or `unsupported` or `error` with the
/// reason.
///
/// # Errors
/// If a file cannot be read or is not JSON.
pub fn run(cases: &Path) -> io::Result<Vec<Json>> {
    let mut results = Vec::new();
    for file in files(cases)? {
        let read: CaseFile = serde_json::from_slice(&fs::read(&file)?)
            .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?;
        results.extend(read.cases.iter().map(result));
    }
    Ok(results)
}

fn files(cases: &Path) -> io::Result<Vec<PathBuf>> {
    if !cases.is_dir() {
        return Ok(vec![cases.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(cases)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn result(case: &Case) -> Json {
    let mut result = match build::build(case).and_then(|built| run::run(case, &built)) {
        Ok(outcome) => outcome,
        Err(Trouble::Unsupported(why)) => json!({ "unsupported": why }),
        Err(Trouble::Failed(why)) => json!({ "error": why }),
    };
    result["id"] = case.id.clone();
    result
}
