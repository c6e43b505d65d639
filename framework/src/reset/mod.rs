//! Reset: takes an application back to before its first start, so that it begins again at chosen offsets, without state.
//!
//! 1. [`Reset::prepare`] asks and changes nothing. What is to be done is a list of [steps](Step); a dry run ends there.
//! 2. What must not go on is refused before anything is changed: members in the group, input topics that do not exist,
//!    topics of which a name alone does not say whose they are, a state folder in use.
//! 3. The order is: members, state folder, offsets, internal topics. A state folder is only a copy of changelogs, and the
//!    topics, which nobody can bring back, go last.
//! 4. Every step may be repeated. A reset that was broken off is begun again, before the application is.

mod desk;
mod internal;
mod position;
mod step;

pub use position::{Note, OffsetMove, Position};
pub use step::Step;

use std::path::PathBuf;

use crate::error::{Error, Reaction, Result};
use crate::kafka::{Cluster, CommittedOffset, GroupMember, Isolation, KafkaError, OffsetCommit};
#[cfg(feature = "rocksdb")]
use crate::state::StateFolder;
use crate::time::Clock;
use crate::topic::{TopicName, TopicPartition};
use desk::Desk;
use internal::internal_topics;
use position::Known;

/// How long an answer is waited for, milliseconds: as long as Kafka's own tool does.
const PATIENCE_MS: i64 = 60_000;
/// Kafka's default of `session.timeout.ms`.
const SESSION_TIMEOUT_MS: i64 = 45_000;

/// What to reset, and to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetOptions {
    /// `application.id`.
    pub application: String,
    /// The topics that the application reads and does not make itself. Where none are named no offset is set.
    pub inputs: Vec<TopicName>,
    /// Where to begin in them.
    pub position: Position,
    /// The internal topics to delete; all that are found by name where none are named.
    pub internal_topics: Vec<TopicName>,
    /// `state.dir` of this machine, to delete the application's folder in it (feature `rocksdb`).
    pub state_dir: Option<PathBuf>,
    /// Whether members are taken out of the group instead of being a reason to refuse.
    pub remove_members: bool,
    /// `session.timeout.ms` of the application, to say how long a member that is gone stays.
    pub session_timeout_ms: i64,
    /// How long an answer of the cluster is waited for.
    pub patience_ms: i64,
}

impl ResetOptions {
    /// Deletes the internal topics of `application`, and sets no offset.
    #[must_use]
    pub fn new(application: impl Into<String>) -> Self {
        Self {
            application: application.into(),
            inputs: Vec::new(),
            position: Position::Earliest,
            internal_topics: Vec::new(),
            state_dir: None,
            remove_members: false,
            session_timeout_ms: SESSION_TIMEOUT_MS,
            patience_ms: PATIENCE_MS,
        }
    }
}

/// A reset that can be done: everything is asked and checked, nothing is changed.
///
/// ```
/// use headwater::kafka::memory::MemoryCluster;
/// use headwater::reset::{Reset, ResetOptions};
/// use headwater::time::SystemClock;
///
/// let cluster = MemoryCluster::new();
/// cluster.create_topic("orders", 1)?;
/// cluster.create_topic_with("billing-totals-changelog", 1, &[("cleanup.policy", "compact")])?;
///
/// let options = ResetOptions { inputs: vec!["orders".into()], ..ResetOptions::new("billing") };
/// let clock = SystemClock::new();
/// let reset = Reset::prepare(&options, &cluster, &clock)?;
/// let steps: Vec<_> = reset.steps().iter().map(|step| step.intention()).collect();
/// assert_eq!(steps, ["set orders-0 to offset 0 (none was committed)", "delete topic `billing-totals-changelog`"]);
///
/// let mut done = Vec::new();
/// reset.run(&mut |step| done.push(step.to_string()))?;
/// assert_eq!(done[1], "deleted topic `billing-totals-changelog`");
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is changed before `run`"]
pub struct Reset<'a> {
    desk: Desk<'a>,
    application: String,
    steps: Vec<Step>,
    remarks: Vec<String>,
    /// Locked as long as this lives: nobody starts in it meanwhile.
    #[cfg(feature = "rocksdb")]
    folder: Option<StateFolder>,
}

impl<'a> Reset<'a> {
    /// Asks the cluster and the state folder what there is, and checks that it may be reset.
    ///
    /// # Errors
    /// If the group has members that are not to be removed; if a topic that is named does not exist, or is not the
    /// application's to delete; if the state folder is in use or is not known as its; if the cluster does not answer.
    pub fn prepare(options: &ResetOptions, cluster: &'a dyn Cluster, clock: &'a dyn Clock) -> Result<Self> {
        if options.application.is_empty() {
            return Err(Error::new(Reaction::Stop, "an application has a name").hint("set `application.id`"));
        }
        let mut desk = Desk::new(cluster, clock, options.patience_ms);
        let group = &options.application;
        let members = desk.ask("ask for the members of the group", |admin, now| admin.members(group, now))?;
        if !members.is_empty() && !options.remove_members {
            return Err(has_members(options, &members));
        }
        let topics = desk.ask("list the topics", |admin, now| admin.topics(now))?;
        exist("input topics", &options.inputs, &topics)?;
        let mut remarks = Vec::new();
        let internal = internal_topics(options, &topics, &mut desk, &mut remarks)?;
        let moves = moves(options, &mut desk, &internal, &mut remarks)?;
        let mut steps: Vec<_> = members.into_iter().map(Step::RemoveMember).collect();
        #[cfg(feature = "rocksdb")]
        let folder = find_folder(options, &mut remarks)?;
        #[cfg(feature = "rocksdb")]
        steps.extend(folder.iter().map(|folder| Step::DeleteFolder(folder.path().to_owned())));
        #[cfg(not(feature = "rocksdb"))]
        refuse_folder(options)?;
        steps.extend(moves.into_iter().map(Step::SetOffset));
        steps.extend(internal.into_iter().map(Step::DeleteTopic));
        Ok(Self {
            desk,
            application: group.clone(),
            steps,
            remarks,
            #[cfg(feature = "rocksdb")]
            folder,
        })
    }

    /// What is to be done, in this order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What whoever asked for the reset should know besides.
    #[must_use]
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Does it, and tells each step when it is done.
    ///
    /// # Errors
    /// If a step fails; the error says how many were done before.
    pub fn run(mut self, told: &mut dyn FnMut(&Step)) -> Result<()> {
        let steps = std::mem::take(&mut self.steps);
        let mut empty = false;
        for (done, step) in steps.iter().enumerate() {
            let first = !matches!(step, Step::RemoveMember(_)) && !std::mem::replace(&mut empty, true);
            let ready = if first { self.is_empty() } else { Ok(()) };
            if let Err(error) = ready.and_then(|()| self.take(step)) {
                return Err(match done {
                    0 => error.detail("no step was done before"),
                    _ => error
                        .detail(&format!("{done} of {} steps were done before", steps.len()))
                        .hint("reset again before the application starts"),
                });
            }
            told(step);
        }
        Ok(())
    }

    /// Whether the group is empty, be it still or by now: who was taken out may have come back.
    fn is_empty(&mut self) -> Result<()> {
        let group = self.application.as_str();
        let members =
            self.desk.ask("ask for the members of the group", |admin, now| admin.members(group, now))?;
        match members.len() {
            0 => Ok(()),
            count => {
                let message = format!("the group `{group}` has members again, {count} of them");
                Err(Error::new(Reaction::Stop, message).hint("stop all instances of the application"))
            }
        }
    }

    fn take(&mut self, step: &Step) -> Result<()> {
        let group = self.application.as_str();
        let what = step.intention();
        match step {
            Step::RemoveMember(member) => {
                let members = std::slice::from_ref(member);
                let removed = self.desk.ask(&what, |admin, now| admin.remove_members(group, members, now));
                removed.map_err(|error| {
                    error.hint(
                        "stop all instances and wait until the session of those that are gone has timed out, or let \
                         Kafka's `kafka-streams-application-reset --force` remove them",
                    )
                })
            }
            Step::DeleteFolder(_) => self.delete_folder(),
            Step::SetOffset(OffsetMove { partition, to, .. }) => {
                let committed = CommittedOffset { offset: *to, metadata: String::new() };
                let offsets = [(partition.clone(), committed)];
                let set = self.desk.ask(&what, |admin, now| admin.set_group_offsets(group, &offsets, now));
                set.map_err(|error| match is_because_of(&error, "UNKNOWN_MEMBER_ID") {
                    true => error.hint("the group has members again: stop all instances"),
                    false => error,
                })
            }
            Step::DeleteTopic(topic) => {
                let names = std::slice::from_ref(topic);
                self.desk.ask(&what, |admin, now| admin.delete(names, now))
            }
        }
    }

    #[cfg(feature = "rocksdb")]
    fn delete_folder(&self) -> Result<()> {
        self.folder.as_ref().map_or(Ok(()), StateFolder::delete)
    }

    #[cfg(not(feature = "rocksdb"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "with the feature it deletes one")]
    fn delete_folder(&self) -> Result<()> {
        Ok(())
    }
}

/// Whether the cluster has answered with this code.
fn is_because_of(error: &Error, code: &str) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<KafkaError>());
    source.is_some_and(|error| error.code == code)
}

fn has_members(options: &ResetOptions, members: &[GroupMember]) -> Error {
    let shown = |member: &GroupMember| match &member.instance {
        Some(instance) => format!("`{}` (static, `{instance}`)", member.client),
        None => format!("`{}`", member.client),
    };
    let all: Vec<_> = members.iter().map(shown).collect();
    let message = format!("the group `{}` has members: {}", options.application, all.join(", "));
    let left = format!(
        "one that is gone without leaving, as static ones are, stays until its session times out, after {} ms \
         (`session.timeout.ms`), or until it is removed by force",
        options.session_timeout_ms
    );
    Error::new(Reaction::Stop, message).hint("stop all instances of the application").hint(left)
}

/// Refuses names of topics that do not exist.
fn exist(what: &str, names: &[TopicName], topics: &[TopicName]) -> Result<()> {
    let missing: Vec<_> =
        names.iter().filter(|name| !topics.contains(name)).map(|name| format!("`{name}`")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("{what} do not exist: {}", missing.join(", "));
    Err(Error::new(Reaction::Stop, message).hint("correct the names; nothing was changed"))
}

/// Where the input partitions stand, and where they are to go.
fn moves(
    options: &ResetOptions,
    desk: &mut Desk<'_>,
    internal: &[TopicName],
    remarks: &mut Vec<String>,
) -> Result<Vec<OffsetMove>> {
    let group = &options.application;
    let committed =
        desk.ask("ask for the committed offsets", |admin, now| admin.group_offsets(group, now))?;
    remarks.extend(stay(options, &committed, internal));
    let inputs = once(&options.inputs);
    let infos = desk.ask("ask for the input topics", |admin, now| admin.describe(&inputs, now))?;
    let partitions: Vec<_> = infos
        .iter()
        .flatten()
        .flat_map(|topic| (0..topic.partitions).map(|number| TopicPartition::new(topic.name.clone(), number)))
        .collect();
    let bounds = desk.ask("ask where the input topics begin and end", |admin, now| {
        admin.bounds(&partitions, Isolation::ReadUncommitted, now)
    })?;
    let at_time = match options.position {
        Position::Time(time_ms) => desk
            .ask("ask for the offsets of a time", |admin, now| admin.offsets_at(&partitions, time_ms, now))?,
        _ => vec![None; partitions.len()],
    };
    options.position.check(&partitions)?;
    let from = |partition: &TopicPartition| {
        committed.iter().find(|(one, _)| one == partition).map(|(_, committed)| committed.offset)
    };
    let known =
        partitions.into_iter().zip(bounds).zip(at_time).map(|((partition, (start, end)), at_time)| {
            let committed = from(&partition);
            Known { partition, start, end, at_time, committed }
        });
    Ok(known.map(|known| options.position.place(known)).collect())
}

/// The names, each once: librdkafka refuses a question that names a topic twice.
fn once(names: &[TopicName]) -> Vec<TopicName> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    names
}

/// Offsets that stay as they are would be gone on from, without the state that belongs to them: that is worth a word.
fn stay(options: &ResetOptions, committed: &[OffsetCommit], internal: &[TopicName]) -> Option<String> {
    let mut topics: Vec<_> = committed.iter().map(|(partition, _)| &partition.topic).collect();
    topics.retain(|topic| !options.inputs.contains(topic) && !internal.contains(topic));
    topics.dedup();
    let names: Vec<_> = topics.iter().map(|topic| format!("`{topic}`")).collect();
    (!names.is_empty()).then(|| {
        format!(
            "the committed offsets of {} stay as they are: the application goes on from there, without its state",
            names.join(", ")
        )
    })
}

#[cfg(feature = "rocksdb")]
fn find_folder(options: &ResetOptions, remarks: &mut Vec<String>) -> Result<Option<StateFolder>> {
    let Some(state_dir) = &options.state_dir else { return Ok(None) };
    let folder = StateFolder::find(state_dir, &options.application)?;
    if folder.is_none() {
        let path = state_dir.join(&options.application);
        remarks.push(format!("there is no state folder `{}`", path.display()));
    }
    Ok(folder)
}

#[cfg(not(feature = "rocksdb"))]
fn refuse_folder(options: &ResetOptions) -> Result<()> {
    let message = "state on disk comes with the feature `rocksdb`, which this program was built without";
    options.state_dir.as_ref().map_or(Ok(()), |_| Err(Error::new(Reaction::Stop, message)))
}
