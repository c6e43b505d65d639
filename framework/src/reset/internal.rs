//! Internal topics: which of all topics are the application's own, and may be deleted.
//!
//! 1. A topic that is asked for has to have the name of an internal one, and to exist.
//! 2. Where none are asked for all are meant whose names say so. A name does not say all: a topic that fits the name of
//!    another group as well, or whose settings are not those of its kind, is a reason to refuse, and to ask which are meant.
//! 3. An input is never deleted.

use super::desk::Desk;
use super::{ResetOptions, exist, once};
use crate::error::{Error, Reaction, Result};
use crate::kafka::TopicInfo;
use crate::topic::TopicName;
use crate::topology::InternalKind;

/// The topics to delete.
pub(super) fn internal_topics(
    options: &ResetOptions,
    topics: &[TopicName],
    desk: &mut Desk<'_>,
    remarks: &mut Vec<String>,
) -> Result<Vec<TopicName>> {
    let application = options.application.as_str();
    if !options.internal_topics.is_empty() {
        named(options)?;
        exist("internal topics", &options.internal_topics, topics)?;
        return Ok(once(&options.internal_topics));
    }
    let own = topics.iter().filter(|topic| InternalKind::of(topic, application).is_some());
    let (inputs, own): (Vec<_>, Vec<_>) = own.cloned().partition(|topic| options.inputs.contains(topic));
    let kept = |topic| format!("`{topic}` has the name of an internal topic; it is an input, and stays");
    remarks.extend(inputs.into_iter().map(kept));
    if own.is_empty() {
        return Ok(own);
    }
    let groups = desk.ask("list the groups", |admin, now| admin.groups(now))?;
    let infos = desk.ask("ask for the internal topics", |admin, now| admin.describe(&own, now))?;
    let doubts: Vec<_> =
        infos.iter().flatten().filter_map(|topic| doubt(topic, application, &groups)).collect();
    if doubts.is_empty() {
        return Ok(own);
    }
    let message = format!("whose topics these are is not certain: {}", doubts.join("; "));
    Err(Error::new(Reaction::Stop, message)
        .hint("name the internal topics that are to be deleted; nothing was changed"))
}

/// Refuses names that no internal topic of the application has, and inputs.
fn named(options: &ResetOptions) -> Result<()> {
    let (application, named) = (&options.application, &options.internal_topics);
    let foreign = named
        .iter()
        .filter(|topic| InternalKind::of(topic, application).is_none() || options.inputs.contains(topic));
    let foreign: Vec<_> = foreign.map(|topic| format!("`{topic}`")).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let message = format!("not internal topics of `{application}`: {}", foreign.join(", "));
    let hint = format!(
        "their names are `{application}-...-changelog` and `{application}-...-repartition`; nothing was changed"
    );
    Err(Error::new(Reaction::Stop, message).hint(hint))
}

/// Why a topic may not be the application's, whose name it has.
fn doubt(topic: &TopicInfo, application: &str, groups: &[String]) -> Option<String> {
    let name = &topic.name;
    let other = groups.iter().find(|group| {
        group.strip_prefix(application).is_some_and(|rest| rest.starts_with('-'))
            && InternalKind::of(name, group).is_some()
    });
    if let Some(other) = other {
        return Some(format!("`{name}` may be that of the group `{other}`"));
    }
    // What may not be read demands nothing.
    let (_, policy) = topic.configs.iter().find(|(name, _)| name == "cleanup.policy")?;
    let (kind, word) = match InternalKind::of(name, application)? {
        InternalKind::Changelog => ("a changelog", "compact"),
        InternalKind::Repartition => ("a repartition topic", "delete"),
    };
    let fits = policy.split(',').any(|one| one.trim() == word);
    (!fits).then(|| format!("`{name}` has cleanup.policy={policy}, and {kind} has {word}"))
}
