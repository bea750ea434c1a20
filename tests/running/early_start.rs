//! What runs while the survey still asks: in a deep graph, in a store where each request takes its time.

use std::time::Duration;

use kart::{Context, Coordination, Event, RunError, Runner, Workspace, task};
use tokio::time::Instant;

use crate::common::{Busy, LATENCY, Log, unless_stuck};

/// How many levels the graph has, and so how many requests its survey takes one after the other.
const DEPTH: u32 = 100;
const SURVEY: Duration = LATENCY.saturating_mul(DEPTH);

/// When a test began.
struct Began(Instant);

impl Began {
    fn now() -> Self {
        Began(Instant::now())
    }

    fn note(&self, log: &Log, what: impl std::fmt::Display) {
        log.note(format!("{what} at {}", self.0.elapsed().as_millis()));
    }
}

/// When each that was noted began, in milliseconds.
fn times(log: &Log, what: &str) -> Vec<u128> {
    let notes = log.all();
    let mut parts = notes.iter().filter_map(|note| note.split_once(" at "));
    let of_it = parts.by_ref().filter(|(who, _)| who.starts_with(what));
    of_it.map(|(_, when)| when.parse().unwrap()).collect()
}

#[task]
async fn base(n: u32) -> kart::Result<u32> {
    Ok(n)
}

/// Beside each level: an odd one requires something.
#[task]
async fn side(
    n: u32,
    #[requires((n % 2 == 1).then_some(Base { n }))] base: Option<u32>,
    #[resource] log: &Log,
    #[resource] began: &Began,
) -> kart::Result<u32> {
    began.note(log, format!("side {n}"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(n + base.map_or(0, |base| base - n))
}

#[task]
async fn level(
    n: u32,
    #[requires((n > 0).then(|| Level { n: n - 1 }))] below: Option<u32>,
    #[requires(Side { n })] side: u32,
    #[resource] log: &Log,
    #[resource] began: &Began,
) -> kart::Result<u32> {
    began.note(log, format!("level {n}"));
    Ok(below.unwrap_or(0) + side)
}

const SUM: u32 = DEPTH * (DEPTH - 1) / 2;

fn root() -> Level {
    Level { n: DEPTH - 1 }
}

fn runner(workspace: &Workspace, log: &Log) -> Runner {
    Runner::new(workspace)
        .workers(4)
        .resource(log.clone())
        .resource(Began::now())
}

/// A store in which what the odd sides require is there.
async fn deep() -> (Busy, Workspace) {
    let store = Busy::new();
    let workspace = store.workspace();
    let bases = (0..DEPTH).filter(|n| n % 2 == 1);
    let bases = bases.map(|n| Base { n }.into());
    Runner::new(&workspace)
        .run_log(false)
        .run_all(bases)
        .await
        .unwrap();
    (store, workspace)
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_nothing_runs_while_deeper_levels_are_asked_about() {
    let (_, workspace) = deep().await;
    let (log, heard) = (Log::default(), Log::default());
    let seen = heard.clone();
    let runner = runner(&workspace, &log).on_event(move |event| match event {
        Event::Planned { missing, .. } => seen.note(format!("planned {missing}")),
        Event::Started { task, .. } => seen.note(format!("started {}", task.description())),
        Event::Finished { task, .. } => seen.note(format!("finished {}", task.description())),
        _ => {}
    });
    let report = unless_stuck(runner.run(root())).await.unwrap();
    assert_eq!(report.output(&root()).await.unwrap(), SUM);
    assert_eq!(report.counts().ran, 2 * DEPTH as usize);
    let sides = times(&log, "side");
    assert_eq!(sides.len(), DEPTH as usize, "each once");
    let early = sides.iter().filter(|when| **when < SURVEY.as_millis());
    let most = 4 * SURVEY.as_millis() / 300;
    let early = early.count();
    assert!(
        early as u128 > most / 2,
        "{early} of at most {most}: {sides:?}"
    );
    let notes = log.all();
    let is_early_odd = |note: &String| {
        let (what, when) = note.split_once(" at ").unwrap();
        let n: Option<u32> = what.strip_prefix("side ").and_then(|n| n.parse().ok());
        n.is_some_and(|n| n % 2 == 1) && when.parse::<u128>().unwrap() < SURVEY.as_millis()
    };
    assert!(notes.iter().any(is_early_odd), "what it requires is there");

    let heard = heard.all();
    assert_eq!(
        heard[0],
        format!("planned {}", 2 * DEPTH),
        "it is told first"
    );
    let place = |what: String| heard.iter().position(|heard| *heard == what).unwrap();
    for n in 0..DEPTH {
        assert!(
            place(format!("started Side {{ n: {n} }}"))
                < place(format!("finished Side {{ n: {n} }}"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_survey_that_is_soon_over_starts_nothing_before_its_end() {
    let store = Busy::new();
    let workspace = store.workspace();
    let log = Log::default();
    let runner = runner(&workspace, &log).workers(1);
    unless_stuck(runner.run(Level { n: 3 })).await.unwrap();
    // What is furthest down goes first, as only the whole schedule knows.
    let notes = log.all();
    assert!(notes[0].starts_with("side 0"), "{notes:?}");
}

#[derive(Debug)]
struct Missing;

#[task]
async fn bottom(#[resource] _missing: &Missing, below: u32) -> kart::Result<u32> {
    Ok(below)
}

#[task]
async fn lacking(
    n: u32,
    #[requires((n > 0).then(|| Lacking { n: n - 1 }))] above: Option<u32>,
    #[requires((n == 0).then_some(Bottom { below: 1 }))] bottom: Option<u32>,
    #[requires(Side { n: 2 * n })] side: u32,
) -> kart::Result<u32> {
    Ok(above.or(bottom).unwrap_or(0) + side)
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_of_a_graph_that_lacks_something() {
    let workspace = Busy::new().workspace();
    let log = Log::default();
    let run = unless_stuck(runner(&workspace, &log).run(Lacking { n: 50 })).await;
    assert!(matches!(run, Err(RunError::Resources(_))), "{run:?}");
    assert!(log.all().is_empty(), "{:?}", log.all());
}

#[tokio::test(start_paused = true)]
async fn runs_that_share_a_graph_make_each_task_once_also_before_their_surveys_end() {
    let (store, _) = deep().await;
    let log = Log::default();
    let runs = (0..3).map(|_| {
        let runner = runner(&store.workspace(), &log).coordination(Coordination::Shared);
        async move { runner.run(root()).await.unwrap().counts() }
    });
    let counts = unless_stuck(futures_util::future::join_all(runs)).await;
    let ran: usize = counts.iter().map(|counts| counts.ran).sum();
    assert_eq!(ran, 2 * DEPTH as usize, "{counts:?}");
    assert_eq!(log.all().len(), 2 * DEPTH as usize, "each once");
    let early = times(&log, "side");
    assert!(early.iter().any(|when| *when < SURVEY.as_millis()));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_during_its_survey_stops_what_it_has_begun() {
    let (_, workspace) = deep().await;
    let log = Log::default();
    let cut = {
        let runner = runner(&workspace, &log);
        tokio::time::timeout(SURVEY / 2, runner.run(root())).await
    };
    assert!(cut.is_err());
    let begun = log.all().len();
    assert!(begun > 0);
    let made = || async { workspace.list("early_start/Side").await.unwrap().len() };
    let made_then = made().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((log.all().len(), made().await), (begun, made_then));
    assert!(made_then < begun, "{made_then} of {begun}");
    let report = unless_stuck(runner(&workspace, &log).run(root()))
        .await
        .unwrap();
    assert_eq!(report.counts().ran, 2 * DEPTH as usize - made_then);
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_once_the_run_is_to_stop() {
    let (_, workspace) = deep().await;
    let log = Log::default();
    let runner = runner(&workspace, &log).deadline(SURVEY / 2);
    let run = unless_stuck(runner.run(root())).await;
    let Err(RunError::Interrupted(report)) = run else {
        panic!("expected an interruption");
    };
    let sides = times(&log, "side");
    assert!(!sides.is_empty());
    assert!(
        sides.iter().all(|when| *when <= (SURVEY / 2).as_millis()),
        "{sides:?}"
    );
    assert!(report.counts().ran > 0, "{:?}", report.counts());
}

#[task]
async fn patient(
    n: u32,
    #[resource] log: &Log,
    #[resource] began: &Began,
    #[context] cx: &Context,
) -> kart::Result<u32> {
    cx.stopped().await;
    began.note(log, "told");
    Ok(n)
}

#[task]
async fn slope(
    n: u32,
    #[requires((n > 0).then(|| Slope { n: n - 1 }))] below: Option<u32>,
    #[requires(Patient { n })] patient: u32,
) -> kart::Result<u32> {
    Ok(below.unwrap_or(0) + patient)
}

#[tokio::test(start_paused = true)]
async fn bodies_are_told_to_stop_before_the_survey_has_ended() {
    let workspace = Busy::new().workspace();
    let log = Log::default();
    let runner = runner(&workspace, &log).deadline(SURVEY / 2);
    let run = unless_stuck(runner.run(Slope { n: DEPTH - 1 })).await;
    assert!(matches!(run, Err(RunError::Interrupted(_))), "{run:?}");
    let told = times(&log, "told");
    assert_eq!(told.len(), 4, "{told:?}");
    let soon = SURVEY / 2 + LATENCY;
    assert!(
        told.iter().all(|when| *when <= soon.as_millis()),
        "{told:?}"
    );
}

/// Fails, asks, and asks in vain, each early.
#[task]
async fn restless(n: u32, #[context] cx: &Context) -> anyhow::Result<u32> {
    if n.is_multiple_of(3) {
        anyhow::bail!("{n} is a multiple of three");
    }
    Ok(*cx.get(Base { n: n / 3 }).await?)
}

#[task]
async fn stair(
    n: u32,
    #[requires((n > 0).then(|| Stair { n: n - 1 }))] below: Option<u32>,
    #[requires(Restless { n })] restless: u32,
) -> kart::Result<u32> {
    Ok(below.unwrap_or(0) + restless)
}

#[tokio::test(start_paused = true)]
async fn what_fails_or_asks_before_the_run_begins_does_so_within_it() {
    let workspace = Busy::new().workspace();
    let log = Log::default();
    let runner = runner(&workspace, &log).workers(8);
    let run = unless_stuck(runner.run(Stair { n: 59 })).await;
    let Err(RunError::Failed(report)) = run else {
        panic!("expected failures");
    };
    let counts = report.counts();
    assert_eq!(
        (counts.failed, counts.ran, counts.blocked),
        (20, 40 + 20, 60)
    );
}
