//! What is wrong with a configuration: collected, then told all at once.

use crate::error::{Error, Reaction};

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) hint: String,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// One error that tells all `problems`; `None` if there are none.
pub(super) fn error(problems: Vec<Problem>) -> Option<Error> {
    match problems.as_slice() {
        [] => None,
        [only] => Some(Error::new(Reaction::Stop, &only.message).hint(&only.hint)),
        many => {
            let lines: Vec<String> =
                many.iter().map(|problem| format!("\n  {}; {}", problem.message, problem.hint)).collect();
            let count = many.len();
            Some(Error::new(
                Reaction::Stop,
                format!("the configuration has {count} problems:{}", lines.concat()),
            ))
        }
    }
}
