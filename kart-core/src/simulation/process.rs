//! One process: what it does between its start and its end, one run after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::bodies;
use super::faults::Kind;
use super::front::{Front, Mode, Trap};
use super::notes::{Attempt, Run};
use super::outcomes::{self, Ended};
use super::promises::{self, Promise};
use super::world::{GRACE, TTL, World};
use crate::{Report, RunError, RunId, Runner, StopToken, Workspace};

/// No run takes longer, whatever the store does.
const BOUND: Duration = Duration::from_hours(2);
/// How long a run may take to end after it was told to stop, beyond the grace.
const LEAVING: Duration = Duration::from_secs(2);

/// What bodies know of the process that they run in.
#[derive(Clone)]
pub(super) struct Process {
    front: Front,
    run: usize,
}

/// An attempt of a body, as long as the body is not through.
pub(super) struct Under {
    world: Arc<World>,
    index: usize,
}

impl Process {
    pub(super) fn world(&self) -> &Arc<World> {
        self.front.world()
    }

    pub(super) fn life(&self) -> usize {
        self.front.life()
    }

    pub(super) async fn up(&self) {
        self.front.up().await;
    }

    pub(super) async fn sleep(&self, time: Duration) {
        sleep(time).await;
        self.up().await;
    }

    pub(super) fn begin(&self, day: u32, at: u32) -> Under {
        let world = self.world();
        let attempt = Attempt {
            life: self.life(),
            run: self.run,
            day,
            at,
            begun: world.now(),
            is_over: false,
            has_failed: false,
        };
        world.tell(self.life(), || format!("{day}.{at} begins"));
        promises::begins(world, attempt, self.run);
        let mut notes = world.notes();
        notes.attempts.push(attempt);
        Under {
            world: Arc::clone(world),
            index: notes.attempts.len() - 1,
        }
    }
}

impl Under {
    /// Which attempt of the task it is in the whole history.
    pub(super) fn number(&self) -> u32 {
        let notes = self.world.notes();
        let mine = notes.attempts[self.index];
        let same = notes
            .attempts
            .iter()
            .filter(|other| (other.day, other.at) == (mine.day, mine.at));
        u32::try_from(same.count()).unwrap_or(u32::MAX)
    }

    pub(super) fn fails(&self) {
        self.world.notes().attempts[self.index].has_failed = true;
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        let mut notes = self.world.notes();
        let attempt = &mut notes.attempts[self.index];
        // A process that is dead ended all of them.
        if !std::mem::replace(&mut attempt.is_over, true) {
            let attempt = *attempt;
            drop(notes);
            self.world.tell(attempt.life, || {
                format!("{}.{} ends", attempt.day, attempt.at)
            });
        }
    }
}

/// What befalls a run from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    None,
    Killed,
    KilledHere,
    Paused(Duration),
    Dropped,
    Stopped,
}

impl Fate {
    fn kind(self) -> Option<Kind> {
        Some(match self {
            Fate::None => return None,
            Fate::Killed => Kind::Killed,
            Fate::KilledHere => Kind::KilledHere,
            Fate::Paused(_) => Kind::Paused,
            Fate::Dropped => Kind::Dropped,
            Fate::Stopped => Kind::Stopped,
        })
    }

    fn draw(rng: &mut fastrand::Rng, world: &World) -> Self {
        let pause = Duration::from_millis(rng.u64(200..20_000));
        let fate = match rng.u8(..10) {
            0 | 1 => Fate::Killed,
            2 => Fate::KilledHere,
            3 | 4 => Fate::Paused(pause),
            5 => Fate::Dropped,
            6 => Fate::Stopped,
            _ => Fate::None,
        };
        match fate.kind() {
            Some(kind) if world.may(kind) => fate,
            _ => Fate::None,
        }
    }
}

/// The run of an order, and its twin where it has one.
pub(super) type Running = JoinHandle<Vec<Result<Report, RunError>>>;

/// What a run is asked for.
pub(super) struct Order {
    pub(super) runner: Runner,
    pub(super) run: usize,
    pub(super) root: (u32, u32),
    pub(super) stop: StopToken,
    pub(super) deadline: Option<Duration>,
}

impl Order {
    pub(super) fn new(
        front: &Front,
        root: (u32, u32),
        configure: impl FnOnce(Runner) -> Runner,
    ) -> Self {
        let world = front.world();
        let stop = StopToken::new();
        let workspace = Workspace::from_store(Arc::new(front.clone()), "");
        let mut notes = world.notes();
        notes.runs.push(Run {
            life: front.life(),
            root,
            begun: world.now(),
            ended: None,
            is_over: false,
        });
        let run = notes.runs.len() - 1;
        drop(notes);
        let process = Process {
            front: front.clone(),
            run,
        };
        let runner = Runner::new(&workspace)
            .coordination(world.coordination)
            .ttl(TTL)
            .grace(GRACE)
            .limit("gpu", 1)
            .resource(process)
            .run_log(false)
            .run_id(run_id(run))
            .stop(&stop);
        Order {
            runner: configure(runner),
            run,
            root,
            stop,
            deadline: None,
        }
    }

    pub(super) fn start(&self, world: &Arc<World>, has_twin: bool) -> Running {
        let runner = self.runner.clone();
        let task = bodies::task(world.settings.seed, self.root.0, self.root.1);
        let task = move || [task.clone()];
        tokio::spawn(async move {
            if has_twin {
                // Its name in the log is its own.
                let twin = runner.clone().run_id(RunId::now());
                let (one, other) = tokio::join!(runner.run_all(task()), twin.run_all(task()));
                vec![one, other]
            } else {
                vec![runner.run_all(task()).await]
            }
        })
    }
}

/// What names a run: in order, and the same each time.
fn run_id(run: usize) -> RunId {
    let name = format!("01900000-{run:04x}-7000-8000-000000000000");
    name.parse().expect("it is a UUID of version 7")
}

/// Lives from its start to its last run; gives what is left of it where it was killed.
pub(super) async fn live(world: Arc<World>, number: usize) -> Vec<Running> {
    let mut rng = fastrand::Rng::with_seed(world.seed_of(1000 + number));
    let mut left = Vec::new();
    let mut front = Front::new(&world, world.next_life());
    sleep(Duration::from_millis(rng.u64(..3_000))).await;
    for _ in 0..rng.u8(1..5) {
        let mut drawn = rng.fork();
        let order = order(&mut drawn, &front);
        let ended = run(&mut drawn, &front, &order).await;
        match ended {
            Ended::Killed(running) => {
                left.extend(running);
                // It comes back, as another.
                front = Front::new(&world, world.next_life());
            }
            Ended::Well if rng.u8(..4) > 0 => break,
            Ended::Well | Ended::Other => {}
            Ended::Stuck => break,
        }
        sleep(Duration::from_millis(rng.u64(100..4_000))).await;
    }
    left
}

fn order(rng: &mut fastrand::Rng, front: &Front) -> Order {
    let world = front.world();
    let (day, at) = (rng.u32(..world.days), rng.u32(..=world.shape.root()));
    let is_other = rng.bool();
    let at = if world.may(Kind::Roots) && is_other {
        at
    } else {
        world.shape.root()
    };
    let (workers, wait, memory) = (rng.usize(1..5), rng.u64(..20_000), rng.usize(..64));
    let (waits, deadline, again) = (rng.bool(), rng.u64(200..6_000), rng.u8(..3));
    let (has_deadline, fails_fast, logs, is_small) =
        (rng.u8(..3) == 0, rng.bool(), rng.bool(), rng.bool());
    let has_deadline = world.may(Kind::Deadline) && has_deadline;
    let deadline = has_deadline.then(|| Duration::from_millis(deadline));
    let mut order = Order::new(front, (day, at), |mut runner| {
        runner = runner
            .workers(workers)
            .fail_fast(world.may(Kind::FailFast) && fails_fast)
            .run_log(world.may(Kind::Logs) && logs);
        if waits {
            runner = runner.wait(Duration::from_millis(wait));
        }
        if is_small {
            runner = runner.memory_budget(memory);
        }
        if let Some(deadline) = deadline {
            world.count(Kind::Deadline);
            runner = runner.deadline(deadline);
        }
        if world.may(Kind::Reruns) && again == 0 {
            world.count(Kind::Reruns);
            runner = runner.rerun_all();
        }
        runner
    });
    order.deadline = deadline;
    order
}

/// Sees one run to its end, or to the end of its process.
async fn run(rng: &mut fastrand::Rng, front: &Front, order: &Order) -> Ended {
    let world = front.world();
    let before = world.counts();
    let fate = Fate::draw(rng, world);
    let trap = Trap {
        at: rng.u64(..40),
        after: rng.bool(),
    };
    let (is_trapped, moment) = (rng.bool(), Duration::from_millis(rng.u64(..4_000)));
    front.set_trap((is_trapped && fate != Fate::None).then_some(trap));
    world.tell(front.life(), || {
        format!(
            "runs {}.{}, deadline {:?}",
            order.root.0, order.root.1, order.deadline
        )
    });
    let started = Instant::now();
    let has_twin = rng.u8(..4) == 0 && world.may(Kind::Twins);
    if has_twin {
        world.count(Kind::Twins);
    }
    let mut running = order.start(world, has_twin);
    let mut bound = started
        + order
            .deadline
            .map_or(BOUND, |deadline| deadline + GRACE + LEAVING);
    let mut fate_left = fate;
    let result = loop {
        let strikes = async {
            match (fate_left, is_trapped) {
                (Fate::None, _) => std::future::pending().await,
                (_, true) => front.sprung().await,
                (_, false) => sleep_until(started + moment).await,
            }
        };
        tokio::select! {
            biased;
            result = &mut running => break result,
            () = strikes => {}
            () = sleep_until(bound) => {
                world.check(Promise::Ends, false, || format!("p{} runs {}.{} since {:.1} s", front.life(), order.root.0, order.root.1, started.elapsed().as_secs_f64()));
                return Ended::Stuck;
            }
        }
        if let Some(kind) = fate.kind() {
            world.count(kind);
            world.tell(front.life(), || {
                format!(
                    "is {kind} {}",
                    if let Fate::Paused(time) = fate {
                        format!("for {time:?}")
                    } else {
                        String::new()
                    }
                )
            });
        }
        fate_left = Fate::None;
        match fate {
            Fate::Killed => {
                front.set(Mode::Dead);
                world.died(front.life());
                return Ended::Killed(Some(running));
            }
            Fate::KilledHere => {
                front.set(Mode::Dead);
                world.died(front.life());
                running.abort();
                let _ = running.await;
                return Ended::Killed(None);
            }
            Fate::Paused(time) => {
                front.set(Mode::Paused);
                sleep(time).await;
                bound += time;
            }
            Fate::Dropped => {
                running.abort();
                let _ = (&mut running).await;
                world.ended(order.run);
                front.set(Mode::Up);
                return Ended::Other;
            }
            Fate::Stopped => {
                order.stop.stop();
                bound = bound.min(Instant::now() + GRACE + LEAVING);
            }
            Fate::None => {}
        }
        front.set(Mode::Up);
    };
    front.set_trap(None);
    front.set(Mode::Up);
    world.check(Promise::Ends, true, String::new);
    world.ended(order.run);
    outcomes::check(world, front.life(), order, fate, &before, result)
}
