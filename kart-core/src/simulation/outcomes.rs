//! Whether what a run says is what happened.

use tokio::task::JoinError;

use super::faults::{Counts, Kind};
use super::process::{Fate, Order, Running};
use super::promises::Promise;
use super::world::{TTL, World};
use crate::{Report, RunError};

/// How a run ended.
pub(super) enum Ended {
    /// With its process; what is left of it is silent.
    Killed(Option<Running>),
    Well,
    Other,
    /// Not at all.
    Stuck,
}

/// What may keep a run from its end although requests are repeated: whatever lasts longer than a lease.
const IN_THE_WAY: [Kind; 2] = [Kind::Late, Kind::Refused];

pub(super) fn check(
    world: &World,
    life: usize,
    order: &Order,
    fate: Fate,
    before: &Counts,
    result: Result<Result<Report, RunError>, JoinError>,
) -> Ended {
    let now = world.counts();
    let met = IN_THE_WAY.iter().any(|kind| now.of(*kind) > before.of(*kind));
    let notes = world.notes();
    let mut mine = notes.attempts.iter().filter(|attempt| attempt.run == order.run);
    let has_failed = mine.any(|attempt| attempt.has_failed);
    drop(notes);
    let is_told_to_stop = order.deadline.is_some() || fate == Fate::Stopped;
    let stood_still = matches!(fate, Fate::Paused(_));
    let (day, at) = order.root;
    let said = match &result {
        Ok(Ok(report)) => format!("well: {}", report.counts()),
        // Who has it, and since when, is told by the wall clock.
        Ok(Err(RunError::AlreadyRunning(_))) => "busy".to_owned(),
        Ok(Err(error)) => format!("{error:#}").replace('\n', " "),
        Err(error) => error.to_string(),
    };
    world.tell(life, || format!("the run of {day}.{at} ends: {said}"));
    let check = |promise, is_kept| {
        world.check(promise, is_kept, || format!("the run of {day}.{at} by p{life} ends: {said}"));
    };
    match &result {
        Ok(Ok(_)) => {
            let is_there = world.objects().get(world.path(day, at)).is_some();
            check(Promise::Outcomes, is_there);
            return Ended::Well;
        }
        Ok(Err(RunError::Failed(report))) => {
            // What bodies did is named so by them; a body may be slow through no fault of its own.
            let is_of_body = |text: &str| text.contains("on purpose") || text.contains("timed out after");
            let all = report.failures().all(|(_, failure)| is_of_body(&failure.chain()));
            check(Promise::Outcomes, all);
        }
        Ok(Err(RunError::Interrupted(_))) => {
            let interrupts = now.of(Kind::Interrupts) > 0;
            check(Promise::Outcomes, is_told_to_stop || stood_still || met || interrupts);
        }
        Ok(Err(RunError::AlreadyRunning(_))) => check(Promise::Outcomes, is_busy(world, life, order)),
        Ok(Err(RunError::Store(_))) => check(Promise::Outcomes, met),
        Ok(Err(_)) | Err(_) => check(Promise::Outcomes, false),
    }
    let is_busy = matches!(&result, Ok(Err(RunError::AlreadyRunning(_))));
    let is_calm = !(is_told_to_stop || stood_still || met || has_failed || is_busy || others_failed(world));
    check(Promise::CalmIsOk, !is_calm);
    Ended::Other
}

/// Whether bodies have ended badly that others may wait for.
fn others_failed(world: &World) -> bool {
    world.notes().attempts.iter().any(|attempt| attempt.has_failed)
}

/// Whether another run of the same root was under way a moment ago.
fn is_busy(world: &World, life: usize, order: &Order) -> bool {
    let now = world.now();
    let begun = world.notes().runs[order.run].begun;
    world.notes().runs.iter().any(|other| {
        let is_recent = other.ended.is_none_or(|ended| ended + TTL * 2 > begun);
        other.life != life && other.root == order.root && other.begun < now && is_recent
    })
}
