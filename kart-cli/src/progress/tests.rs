//! What is shown of a run whose clock stands still unless all wait.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kart::{Context, Runner, Workspace, task};
use kart_core::Event;

use super::bars::{block, rounded};
use super::screen::Size;
use super::tally::Tally;

const WIDE: Size = Size {
    rows: 24,
    columns: 100,
};

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Takes ten seconds.
#[task]
async fn leaf(n: u32) -> kart::Result<u32> {
    tokio::time::sleep(Duration::from_secs(10)).await;
    Ok(n)
}

/// Needs six.
#[task]
async fn tree(#[requires((0..6).map(|n| Leaf { n }))] leaves: Vec<u32>) -> kart::Result<usize> {
    Ok(leaves.len())
}

/// Says how far it is, in letters that take two columns.
#[task]
async fn speaks(name: &str, #[context] cx: &Context) -> kart::Result<usize> {
    cx.progress(3, 10);
    cx.message("読み込み\nagain");
    tokio::time::sleep(Duration::from_secs(61)).await;
    Ok(name.len())
}

/// What `look` makes of a run at each event.
async fn looks<T: kart::Task, L: Send + 'static>(
    root: T,
    workers: usize,
    workspace: &Workspace,
    look: impl Fn(&Event<'_>, &Tally) -> Option<L> + Send + Sync + 'static,
) -> Vec<L> {
    let state = Arc::new(Mutex::new((None::<Tally>, Vec::new())));
    let shared = Arc::clone(&state);
    let runner = Runner::new(workspace)
        .workers(workers)
        .on_event(move |event| {
            let (tally, looks) = &mut *shared.lock().unwrap();
            match tally {
                None => *tally = Tally::begin(event, now()),
                Some(tally) => tally.take(event, now()),
            }
            let tally = tally.as_mut().unwrap();
            tally.sample(now());
            looks.extend(look(event, tally));
        });
    runner.run(root).await.unwrap();
    let mut state = state.lock().unwrap();
    std::mem::take(&mut state.1)
}

fn to_go(event: &Event<'_>, tally: &Tally) -> Option<String> {
    let at = match event {
        Event::Planned { .. } => "planned",
        Event::Finished { .. } => "finished",
        _ => return None,
    };
    let left = tally.time_left(now());
    let left = left.map_or_else(|| "unknown".to_owned(), rounded);
    Some(format!("{at}, {} left, {left}", tally.left()))
}

#[tokio::test(start_paused = true)]
async fn the_time_that_is_left_is_known_once_something_has_run() {
    let workspace = Workspace::open("memory://").unwrap();
    let first = looks(Tree, 2, &workspace, to_go).await;
    // The tree itself is unknown, and counts as one that takes as long as the leaves did.
    assert_eq!(
        first,
        [
            "planned, 7 left, unknown",
            "finished, 5 left, 25s",
            "finished, 4 left, 25s",
            "finished, 3 left, 15s",
            "finished, 2 left, 15s",
            "finished, 1 left, 10s",
            "finished, 1 left, 10s",
            "finished, 0 left, 1s",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn past_runs_tell_how_long_a_run_takes_before_anything_has_run() {
    let workspace = Workspace::open("memory://").unwrap();
    looks(Leaf { n: 0 }, 1, &workspace, to_go).await;
    let second = looks(Leaf { n: 1 }, 1, &workspace, to_go).await;
    assert_eq!(second, ["planned, 1 left, 10s", "finished, 0 left, 1s"]);
}

#[tokio::test(start_paused = true)]
async fn the_bar_and_the_tasks_fit_the_terminal() {
    let workspace = Workspace::open("memory://").unwrap();
    let blocks = looks(Tree, 4, &workspace, |event, tally| {
        let is_late = matches!(event, Event::Finished { .. });
        is_late.then(|| block(tally, WIDE, false, now() + Duration::from_secs(1)))
    })
    .await;
    let second = &blocks[1];
    let bar = format!("{}{}", "━".repeat(11), "─".repeat(29));
    assert_eq!(
        second[0],
        format!("{bar}  2/7 done · 3 running · 2 left · 0.2/s · 10s to go")
    );
    assert_eq!(
        second[1..],
        [
            "⠋  11.0s  Leaf { n: 2 }",
            "⠋  11.0s  Leaf { n: 3 }",
            "⠋   1.0s  Leaf { n: 4 }"
        ]
    );

    let narrow = Size {
        rows: 6,
        columns: 30,
    };
    let blocks = looks(
        Tree,
        6,
        &Workspace::open("memory://").unwrap(),
        move |event, tally| {
            let is_first = matches!(event, Event::Finished { .. }) && tally.done == 1;
            is_first.then(|| block(tally, narrow, false, now()))
        },
    )
    .await;
    assert_eq!(
        blocks[0],
        [
            "1/7 done · 0.1/s · 10s to go",
            "⠋  10.0s  Leaf { n: 1 }",
            "… and 4 more running"
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_body_says_is_cut_by_the_columns_that_it_takes() {
    let name = "a name that is too long for a line that is as short as this one";
    let task = Speaks { name: name.into() };
    let workspace = Workspace::open("memory://").unwrap();
    let lines = looks(task, 1, &workspace, |event, tally| {
        let size = Size {
            rows: 24,
            columns: 60,
        };
        let is_told = matches!(
            event,
            Event::Progress {
                message: Some(_),
                ..
            }
        );
        is_told.then(|| block(tally, size, false, now()))
    })
    .await;
    let line = &lines[0][1];
    assert_eq!(
        line,
        "⠋  1m01s  Speaks { name: \"a name …  ━━━─────── 3/10 読み込…"
    );
    assert!(console::measure_text_width(line) < 60);
}
