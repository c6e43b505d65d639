//! Settle: the end of a run, once nothing goes wrong any more.

use headwater_broker::broker::RecordState;

use super::{TRANSACTION_MS, World};
use crate::case::{APPLICATION, Wrong};
use crate::instance::{Instance, Standing};

/// Ticks within which everything must be consumed and committed once nothing goes wrong any more.
const PATIENCE_TICKS: u64 = 20_000;

impl World {
    /// Runs until everything is consumed and committed.
    pub(super) fn settle(&mut self) -> Result<(), Wrong> {
        let since = self.tick;
        loop {
            for _ in 0..20 {
                self.advance(false)?;
            }
            let behind = self.behind()?;
            let Some(behind) = behind else { return Ok(()) };
            if self.tick - since > PATIENCE_TICKS {
                return Err(format!("stuck: {behind}"));
            }
        }
    }

    /// A partition with records that are not consumed and committed.
    fn behind(&self) -> Result<Option<String>, Wrong> {
        let broker = self.mould.cluster.broker();
        for source in &self.sources {
            let Some(view) = broker.partition(&source.topic, source.partition) else {
                return Ok(Some(format!("{source} does not exist")));
            };
            let committed = broker.committed_offset(APPLICATION, &source.topic, source.partition);
            let committed = committed.map_or(0, |committed| committed.offset);
            if committed >= view.high_watermark {
                continue;
            }
            let records = broker.records(&source.topic, source.partition).map_err(|code| code.to_string())?;
            let open = records.iter().any(|record| {
                record.offset >= committed
                    && matches!(record.state, RecordState::Committed | RecordState::Unstable)
            });
            if open {
                let end = view.high_watermark;
                return Ok(Some(format!("{source} is committed up to {committed} of {end}")));
            }
        }
        Ok(None)
    }

    /// All instances leave in order.
    pub(super) fn leave(&mut self) -> Result<(), Wrong> {
        let since = self.tick;
        let working = |instance: &Instance| !instance.posts.is_empty();
        self.instances.retain(working);
        for instance in &mut self.instances {
            instance.standing = Standing::Up;
            instance.stop();
        }
        while self.instances.iter().any(working) {
            self.instances.iter_mut().filter(|one| !working(one)).for_each(|one| {
                one.standing = Standing::Down(i64::MAX);
            });
            self.advance(false)?;
            if self.tick - since > PATIENCE_TICKS {
                return Err("stuck: an instance does not leave".to_owned());
            }
        }
        self.now_ms += TRANSACTION_MS + 10_000;
        self.mould.cluster.broker().tick(self.now_ms);
        self.look_at_offsets();
        self.tally.event("ticks", self.tick);
        self.tally.event("records", self.scenario.records);
        self.tally.event("snapshots compared", self.snapshots.len() as u64);
        Ok(())
    }
}
