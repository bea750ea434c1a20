//! The tasks of the simulation: one for each kind, all of which do what the graph of their seed says.

use std::time::Duration;

use super::facade::{AnyTask, BoxError, Context, Dep, Error, interrupted, task};
use super::faults::Kind;
use super::graph::{Fault, Flavor, Move, mix, shape};
use super::process::Process;
use super::promises::Promise;

/// What a task requires.
fn below(seed: u64, day: u32, at: u32) -> Vec<Dep<u64>> {
    let shape = shape(seed);
    let requires = shape.nodes[at as usize].requires.iter();
    requires
        .map(|at| dep(shape.nodes[*at as usize].flavor, seed, day, *at))
        .collect()
}

macro_rules! tasks {
    ($($flavor:ident),*) => {
        fn dep(flavor: Flavor, seed: u64, day: u32, at: u32) -> Dep<u64> {
            match flavor { $(Flavor::$flavor => $flavor { seed, day, at }.into(),)* }
        }

        /// The task of a node.
        pub(super) fn task(seed: u64, day: u32, at: u32) -> AnyTask {
            match shape(seed).nodes[at as usize].flavor {
                $(Flavor::$flavor => $flavor { seed, day, at }.into(),)*
            }
        }

        async fn get(cx: &Context, seed: u64, day: u32, at: u32) -> Result<u64, Error> {
            match shape(seed).nodes[at as usize].flavor {
                $(Flavor::$flavor => cx.get($flavor { seed, day, at }).await.map(|value| *value),)*
            }
        }
    };
}

tasks!(Keyed, Retried, Limited, Plain, PlainRetried, Named);

#[task(crate = crate::simulation::facade)]
async fn keyed(
    seed: u64,
    day: u32,
    at: u32,
    #[requires(below(seed, day, at))] inputs: Vec<u64>,
    #[resource] process: &Process,
    #[context] cx: &Context,
) -> Result<u64, BoxError> {
    act(cx, process, (seed, day, at), inputs).await
}

#[task(crate = crate::simulation::facade, retries = 2, backoff = "200ms", timeout = "3s")]
async fn retried(
    seed: u64,
    day: u32,
    at: u32,
    #[requires(below(seed, day, at))] inputs: Vec<u64>,
    #[resource] process: &Process,
    #[context] cx: &Context,
) -> Result<u64, BoxError> {
    act(cx, process, (seed, day, at), inputs).await
}

#[task(crate = crate::simulation::facade, path = "limited/{at}/{key}.json", uses(gpu = 1), priority = 1)]
async fn limited(
    seed: u64,
    day: u32,
    at: u32,
    #[requires(below(seed, day, at))] inputs: Vec<u64>,
    #[resource] process: &Process,
    #[context] cx: &Context,
) -> Result<u64, BoxError> {
    act(cx, process, (seed, day, at), inputs).await
}

#[task(crate = crate::simulation::facade)]
fn plain(
    seed: u64,
    day: u32,
    at: u32,
    #[requires(below(seed, day, at))] inputs: Vec<u64>,
    #[resource] process: &Process,
    #[context] cx: &Context,
) -> Result<u64, BoxError> {
    cx.block_on(act(cx, process, (seed, day, at), inputs))
}

#[task(crate = crate::simulation::facade, retries = 1, backoff = "200ms", timeout = "3s", uses(gpu = 1))]
fn plain_retried(
    seed: u64,
    day: u32,
    at: u32,
    #[requires(below(seed, day, at))] inputs: Vec<u64>,
    #[resource] process: &Process,
    #[context] cx: &Context,
) -> Result<u64, BoxError> {
    cx.block_on(act(cx, process, (seed, day, at), inputs))
}

#[task(crate = crate::simulation::facade, path = "latest/{at}.json")]
async fn named(
    seed: u64,
    day: u32,
    at: u32,
    #[requires(below(seed, day, at))] inputs: Vec<u64>,
    #[resource] process: &Process,
    #[context] cx: &Context,
) -> Result<u64, BoxError> {
    act(cx, process, (seed, day, at), inputs).await
}

/// Longer than any timeout.
const TOO_LONG: Duration = Duration::from_secs(20);

async fn act(
    cx: &Context,
    process: &Process,
    (seed, day, at): (u64, u32, u32),
    inputs: Vec<u64>,
) -> Result<u64, BoxError> {
    let world = process.world();
    process.up().await;
    let attempt = process.begin(day, at);
    let node = world.shape.nodes[at as usize].clone();
    let mut asked = Vec::new();
    for (place, step) in node.moves.iter().enumerate() {
        match step {
            Move::Sleep(time) => process.sleep(Duration::from_millis(*time)).await,
            Move::Step(name) => {
                let made = async {
                    process.sleep(Duration::from_millis(150)).await;
                    Ok::<_, Error>(*name)
                };
                let kept = cx.step(&format!("step {place}"), made).await?;
                world.check(Promise::RightBytes, kept == *name, || {
                    format!("step {place} of {day}.{at} gives {kept}")
                });
            }
            Move::Save(count) => save(cx, process, (day, at, place), *count).await?,
            Move::Map(count) => {
                let each = |item: u64| async move {
                    process.sleep(Duration::from_millis(100 + item * 50)).await;
                    Ok::<_, Error>(item * 3)
                };
                let name = format!("loop {place}");
                let looped = cx
                    .map(0..*count, each)
                    .named(name)
                    .concurrency(2)
                    .every(Duration::from_millis(200));
                let made = looped.await?;
                let is_right = made.iter().copied().eq((0..*count).map(|item| item * 3));
                world.check(Promise::RightBytes, is_right, || {
                    format!("the loop of {day}.{at} gives {made:?}")
                });
            }
            Move::Get {
                targets,
                at_once: true,
            } => {
                let getting = targets.iter().map(|target| get(cx, seed, day, *target));
                asked.extend(futures_util::future::try_join_all(getting).await?);
            }
            Move::Get {
                targets,
                at_once: false,
            } => {
                for target in targets {
                    asked.push(get(cx, seed, day, *target).await?);
                }
            }
            Move::Circle(target) => match get(cx, seed, day, *target).await {
                Ok(_) | Err(Error::Cycle { .. }) => {}
                Err(error) => return Err(error.into()),
            },
        }
    }
    if let Some((fault, times)) = node.fault
        && !world.is_healed()
        && attempt.number() <= times
    {
        attempt.fails();
        match fault {
            Fault::Fails => {
                world.count(Kind::Fails);
                return Err(if times == u32::MAX {
                    "fails for good, on purpose"
                } else {
                    "fails on purpose"
                }
                .into());
            }
            Fault::Panics => {
                world.count(Kind::Panics);
                // Not by the hook, which would print it.
                std::panic::resume_unwind(Box::new("panics on purpose"));
            }
            Fault::TimesOut => {
                world.count(Kind::TimesOut);
                process.sleep(TOO_LONG).await;
            }
            Fault::Interrupts => {
                world.count(Kind::Interrupts);
                return Err(interrupted().into());
            }
        }
    }
    Ok(mix(day, at, inputs.into_iter().chain(asked)))
}

async fn save(
    cx: &Context,
    process: &Process,
    place: (u32, u32, usize),
    count: u64,
) -> Result<(), Error> {
    let world = process.world();
    let name = format!("state {}", place.2);
    let restored = cx.restore::<u64>(&name).await?.unwrap_or(0);
    let (least, twice) = {
        let notes = world.notes();
        (
            notes.saved.get(&place).copied().unwrap_or(0),
            notes.double_work,
        )
    };
    let counts = world.counts();
    let is_excused = counts.of(Kind::Late) + counts.of(Kind::Paused) + twice > 0
        || world.kinds.has(Kind::Reruns);
    world.check(
        Promise::StateMovesForward,
        restored >= least || is_excused,
        || {
            format!(
                "p{} restores {restored} of {place:?}, of which {least} was saved",
                process.life()
            )
        },
    );
    for state in restored + 1..=count {
        process.sleep(Duration::from_millis(120)).await;
        cx.save(&name, &state).await?;
        world.notes().saved.insert(place, state);
        if cx.is_stopping() {
            return Err(interrupted().into());
        }
    }
    Ok(())
}
