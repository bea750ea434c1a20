//! Whether what a run says is what happened.

use tokio::task::JoinError;

use super::faults::{Counts, Kind};
use super::life::Fate;
use super::order::{Order, Running};
use super::promises::Promise;
use super::world::{TTL, World};
use crate::{Outcome, Report, RunError};

/// How a run ended.
pub(super) enum Ended {
    /// With its process; what is left of it is silent.
    Killed(Option<Running>),
    Well,
    Other,
    /// Not at all.
    Stuck,
}

/// What may keep a run from its end although requests are repeated: whatever lasts longer than a lease, listings that lag
/// behind claims, claims that a late request has left, and requests that fail again and again.
const IN_THE_WAY: [Kind; 2] = [Kind::Late, Kind::Refused];

pub(super) fn check(
    world: &World,
    life: usize,
    order: &Order,
    fate: Fate,
    before: &Counts,
    results: Result<Vec<Result<Report, RunError>>, JoinError>,
) -> Ended {
    match results {
        Ok(results) => {
            let mut is_well = true;
            for (run, result) in order.runs.iter().zip(results) {
                is_well &= is_well_said(world, life, (order, *run), fate, before, &result);
            }
            if is_well { Ended::Well } else { Ended::Other }
        }
        Err(error) => {
            world.check(Promise::Outcomes, false, || format!("p{life} {error}"));
            Ended::Other
        }
    }
}

/// Checks what one run says; whether all is well.
fn is_well_said(
    world: &World,
    life: usize,
    (order, run): (&Order, usize),
    fate: Fate,
    before: &Counts,
    result: &Result<Report, RunError>,
) -> bool {
    let now = world.counts();
    let is_hampered = {
        let notes = world.notes();
        let begun = notes.runs[run].begun;
        notes.late_claims > 0 || notes.had_outage(life, begun, world.now())
    };
    let met = IN_THE_WAY
        .iter()
        .any(|kind| now.of(*kind) > before.of(*kind))
        || world.may(Kind::Hidden) && now.of(Kind::Hidden) > 0
        || is_hampered;
    let notes = world.notes();
    let mut mine = notes.attempts.iter().filter(|attempt| attempt.run == run);
    let has_failed = mine.any(|attempt| attempt.has_failed);
    drop(notes);
    let is_told_to_stop = order.deadline.is_some() || fate == Fate::Stopped;
    let stood_still = matches!(fate, Fate::Paused(_));
    let (day, at) = order.root;
    let said = match result {
        Ok(report) => format!("well: {}", report.counts()),
        // Who has it, and since when, is told by the wall clock.
        Err(RunError::AlreadyRunning(_)) => "busy".to_owned(),
        Err(error) => format!("{error:#}").replace('\n', " "),
    };
    world.tell(life, || format!("the run of {day}.{at} ends: {said}"));
    let check = |promise, is_kept| {
        world.check(promise, is_kept, || {
            format!("the run of {day}.{at} by p{life} ends: {said}")
        });
    };
    let report = match result {
        Ok(report) => Some(report),
        Err(error) => error.report(),
    };
    let untrue = report.and_then(|report| untrue(world, run, report));
    world.check(Promise::Outcomes, untrue.is_none(), || {
        format!("p{life} says of {untrue:?}")
    });
    match result {
        Ok(_) => {
            let is_there = world.objects().get(world.path(day, at)).is_some();
            check(Promise::Outcomes, is_there);
            return true;
        }
        Err(RunError::Failed(report)) => {
            // What bodies did is named so by them; a body may be slow through no fault of its own.
            let is_of_body = |text: &str| {
                ["on purpose", "timed out after", "gave up as interrupted"]
                    .iter()
                    .any(|said| text.contains(said))
            };
            let all = report
                .failures()
                .all(|(_, failure)| is_of_body(&failure.chain()));
            check(Promise::Outcomes, all);
        }
        Err(RunError::Interrupted(_)) => {
            let interrupts = now.of(Kind::Interrupts) > 0;
            check(
                Promise::Outcomes,
                is_told_to_stop || stood_still || met || interrupts,
            );
        }
        Err(RunError::AlreadyRunning(_)) => {
            // One that waits for another of its own process until it is told to stop has not begun.
            let is_true = is_told_to_stop || is_busy(world, life, order, run);
            check(Promise::Outcomes, is_true);
        }
        Err(RunError::Store(_)) => check(Promise::Outcomes, met || stood_still),
        Err(_) => check(Promise::Outcomes, false),
    }
    let is_busy = matches!(result, Err(RunError::AlreadyRunning(_)));
    let is_calm =
        !(is_told_to_stop || stood_still || met || has_failed || is_busy || others_failed(world));
    check(Promise::CalmIsOk, !is_calm);
    false
}

/// A task of which a report says what is not so.
fn untrue(world: &World, run: usize, report: &Report) -> Option<String> {
    report.tasks().find_map(|task| {
        let path = task.task.path();
        let place = world.place(&path)?;
        let is_there = world.objects().get(&path).is_some();
        let notes = world.notes();
        let mut mine = notes.attempts.iter().filter(|attempt| attempt.run == run);
        let was_tried = mine.any(|attempt| attempt.at == place.at);
        let is_true = match task.outcome {
            Outcome::Complete | Outcome::CompletedByOther => is_there,
            Outcome::Ran(_) => is_there && was_tried,
            Outcome::Failed(failure) => failure.attempts > 0,
            _ => true,
        };
        (!is_true).then(|| format!("{}.{}: {:?}", place.day, place.at, task.outcome))
    })
}

/// Whether bodies have ended badly that others may wait for.
fn others_failed(world: &World) -> bool {
    world
        .notes()
        .attempts
        .iter()
        .any(|attempt| attempt.has_failed)
}

/// Whether another run of the same root was under way a moment ago.
fn is_busy(world: &World, life: usize, order: &Order, run: usize) -> bool {
    let now = world.now();
    let begun = world.notes().runs[run].begun;
    world.notes().runs.iter().any(|other| {
        let is_recent = other.ended.is_none_or(|ended| ended + TTL * 2 > begun);
        other.life != life && other.root == order.root && other.begun < now && is_recent
    })
}
