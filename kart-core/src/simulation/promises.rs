//! What a history has to keep, each promise with a name.

use std::fmt;
use std::time::Duration;

use super::faults::Kind;
use super::notes::Attempt;
use super::objects::{Sent, Write};
use super::world::World;
use crate::Coordination;
use crate::workspace::layout;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    Ends,
    RightBytes,
    NeverReplaced,
    RunsOnce,
    NoLateCommit,
    NothingAfterItsEnd,
    NoDoubleWork,
    NoLitter,
    NothingSaved,
    Outcomes,
    CalmIsOk,
    StateMovesForward,
}

impl Promise {
    pub(super) const ALL: [Promise; 12] = [
        Promise::Ends,
        Promise::RightBytes,
        Promise::NeverReplaced,
        Promise::RunsOnce,
        Promise::NoLateCommit,
        Promise::NothingAfterItsEnd,
        Promise::NoDoubleWork,
        Promise::NoLitter,
        Promise::NothingSaved,
        Promise::Outcomes,
        Promise::CalmIsOk,
        Promise::StateMovesForward,
    ];
    pub(super) const COUNT: usize = Self::ALL.len();
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Promise::Ends => "every run ends within its bound",
            Promise::RightBytes => "what is there has the right bytes",
            Promise::NeverReplaced => "nothing keyed is replaced unless by a rerun",
            Promise::RunsOnce => "nothing complete runs again",
            Promise::NoLateCommit => "no commit after a successor's",
            Promise::NothingAfterItsEnd => "what is over writes nothing",
            Promise::NoDoubleWork => {
                "work is done twice only where a request was late or a process stood still"
            }
            Promise::NoLitter => {
                "a last clean run leaves no claims, liveness, uploads, temporaries or reruns"
            }
            Promise::NothingSaved => {
                "a last clean run leaves nothing that complete tasks had saved"
            }
            Promise::Outcomes => "outcomes say what happened",
            Promise::CalmIsOk => "a run without faults in its way is well",
            Promise::StateMovesForward => "a restored state is the last one that was saved",
        })
    }
}

/// A request is sent.
pub(super) fn sent(world: &World, sent: Sent, operation: &str, path: &str) {
    if !matches!(operation, "put" | "create" | "copy") {
        return;
    }
    if let Some(place) = world.place(path) {
        let is_running = world
            .notes()
            .runs
            .iter()
            .any(|run| run.life == sent.by && !run.is_over);
        world.check(Promise::NothingAfterItsEnd, is_running, || {
            format!(
                "p{} publishes {}.{} when its run is over",
                sent.by, place.day, place.at
            )
        });
    }
    let saved = path
        .strip_prefix("_kart/steps/")
        .and_then(|rest| rest.split('/').next());
    if let Some((day, at)) = saved.and_then(|key| world.keyed(key)) {
        let of_it =
            |attempt: &Attempt| (attempt.life, attempt.day, attempt.at) == (sent.by, day, at);
        let is_live = world.notes().live().any(of_it);
        world.check(Promise::NothingAfterItsEnd, is_live, || {
            format!(
                "p{} saves `{path}` for {day}.{at} when no attempt of it is under way",
                sent.by
            )
        });
    }
}

/// A write has taken effect.
pub(super) fn written(world: &World, write: &Write) {
    let Some(place) = world.place(&write.path) else {
        return;
    };
    let name = format!("{}.{}", place.day, place.at);
    if place.is_keyed {
        let may_replace = world.kinds.has(Kind::Reruns);
        world.check(
            Promise::NeverReplaced,
            !write.replaced || may_replace,
            || format!("p{} replaces the output of {name}", write.sent.by),
        );
    }
    // What was saved on the way has served.
    world.notes().saved.retain(|(_, at, _), _| *at != place.at);
    if let Some(bytes) = &write.bytes {
        let days = if place.is_keyed {
            place.day..place.day + 1
        } else {
            0..world.days
        };
        let is_right = days.clone().any(|day| world.value(day, place.at) == *bytes);
        world.check(Promise::RightBytes, is_right, || {
            format!(
                "p{} writes {bytes:?} as the output of {name}",
                write.sent.by
            )
        });
    }
    if !place.is_keyed {
        no_late_commit(world, write, place.at);
    }
}

/// At a path without a key whoever began last has the last word.
fn no_late_commit(world: &World, write: &Write, at: u32) {
    let is_excused =
        world.coordination == Coordination::None || world.counts().of(Kind::Paused) > 0;
    let days: Vec<u32> = (0..world.days).collect();
    let begun = |life: usize| {
        let notes = world.notes();
        let begun = days.iter().filter_map(|day| {
            notes
                .last_attempt(life, *day, at)
                .map(|attempt| attempt.begun)
        });
        begun.max()
    };
    let mine = begun(write.sent.by);
    let successor = world
        .objects()
        .writes
        .iter()
        .rev()
        .skip(1)
        .find_map(|other| {
            let is_before = other.path == write.path
                && other.sent.by != write.sent.by
                && other.at < write.sent.at;
            (is_before && begun(other.sent.by) > mine).then_some(other.sent.by)
        });
    world.check(
        Promise::NoLateCommit,
        is_excused || successor.is_none(),
        || {
            format!(
                "p{} writes `{}` after its successor {successor:?}",
                write.sent.by, write.path
            )
        },
    );
}

/// Whether an output was made for all open reruns before that moment, and nobody has forgotten it since.
fn is_made_for_reruns(world: &World, path: &str, moment: Duration) -> bool {
    let objects = world.objects();
    let open = objects.below("_kart/reruns/").into_iter();
    let open: Vec<String> = open
        .filter_map(layout::rerun_at)
        .map(|id| id.to_string())
        .collect();
    let sidecar = layout::sidecar(path);
    let recorded = objects.get(&sidecar).map(|object| &object.bytes);
    let before = objects.written_before(&sidecar, moment);
    let is_kept = before.is_some_and(|write| write.bytes.as_ref() == recorded);
    let recorded = String::from_utf8_lossy(recorded.map_or(&[], |bytes| bytes));
    let is_made = open.iter().all(|id| recorded.contains(id.as_str()));
    is_kept && is_made && !open.is_empty() && objects.written_before(path, moment).is_some()
}

/// A body begins.
pub(super) fn begins(world: &World, mine: Attempt, run: usize) {
    let began = world.notes().runs[run].begun;
    let path = world.path(mine.day, mine.at);
    let is_keyed = world.place(path).is_some_and(|place| place.is_keyed);
    let reruns = world.kinds.has(Kind::Reruns);
    let name = format!("{}.{}", mine.day, mine.at);
    let (before, meanwhile) = {
        let objects = world.objects();
        let there = |moment| {
            objects
                .written_before(path, moment)
                .map(|write| write.sent.by)
        };
        (there(began), there(mine.begun))
    };
    if is_keyed && !reruns {
        world.check(Promise::RunsOnce, before.is_none(), || {
            format!(
                "p{} runs {name}, which was there when its run began",
                mine.life
            )
        });
    }
    // Reruns of other roots are no concern of a run, and by a listing it finds them.
    if reruns && !world.kinds.has(Kind::Roots) && !world.kinds.has(Kind::Hidden) {
        let is_made = is_made_for_reruns(world, path, began);
        world.check(Promise::RunsOnce, !is_made, || {
            format!(
                "p{} runs {name}, which was made for the rerun when its run began",
                mine.life
            )
        });
    }
    let beside = {
        let notes = world.notes();
        // A thread cannot be stopped, and may outlive its run.
        let is_beside = |other: &&Attempt| {
            (other.day, other.at) == (mine.day, mine.at) && !notes.runs[other.run].is_over
        };
        notes.live().find(is_beside).copied()
    };
    let is_twice = beside.is_some() || is_keyed && !reruns && meanwhile.is_some();
    if is_twice {
        world.notes().double_work += 1;
    }
    let counts = world.counts();
    let may_be = [Kind::Late, Kind::Paused, Kind::Refused]
        .iter()
        .any(|kind| counts.of(*kind) > 0);
    let claims_all =
        world.coordination == Coordination::Exclusive && (world.kinds.has(Kind::Roots));
    let is_own = beside.is_some_and(|other| other.run == mine.run);
    world.check(
        Promise::NoDoubleWork,
        !is_twice || (may_be || claims_all) && !is_own,
        || {
            format!(
                "p{} runs {name}; beside {:?}, made by {meanwhile:?}",
                mine.life,
                beside.map(|other| other.life)
            )
        },
    );
}

/// The last clean runs are over.
pub(super) fn litter(world: &World) {
    let left = |rooms: &[&str]| -> Vec<String> {
        let objects = world.objects();
        let left = rooms.iter().flat_map(|room| objects.below(room));
        // A late write may bring back the claim of work that failed for good; it keeps nobody from anything.
        let has_failed = |path: &str| {
            let text = objects
                .get(path)
                .map(|object| String::from_utf8_lossy(&object.bytes));
            text.is_some_and(|text| text.contains("\"failed\":{"))
        };
        let left = left.filter(|path| !has_failed(path));
        left.map(|path| world.shown(path)).collect()
    };
    let mut litter = left(&[
        "_kart/claims/",
        "_kart/workers/",
        "_kart/liveness/",
        "_kart/uploads/",
        "_kart/tmp/",
    ]);
    if !world.kinds.has(Kind::Roots) {
        // The reruns of other roots wait for a run of these.
        litter.extend(left(&["_kart/reruns/"]));
    }
    world.check(Promise::NoLitter, litter.is_empty(), || {
        format!("{litter:?}")
    });
    let saved = left_saved(world);
    world.check(Promise::NothingSaved, saved.is_empty(), || {
        format!("{saved:?}")
    });
}

/// What is saved of tasks that have their output.
fn left_saved(world: &World) -> Vec<String> {
    let objects = world.objects();
    let is_left = |path: &&str| {
        let mut parts = path.split('/').skip(2);
        let task = parts.next().and_then(|key| world.keyed(key));
        let is_there = task.is_some_and(|(day, at)| objects.get(world.path(day, at)).is_some());
        // The reruns of other roots wait for a run of these.
        let waits = world.kinds.has(Kind::Roots) && parts.next() != Some("first");
        is_there && !waits
    };
    let saved = objects.below("_kart/steps/").into_iter();
    saved
        .filter(is_left)
        .map(|path| world.shown(path))
        .collect()
}
