//! One process: what it does between its start and its end, one run after the other, and what befalls it.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::faults::Kind;
use super::front::{Front, Mode, Trap};
use super::identity;
use super::order::{self, Order, Running};
use super::outcomes::{self, Ended};
use super::promises::Promise;
use super::world::{GRACE, World};

/// No run takes longer, whatever the store does.
const BOUND: Duration = Duration::from_hours(2);
/// How long a run may take to end after it was told to stop, beyond the grace.
const LEAVING: Duration = Duration::from_secs(2);

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

/// What befalls one run, and when.
struct Plan {
    fate: Fate,
    at: When,
}

/// When a fate strikes.
enum When {
    /// When the trap of the process is sprung.
    Trapped,
    After(Duration),
    Never,
}

impl Plan {
    fn draw(rng: &mut fastrand::Rng, world: &World) -> (Self, Option<Trap>) {
        let fate = Fate::draw(rng, world);
        // The first requests claim and look; the later ones publish and leave.
        let number = if rng.bool() {
            rng.u64(..16)
        } else {
            rng.u64(..90)
        };
        let trap = Trap {
            at: number,
            after: rng.bool(),
        };
        let (is_trapped, moment) = (rng.bool(), Duration::from_millis(rng.u64(..4_000)));
        let at = match fate {
            Fate::None => When::Never,
            _ if is_trapped => When::Trapped,
            _ => When::After(moment),
        };
        let trap = matches!(at, When::Trapped).then_some(trap);
        (Plan { fate, at }, trap)
    }

    async fn strikes(&self, front: &Front, started: Instant) {
        match self.at {
            When::Trapped => front.sprung().await,
            When::After(moment) => sleep_until(started + moment).await,
            When::Never => future::pending().await,
        }
    }
}

/// Lives from its start to its last run; gives what is left of it where it was killed.
pub(super) async fn live(world: Arc<World>, number: usize) -> Vec<(usize, Running)> {
    let mut rng = fastrand::Rng::with_seed(world.seed_of(1000 + number));
    let mut left = Vec::new();
    let mut front = Front::new(&world, world.next_life());
    let mut workspace = front.workspace();
    sleep(Duration::from_millis(rng.u64(..3_000))).await;
    for _ in 0..rng.u8(1..5) {
        let mut drawn = rng.fork();
        let mut order = order::draw(&mut drawn, &front, &workspace);
        let ended = run(&mut drawn, &front, &mut order).await;
        match ended {
            Ended::Killed(running) => {
                left.extend(running.map(|running| (front.life(), running)));
                // It comes back, as another.
                front = Front::new(&world, world.next_life());
                workspace = front.workspace();
            }
            Ended::Well if rng.u8(..4) > 0 => break,
            Ended::Well | Ended::Other => {}
            Ended::Stuck => break,
        }
        sleep(Duration::from_millis(rng.u64(100..4_000))).await;
    }
    left
}

/// Sees one run to its end, or to the end of its process.
async fn run(rng: &mut fastrand::Rng, front: &Front, order: &mut Order) -> Ended {
    let world = front.world();
    let before = world.counts();
    let (mut plan, trap) = Plan::draw(rng, world);
    let fate = plan.fate;
    front.set_trap(trap);
    let has_twin = rng.u8(..4) == 0 && world.may(Kind::Twins);
    let ((day, at), deadline) = (order.root, order.deadline);
    world.tell(front.life(), || {
        format!("runs {day}.{at}, deadline {deadline:?}")
    });
    let started = Instant::now();
    let mut bound = started + deadline.map_or(BOUND, |deadline| deadline + GRACE + LEAVING);
    let mut running = order.start(world, has_twin);
    let result = loop {
        tokio::select! {
            biased;
            result = &mut running => break result,
            () = plan.strikes(front, started) => {}
            () = sleep_until(bound) => {
                let taken = started.elapsed().as_secs_f64();
                world.check(Promise::Ends, false, || {
                    format!("p{} runs {day}.{at} since {taken:.1} s", front.life())
                });
                return Ended::Stuck;
            }
        }
        plan.at = When::Never;
        if let Some(kind) = fate.kind() {
            world.count(kind);
            world.tell(front.life(), || format!("{fate:?}"));
        }
        match fate {
            Fate::Paused(time) => {
                front.set(Mode::Paused);
                sleep(time).await;
                bound += time;
            }
            Fate::Stopped => {
                order.stop.stop();
                bound = bound.min(Instant::now() + GRACE + LEAVING);
            }
            _ => return end(front, order, fate, running).await,
        }
        front.set(Mode::Up);
    };
    front.set_trap(None);
    front.set(Mode::Up);
    world.check(Promise::Ends, true, String::new);
    order.end();
    outcomes::check(world, front.life(), order, fate, &before, result)
}

/// Ends a run from outside, and its process with it unless it is only dropped.
async fn end(front: &Front, order: &Order, fate: Fate, running: Running) -> Ended {
    let world = front.world();
    if fate == Fate::Dropped {
        running.abort();
        let _ = running.await;
        order.end();
        front.set(Mode::Up);
        return Ended::Other;
    }
    front.set(Mode::Dead);
    world.died(front.life());
    if fate == Fate::Killed {
        return Ended::Killed(Some(running));
    }
    identity::exits(front.life());
    running.abort();
    let _ = running.await;
    Ended::Killed(None)
}
