//! One history: the processes with their faults, then a last clean run, then the promises.

use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::faults::{Counts, Kind, Kinds};
use super::front::Front;
use super::graph::Kept;
use super::identity;
use super::life;
use super::notes::Broken;
use super::order::{Order, Running};
use super::plain::Active;
use super::promises::{self, Promise};
use super::world::{Settings, TTL, World};
use crate::{Outcome, RunError, Workspace};

/// A clean run has nothing to wait for but the silence of the dead.
const CLEAN: Duration = Duration::from_mins(10);

/// What came of a history.
#[derive(Debug)]
pub(super) struct History {
    /// What could happen in it.
    pub(super) kinds: Kinds,
    pub(super) tally: Tally,
    pub(super) broken: Option<Broken>,
    pub(super) story: String,
}

/// What happened in some histories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) histories: u64,
    pub(super) requests: u64,
    pub(super) attempts: u64,
    pub(super) double_work: u64,
    pub(super) runs: u64,
    pub(super) virtual_time: Duration,
    pub(super) counts: Counts,
    /// How many of the histories have each property.
    pub(super) properties: Counts,
    pub(super) kept: [u64; Promise::COUNT],
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        self.histories += other.histories;
        self.requests += other.requests;
        self.attempts += other.attempts;
        self.double_work += other.double_work;
        self.runs += other.runs;
        self.virtual_time += other.virtual_time;
        self.counts.add(&other.counts);
        self.properties.add(&other.properties);
        for (mine, theirs) in self.kept.iter_mut().zip(other.kept) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} histories, {} requests, {} runs, {} attempts of bodies, {} of them twice; {:.0} virtual days",
            self.histories,
            self.requests,
            self.runs,
            self.attempts,
            self.double_work,
            self.virtual_time.as_secs_f64() / 86_400.0,
        )?;
        writeln!(f, "faults: {}", self.counts)?;
        writeln!(f, "histories: {}", self.properties)?;
        f.write_str("promises checked:")?;
        for promise in Promise::ALL {
            write!(f, "\n{:>12}  {promise}", self.kept[promise as usize])?;
        }
        Ok(())
    }
}

/// Runs the history of these settings.
pub(super) fn run(settings: &Settings) -> History {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let _active = Active::new();
    identity::forget();
    fastrand::seed(settings.seed);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    #[cfg(tokio_unstable)]
    runtime.rng_seed(tokio::runtime::RngSeed::from_bytes(
        &settings.seed.to_le_bytes(),
    ));
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(tell(settings))
}

async fn tell(settings: &Settings) -> History {
    let mut rng = fastrand::Rng::with_seed(settings.seed);
    let mut world = World::new(settings.clone(), &mut rng);
    let _kept = Kept::new(settings.seed, &world.shape);
    world.display_url();
    let world = Arc::new(world);
    world.tell(usize::MAX, || {
        format!(
            "{:?}, {:?}, {:?}",
            world.coordination, world.kinds, world.shape
        )
    });
    let started = Instant::now();
    let processes = rng.usize(1..=4).min(settings.processes);
    let mut living = JoinSet::new();
    for number in 0..processes {
        living.spawn(life::live(Arc::clone(&world), number));
    }
    let mut left = Vec::new();
    while let Some(ended) = living.join_next().await {
        left.extend(ended.expect("the simulation itself does not panic"));
    }
    if world.notes().broken.is_none() {
        clean_up(&world, &mut rng, left).await;
    }
    let notes = world.notes();
    History {
        kinds: world.kinds,
        tally: Tally {
            histories: 1,
            requests: notes.requests,
            attempts: notes.attempts.len() as u64,
            double_work: notes.double_work,
            runs: notes.runs.len() as u64,
            virtual_time: started.elapsed(),
            counts: notes.counts,
            properties: world.properties(),
            kept: notes.kept,
        },
        broken: notes.broken.clone(),
        story: notes.story().to_owned(),
    }
}

/// Ends all faults, runs each root once more, and looks at what is there.
async fn clean_up(world: &Arc<World>, rng: &mut fastrand::Rng, left: Vec<(usize, Running)>) {
    world.heal();
    while world.is_anything_arriving() {
        sleep(Duration::from_secs(1)).await;
    }
    world.objects().unhide();
    // The dead are found out at once on their own machine, and by their silence elsewhere.
    let are_here = rng.bool();
    if are_here {
        for (life, running) in left {
            identity::exits(life);
            running.abort();
            let _ = running.await;
        }
    }
    let front = Front::new(world, world.next_life());
    let workspace = front.workspace();
    // One makes what is missing, one looks for what the dead have left, and one has heard their silence.
    for _ in 0..3 {
        for day in 0..world.days {
            // What a late request has left may cost a claim once: it is to be run again.
            let was_late = world.counts().of(Kind::Late) > 0;
            if !(was_late && clean_run(world, &front, &workspace, day, true).await) {
                clean_run(world, &front, &workspace, day, false).await;
            }
        }
        sleep(2 * TTL).await;
    }
    promises::litter(world);
}

/// Whether it was well; it may be interrupted where it is to be run again.
async fn clean_run(
    world: &Arc<World>,
    front: &Front,
    workspace: &Workspace,
    day: u32,
    may_be_interrupted: bool,
) -> bool {
    let root = world.shape.root();
    world.tell(front.life(), || format!("runs {day}.{root}, cleanly"));
    let mut order = Order::new(front, workspace, (day, root), |runner| {
        runner.workers(4).run_log(true)
    });
    let result = timeout(CLEAN, order.start(world, false)).await;
    order.end();
    let Ok(result) = result.map(|results| results.map(|mut results| results.remove(0))) else {
        world.check(Promise::Ends, false, || {
            "a clean run does not end".to_owned()
        });
        return true;
    };
    let said = match &result {
        Ok(Ok(report)) => format!("well: {}", report.counts()),
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    };
    world.tell(front.life(), || said.clone());
    if may_be_interrupted && matches!(result, Ok(Err(RunError::Interrupted(_)))) {
        return false;
    }
    let Ok(Ok(report)) = &result else {
        world.check(Promise::CalmIsOk, false, || {
            format!("a clean run ends: {said}")
        });
        return true;
    };
    world.check(Promise::CalmIsOk, true, String::new);
    let is_there = |outcome: &Outcome| {
        matches!(
            outcome,
            Outcome::Complete | Outcome::Ran(_) | Outcome::CompletedByOther | Outcome::NotNeeded
        )
    };
    let all = report.tasks().all(|task| is_there(task.outcome));
    world.check(Promise::Outcomes, all, || {
        format!("a clean run ends well: {}", report.counts())
    });
    let (is_right, found) = {
        let objects = world.objects();
        let there = objects.get(world.path(day, root));
        (
            there.is_some_and(|there| there.bytes == world.value(day, root)),
            there.map(|there| there.bytes.clone()),
        )
    };
    world.check(Promise::RightBytes, is_right, || {
        format!("the output of {day}.{root} is {found:?} after a clean run")
    });
    true
}

/// The same history without whatever it takes not to break that promise.
pub(super) fn shrink(settings: &Settings, broken: &Broken) -> History {
    let fails = |settings: &Settings| {
        let history = run(settings);
        let is_same = history
            .broken
            .as_ref()
            .is_some_and(|other| other.promise == broken.promise);
        is_same.then_some(history)
    };
    let mut least = settings.clone();
    for processes in 1..settings.processes {
        let fewer = Settings {
            processes,
            ..least.clone()
        };
        if fails(&fewer).is_some() {
            least = fewer;
            break;
        }
    }
    for kind in Kind::ALL {
        let allowed = least.allowed.without(*kind);
        let fewer = Settings {
            allowed,
            ..least.clone()
        };
        if fails(&fewer).is_some() {
            least = fewer;
        }
    }
    least.is_told = true;
    run(&least)
}
