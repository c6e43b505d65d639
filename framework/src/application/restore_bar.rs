//! Restore bar: how far restores are, on a terminal (feature `progress`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::commit::CommitRecord;
use crate::task::{Rebuild, RestoreProgress};
use crate::topic::{TaskId, TopicPartition};
use crate::worker::{Observer, WorkerState};

/// Records and the share of them, their rate, and the time that is left.
const TEMPLATE: &str =
    "restoring state {bar:30} {percent}%  {records} of at most {all} records, {rate}/s, {left} left";
/// How often it is drawn anew, whatever comes.
const TICK: Duration = Duration::from_millis(500);

/// An observer that shows on the terminal how far the restores of all workers are. Where standard error is no terminal it
/// shows nothing: the log says it every ten seconds.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use headwater::{Application, Config, RestoreBar, StreamsBuilder};
/// # let builder = StreamsBuilder::new();
/// # let config = Config::from_properties([("application.id", "shouting"), ("bootstrap.servers", "localhost:9092")])?;
/// let application = Application::on_kafka(&builder.build()?, config)?;
/// application.observer(Arc::new(RestoreBar::new())).start()?.until_signal()?;
/// # Ok::<(), headwater::Error>(())
/// ```
pub struct RestoreBar {
    shown: Mutex<Shown>,
    then: Option<Box<dyn Observer>>,
}

/// The changelogs that are read, each by one worker: records and what remains.
struct Shown {
    restores: BTreeMap<(usize, TopicPartition), (u64, u64)>,
    bar: Option<ProgressBar>,
    target: fn() -> ProgressDrawTarget,
}

impl Default for RestoreBar {
    fn default() -> Self {
        Self::new()
    }
}

impl RestoreBar {
    /// A bar on standard error.
    #[must_use]
    pub fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr)
    }

    fn on(target: fn() -> ProgressDrawTarget) -> Self {
        let shown = Shown { restores: BTreeMap::new(), bar: None, target };
        Self { shown: Mutex::new(shown), then: None }
    }

    /// Tells `observer` everything as well.
    #[must_use]
    pub fn then(mut self, observer: impl Observer + 'static) -> Self {
        self.then = Some(Box::new(observer));
        self
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut shown);
        shown.draw();
    }
}

impl Shown {
    fn draw(&mut self) {
        let (records, remaining) = self
            .restores
            .values()
            .fold((0, 0), |(records, remaining), one| (records + one.0, remaining + one.1));
        if remaining == 0 {
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, (self.target)()).with_style(style());
            bar.enable_steady_tick(TICK);
            bar
        });
        bar.set_length(records + remaining);
        bar.set_position(records);
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    let count = |count: u64| indicatif::HumanCount(count).to_string();
    style
        .with_key("records", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&count(state.pos()));
        })
        .with_key("all", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&count(state.len().unwrap_or(0)));
        })
        .with_key("rate", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
            let rate = state.per_sec() as u64;
            let _ = out.write_str(&count(rate));
        })
        .with_key("left", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:#}", indicatif::HumanDuration(state.eta()));
        })
}

impl Observer for RestoreBar {
    fn state(&self, worker: usize, from: WorkerState, to: WorkerState) {
        // Its tasks run, or are given up.
        if to != WorkerState::Rebalancing {
            self.show(|shown| shown.restores.retain(|(other, _), _| *other != worker));
        }
        self.then.iter().for_each(|then| then.state(worker, from, to));
    }

    fn restored(&self, worker: usize, progress: &RestoreProgress) {
        let remaining = u64::try_from(progress.remaining).unwrap_or(0);
        let key = (worker, progress.changelog.clone());
        self.show(|shown| {
            shown.restores.insert(key, (progress.records, remaining));
        });
        self.then.iter().for_each(|then| then.restored(worker, progress));
    }

    fn rebuilt(&self, worker: usize, task: TaskId, cause: Rebuild) {
        self.then.iter().for_each(|then| then.rebuilt(worker, task, cause));
    }

    fn flushed(&self, worker: usize, offsets: &[(TopicPartition, i64)]) {
        self.then.iter().for_each(|then| then.flushed(worker, offsets));
    }

    fn committed(&self, worker: usize, commit: &CommitRecord) {
        self.then.iter().for_each(|then| then.committed(worker, commit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use WorkerState::{Rebalancing, Running};

    fn shown(bar: &RestoreBar) -> Option<(u64, u64)> {
        let shown = bar.shown.lock().expect("no panic");
        shown.bar.as_ref().map(|bar| (bar.position(), bar.length().unwrap_or(0)))
    }

    #[test]
    fn the_bar_sums_up_the_changelogs_of_all_workers_and_goes_with_the_last() {
        let bar = RestoreBar::on(ProgressDrawTarget::hidden);
        let told = |worker, partition, records, remaining| {
            let (task, changelog) =
                (TaskId { subtopology: 0, partition }, TopicPartition::new("changelog", partition));
            let elapsed_ms = 1;
            bar.restored(
                worker,
                &RestoreProgress { task, changelog, records, bytes: 0, remaining, elapsed_ms },
            );
            shown(&bar)
        };
        assert_eq!(shown(&bar), None);
        assert_eq!(told(0, 0, 10, 90), Some((10, 100)));
        assert_eq!(told(1, 1, 0, 50), Some((10, 150)));
        assert_eq!(told(0, 0, 100, 0), Some((100, 150)));
        bar.state(0, Rebalancing, Running);
        assert_eq!(shown(&bar), Some((0, 50)));
        assert_eq!(told(1, 1, 50, 0), None);
    }
}
