//! Where a value comes from.

use std::fmt;

/// How the variables of the environment begin that stand for properties.
pub const ENVIRONMENT_PREFIX: &str = "HEADWATER_";

/// Where a value comes from. What comes later in this list wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Default,
    File { path: String, line: usize },
    Environment { variable: String },
    Code,
}

impl Source {
    /// Who wins over whom: the higher.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment { .. } => 2,
            Self::Code => 3,
        }
    }

    /// How the property `name` is written in such a source.
    pub(super) fn spell(&self, name: &str) -> String {
        match self {
            Self::Environment { .. } => {
                format!("{ENVIRONMENT_PREFIX}{}", name.replace('.', "_").to_ascii_uppercase())
            }
            Self::Default | Self::File { .. } | Self::Code => name.to_owned(),
        }
    }

    /// What a message about this source begins with.
    pub(super) fn lead(&self) -> String {
        match self {
            Self::File { path, line } => format!("{path}:{line}: "),
            Self::Environment { variable } => format!("{variable}: "),
            Self::Default | Self::Code => String::new(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "file {path}:{line}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Code => f.write_str("code"),
        }
    }
}
