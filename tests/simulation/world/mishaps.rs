//! Mishaps: what goes wrong with instances and the broker, by the scenario's shares.

use headwater::commit::Window;
use headwater::state::MemoryBackend;
use headwater::task::Rebuild;
use headwater_broker::faults::MarkerDelay;

use super::{POLL_MS, SESSION_MS, World, text};
use crate::case::{APPLICATION, Wrong};
use crate::instance::{Deed, Standing, expire_member, lock};

/// How often, of ten thousand ticks, the byte stores of a living instance are looked at.
const LOOKS: u32 = 50;

impl World {
    /// What goes wrong before this tick.
    pub(super) fn mishaps(&mut self) -> Result<(), Wrong> {
        let shares = self.scenario.mishaps;
        let index = self.random.usize(..self.instances.len());
        let name = self.instances[index].name.clone();
        let is_up = self.instances[index].standing == Standing::Up;
        if self.happens(shares.crash) && is_up {
            self.fault("crash", &name);
            self.crash(index)?;
            return Ok(());
        }
        if self.happens(shares.window_crash) && is_up {
            self.arm(index, Deed::Crash);
        }
        if self.happens(shares.window_rebalance) && is_up {
            let number = self.random.usize(..8);
            self.arm(index, Deed::Rebalance(number));
        }
        if self.happens(shares.freeze) && is_up {
            let pause_ms = self.random.i64(SESSION_MS..POLL_MS * 2);
            self.instances[index].standing = Standing::Frozen(self.now_ms + pause_ms);
            self.fault("zombie", &format!("{name} for {pause_ms} ms"));
        }
        if self.happens(shares.stop) && is_up {
            self.instances[index].stop();
            self.fault("graceful stop", &name);
        }
        if self.happens(shares.expire) {
            let number = self.random.usize(..8);
            if expire_member(&mut self.mould.cluster.broker(), None, number, self.now_ms) {
                self.fault("member thrown out", "");
            }
        }
        if self.happens(shares.fence) {
            self.fence(&name);
        }
        if self.happens(LOOKS) {
            self.take_snapshot(index)?;
        }
        self.broker_mishaps();
        Ok(())
    }

    pub(super) fn crash(&mut self, index: usize) -> Result<(), Wrong> {
        self.take_snapshot(index)?;
        let pause_ms = if self.random.bool() { self.random.i64(0..100) } else { self.random.i64(0..3_000) };
        self.instances[index].crash(self.now_ms + pause_ms);
        if self.happens(self.scenario.mishaps.wipe) {
            self.instances[index].backend = MemoryBackend::default();
            self.instances[index].spoilt.clear();
            self.instances[index].cut.clear();
            let name = self.instances[index].name.clone();
            self.fault("disk lost", &name);
        }
        if self.happens(self.scenario.mishaps.spoil) {
            let causes = [Rebuild::TopicRecreated, Rebuild::TooOld, Rebuild::OffsetOutOfRange];
            let cause = causes[self.random.usize(..causes.len())];
            let instance = &mut self.instances[index];
            let spoilt = instance.spoil(cause, &self.mould.plan, self.scenario.partitions);
            let (count, name) = (spoilt.map_err(|error| text(&error))?, instance.name.clone());
            if count > 0 {
                self.fault("disk spoilt", &format!("{name}, {count} tasks: {}", cause.name()));
            }
        }
        Ok(())
    }

    fn arm(&mut self, index: usize, deed: Deed) {
        // Two tasks that are flushed together are rare: a third of the deeds waits for that.
        let any = Window::ALL[self.random.usize(..Window::ALL.len())];
        let window = if self.random.u32(..3) == 0 { Window::BetweenBatches } else { any };
        let posts = &self.instances[index].posts;
        lock(&posts[self.random.usize(..posts.len())].control).armed = Some((window, deed));
    }

    fn fence(&mut self, name: &str) {
        let id = format!("{APPLICATION}-{name}-{}", self.random.usize(..self.scenario.workers));
        let fenced = {
            let mut broker = self.mould.cluster.broker();
            !broker.is_down() && broker.fence_producer(&id, self.now_ms).is_ok()
        };
        if fenced {
            self.fault("producer fenced", &id);
        }
    }

    fn broker_mishaps(&mut self) {
        let shares = self.scenario.mishaps;
        if self.happens(shares.broker_crash) && self.broker_back_ms.is_none() {
            let pause_ms = self.random.i64(1..500);
            self.mould.cluster.broker().crash(self.now_ms);
            self.broker_back_ms = Some(self.now_ms + pause_ms);
            self.fault("broker crash", &format!("for {pause_ms} ms"));
        }
        if self.happens(shares.markers) {
            let mut some = || if self.random.bool() { 0 } else { self.random.i64(1..400) };
            let delay = MarkerDelay { offsets_ms: some(), data_ms: some(), step_ms: some() / 4 };
            self.mould.cluster.broker().faults_mut().marker_delay = delay;
            self.fault("markers delayed", &format!("{delay:?}"));
        }
    }
}
