//! Step: one change of a reset, as it is told.

use std::fmt;
use std::path::PathBuf;

use super::OffsetMove;
use crate::kafka::GroupMember;
use crate::topic::TopicName;

/// One change of a reset. It shows itself as something that is done; [`Step::intention`] as something that is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member leaves the group.
    RemoveMember(GroupMember),
    /// The state folder on this machine goes.
    DeleteFolder(PathBuf),
    /// A committed offset of an input changes.
    SetOffset(OffsetMove),
    /// An internal topic goes.
    DeleteTopic(TopicName),
}

impl Step {
    /// The step as something that is to do: `delete topic ...`.
    #[must_use]
    pub fn intention(&self) -> String {
        let verb = match self {
            Self::RemoveMember(_) => "remove",
            Self::DeleteFolder(_) | Self::DeleteTopic(_) => "delete",
            Self::SetOffset(_) => "set",
        };
        format!("{verb} {}", self.object())
    }

    fn object(&self) -> String {
        match self {
            Self::RemoveMember(member) => format!("member `{}` of client `{}`", member.member, member.client),
            Self::DeleteFolder(path) => format!("the state folder `{}`", path.display()),
            Self::SetOffset(OffsetMove { partition, from, to, note }) => {
                let was = from.map_or_else(|| "none was committed".to_owned(), |from| format!("was {from}"));
                let note = note.map(|note| format!("; {note}")).unwrap_or_default();
                format!("{partition} to offset {to} ({was}{note})")
            }
            Self::DeleteTopic(topic) => format!("topic `{topic}`"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self {
            Self::RemoveMember(_) => "removed",
            Self::DeleteFolder(_) | Self::DeleteTopic(_) => "deleted",
            Self::SetOffset(_) => "set",
        };
        write!(f, "{verb} {}", self.object())
    }
}
