//! Seed: one run, from its scenario to the verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::case::Wrong;
use crate::check;
use crate::scenario::Scenario;
use crate::tally::Tally;
use crate::world::World;

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) trace: Vec<String>,
    pub(crate) verdict: Result<(), Wrong>,
}

/// Runs a scenario. With `aloud` the trace is told as it happens.
pub(crate) fn run(scenario: &Scenario, aloud: bool) -> Outcome {
    let mut outcome = Outcome { tally: Tally::default(), trace: Vec::new(), verdict: Ok(()) };
    let mut world = match World::new(scenario.clone()) {
        Ok(world) => world,
        Err(wrong) => return Outcome { verdict: Err(wrong), ..outcome },
    };
    world.aloud = aloud;
    let ran = catch_unwind(AssertUnwindSafe(|| {
        // What is stuck may be so for a reason that the offsets tell better.
        world.run().or_else(|wrong| check::intervals(&world).and(Err(wrong)))?;
        check::check(&mut world)?;
        like_undisturbed(&world)
    }));
    // An assertion that fails is as good a verdict as any.
    outcome.verdict = ran.unwrap_or_else(|panic| Err(format!("panicked: {}", message(panic.as_ref()))));
    let guarantee = if scenario.exactly_once { "exactly once" } else { "at least once" };
    world.tally.seeds.insert(format!("{}, {guarantee}", world.case.name()), 1);
    outcome.tally = std::mem::take(&mut world.tally);
    outcome.trace = std::mem::take(&mut world.trace);
    outcome
}

/// Where records can be late: one worker that nothing disturbs drops the same ones (I8).
fn like_undisturbed(world: &World) -> Result<(), Wrong> {
    if world.case.late(&[]).is_none() {
        return Ok(());
    }
    let mut calm = World::new(world.scenario.undisturbed())?;
    calm.run()?;
    let (view, expected) = (check::view(world)?, check::view(&calm)?);
    for topic in world.case.outputs() {
        let worth = |view: &crate::case::View| -> Vec<Vec<_>> {
            let records = view.partitions(topic).iter();
            records
                .map(|partition| {
                    partition.iter().map(|one| (one.key.clone(), one.value.clone(), one.timestamp)).collect()
                })
                .collect()
        };
        if worth(&view) != worth(&expected) {
            return Err(format!("{topic} is not what one undisturbed worker makes of the same input"));
        }
    }
    Ok(())
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}
