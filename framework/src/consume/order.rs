//! Which lane goes next: the one whose head has the lowest event time; of several, the one with the lowest number.
//!
//! `max.task.idle.ms` says how long a task waits for the heads of empty lanes (Kafka Streams' KIP-695):
//! 1. Never (`-1`): what is there is processed.
//! 2. `0`: a task waits while an empty lane is known to be behind, or nothing is known of it yet.
//! 3. `n > 0`: as `0`, and then `n` milliseconds more for records that nobody has written yet.

use super::{Lag, Lane};

/// The lane whose head comes first, and how many of its records come before all other heads. Only lanes with a head
/// that is read count.
#[must_use]
pub fn lowest(lanes: &[Lane]) -> Option<(usize, usize)> {
    let heads = || lanes.iter().enumerate().filter_map(|(number, lane)| Some((lane.head_time()?, number)));
    let (_, first) = heads().min()?;
    let next = heads().filter(|(_, number)| *number != first).min();
    Some((first, lanes[first].before(next)))
}

/// Whether the task may go on with the heads that it has. `idle_ms` is `max.task.idle.ms`, `None` for never.
pub fn ready(lanes: &mut [Lane], idle_ms: Option<i64>, now_ms: i64) -> bool {
    let Some(idle_ms) = idle_ms else { return true };
    let mut ready = true;
    for lane in lanes {
        if lane.head_time().is_some() || lane.lag() != Lag::CaughtUp {
            lane.idle_since = None;
            ready &= lane.head_time().is_some();
            continue;
        }
        // The clock may have been set back: then the wait begins anew.
        let since = lane.idle_since.map_or(now_ms, |since| since.min(now_ms));
        lane.idle_since = Some(since);
        ready &= now_ms.saturating_sub(since) >= idle_ms;
    }
    ready
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::rc::Rc;

    use super::*;
    use crate::consume::Scene;
    use crate::error::Result;
    use crate::kafka::Fetched;
    use crate::operator::{Context, Handlers, Intake, OutRecord, Output, Reading, Target};
    use crate::record::RecordBatch;
    use crate::telemetry::Counters;
    use crate::topic::{TaskId, TopicPartition};

    /// Takes a record's timestamp as its time; a negative one is dropped. Notes what runs.
    #[derive(Default)]
    struct Notes(Vec<(usize, usize, i64)>, Vec<usize>);

    impl Intake for Notes {
        fn load(
            &mut self,
            _: &mut Context<'_>,
            reading: &Reading<'_>,
            times: &mut VecDeque<i64>,
        ) -> Result<usize> {
            let read = reading.rows.clone().map(|row| reading.batch.timestamp(row));
            times.extend(read.take_while(|time| *time >= 0));
            Ok(usize::from(times.is_empty()))
        }

        fn run(&mut self, context: &mut Context<'_>, lane: usize, count: usize) -> Result<()> {
            self.0.push((lane, count, context.stream_time));
            Ok(())
        }

        fn forget(&mut self, lane: usize) {
            self.1.push(lane);
        }
    }

    struct Nothing;

    impl Output for Nothing {
        fn emit(&mut self, _: &Target<'_>, _: &OutRecord<'_>) -> Result<()> {
            Ok(())
        }
    }

    fn fetched(from: i64, times: &[i64], caught_up: bool) -> Fetched {
        let mut records = RecordBatch::default();
        times.iter().zip(from..).for_each(|(time, offset)| records.push(*time, None, None, offset));
        // One control record behind the records.
        let position = from + i64::try_from(times.len()).unwrap() + 1;
        Fetched { records, position, caught_up }
    }

    fn with_lanes(check: impl FnOnce(&mut [Lane], &mut Scene<'_>, &Rc<RefCell<Notes>>)) {
        let notes = Rc::new(RefCell::new(Notes::default()));
        let lane =
            |number: usize| Lane::new(TopicPartition::new(format!("t{number}"), 0), number, notes.clone());
        let mut lanes = [lane(0), lane(1)];
        let (mut counters, handlers, mut output) = (Counters::default(), Handlers::default(), Nothing);
        let mut scene = Scene {
            task: TaskId { subtopology: 0, partition: 0 },
            now_ms: 0,
            stream_time: -1,
            counters: &mut counters,
            handlers: &handlers,
            output: &mut output,
        };
        check(&mut lanes, &mut scene, &notes);
    }

    #[test]
    fn the_lowest_head_goes_first_and_what_is_dropped_is_consumed() {
        with_lanes(|lanes, scene, notes| {
            lanes[0].push(fetched(0, &[10, -1, 30, 40, -1], true)).unwrap();
            lanes[1].push(fetched(5, &[10, 20, 30], true)).unwrap();
            loop {
                lanes.iter_mut().for_each(|lane| {
                    lane.load(scene).unwrap();
                });
                let Some((next, count)) = lowest(lanes) else { break };
                lanes[next].run(count, scene).unwrap();
            }
            assert_eq!(notes.borrow().0, [(0, 1, 10), (1, 2, 20), (0, 1, 30), (1, 1, 30), (0, 1, 40)]);
            assert_eq!((scene.counters.consumed, scene.counters.processed), (8, 6));
            assert_eq!((lanes[0].next_offset(), lanes[1].next_offset()), (6, 9), "past control records");
            assert!(lanes[0].push(fetched(3, &[1], true)).is_err(), "offsets do not go back");
            lanes[1].seek(20, 0);
            assert_eq!(notes.borrow().1, [1], "what was read and waits is forgotten with its lane");
        });
    }

    #[test]
    fn an_empty_lane_is_waited_for_as_the_setting_says() {
        with_lanes(|lanes, scene, _| {
            lanes[0].push(fetched(0, &[10], true)).unwrap();
            lanes[0].load(scene).unwrap();
            assert!(ready(lanes, None, 0) && !ready(lanes, Some(0), 0), "nothing is known of the other lane");
            lanes[1].push(fetched(0, &[], false)).unwrap();
            assert!(!ready(lanes, Some(0), 0), "it is behind");
            lanes[1].push(fetched(1, &[], true)).unwrap();
            assert!(ready(lanes, Some(0), 0));
            assert!(!ready(lanes, Some(50), 49) && ready(lanes, Some(50), 50));
            assert_eq!(lanes[0].next_offset(), 0, "a loaded head is not consumed");
        });
    }
}
