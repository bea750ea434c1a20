//! Bodies that are other programs: `cx.command`.
#![cfg(unix)]

#[path = "common/capture.rs"]
mod capture;
#[path = "common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use capture::Capture;
use common::memory;
use kart::{Context, Error, RunError, Runner, StopToken, task};

const GRACE: Duration = Duration::from_millis(300);

/// Neither it nor what it starts ends when it is told to.
const DEAF: &str = "trap '' TERM; sleep 1000 & echo $$ $! >made; mv made pids; wait; sleep 1000";
/// Saves when it is told to end.
const TIDY: &str = "trap 'echo saved >state; exit 0' TERM; echo $$ >made; mv made pids; \
                    while :; do sleep 0.01; done";
/// Ends at once when it is told to; what it has started saves first.
const TIDY_BELOW: &str = "(trap 'sleep 0.1; echo saved >state; exit 0' TERM; echo $$ >made; mv made pids; \
                          while :; do sleep 0.01; done) & wait";

/// Runs a script in a directory, in which it writes its own process id and that of what it has started.
#[task]
async fn script(text: &str, directory: PathBuf, #[context] cx: &Context) -> kart::Result<u32> {
    let command = cx.command("sh").args(["-c", text]);
    command.current_dir(directory).run().await?;
    Ok(0)
}

#[task(timeout = "500ms")]
async fn hasty(text: &str, directory: PathBuf, #[context] cx: &Context) -> kart::Result<u32> {
    let command = cx.command("sh").args(["-c", text]);
    command.current_dir(directory).run().await?;
    Ok(0)
}

/// The same as a plain function.
#[task]
fn plain(text: &str, directory: PathBuf, #[context] cx: &Context) -> kart::Result<u32> {
    let command = cx.command("sh").args(["-c", text]);
    cx.block_on(command.current_dir(directory).run())?;
    Ok(0)
}

/// Waits until a script has written its process ids.
async fn pids(directory: &Path) -> Vec<u32> {
    loop {
        if let Ok(pids) = std::fs::read_to_string(directory.join("pids")) {
            return pids
                .split_whitespace()
                .map(|pid| pid.parse().unwrap())
                .collect();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until all of them have ended; a signal takes a moment.
async fn assert_gone(pids: &[u32]) {
    let since = Instant::now();
    while pids.iter().any(|pid| is_alive(*pid)) {
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "{pids:?} live on"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Nobody may have waited for a dead one yet.
fn is_alive(pid: u32) -> bool {
    let mut ps = std::process::Command::new("ps");
    let output = ps
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8(output.stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

/// Runs a task until its script has started, and stops the run; gives what the script's processes were.
async fn stopped(task: impl kart::Task, directory: &Path) -> (RunError, Vec<u32>) {
    let (workspace, stop) = (memory(), StopToken::new());
    let runner = Runner::new(&workspace).stop(&stop).grace(GRACE);
    let (stopped, pids) = tokio::join!(runner.run(task), async {
        let pids = pids(directory).await;
        stop.stop();
        pids
    });
    (stopped.unwrap_err(), pids)
}

fn deaf(directory: &Path) -> Script {
    Script {
        text: DEAF.to_owned(),
        directory: directory.to_owned(),
    }
}

#[tokio::test]
async fn a_command_and_what_it_has_started_are_gone_after_the_grace_of_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let (error, pids) = stopped(deaf(directory.path()), directory.path()).await;
    assert!(matches!(error, RunError::Interrupted(_)), "{error}");
    assert_eq!(pids.len(), 2);
    assert_gone(&pids).await;
}

#[tokio::test]
async fn a_command_of_a_plain_fn_is_gone_after_the_grace_of_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let plain = Plain {
        text: DEAF.to_owned(),
        directory: directory.path().to_owned(),
    };
    let (error, pids) = stopped(plain, directory.path()).await;
    assert!(matches!(error, RunError::Interrupted(_)), "{error}");
    assert_gone(&pids).await;
}

#[tokio::test]
async fn a_command_and_what_it_has_started_are_gone_after_a_timeout() {
    for text in [DEAF, TIDY] {
        let (workspace, directory) = (memory(), tempfile::tempdir().unwrap());
        let runner = Runner::new(&workspace).grace(GRACE);
        let hasty = Hasty {
            text: text.to_owned(),
            directory: directory.path().to_owned(),
        };
        let (failed, pids) = tokio::join!(runner.run(hasty), pids(directory.path()));
        let error = format!("{:#}", failed.unwrap_err());
        assert!(error.contains("timed out after 500ms"), "{error}");
        assert_gone(&pids).await;
        assert_eq!(directory.path().join("state").exists(), text == TIDY);
    }
}

#[tokio::test]
async fn a_command_and_what_it_has_started_are_gone_after_a_dropped_run() {
    let (workspace, directory) = (memory(), tempfile::tempdir().unwrap());
    let runner = Runner::new(&workspace).grace(Duration::from_hours(1));
    let run = runner.run(deaf(directory.path()));
    let pids = tokio::select! {
        run = run => unreachable!("{run:?}"),
        pids = pids(directory.path()) => pids,
    };
    assert_gone(&pids).await;
}

#[tokio::test]
async fn a_command_is_told_to_end_and_may_save_and_is_not_taken_for_one_that_succeeded() {
    for text in [TIDY, TIDY_BELOW] {
        let directory = tempfile::tempdir().unwrap();
        let tidy = Script {
            text: text.to_owned(),
            directory: directory.path().to_owned(),
        };
        let (error, pids) = stopped(tidy, directory.path()).await;
        assert!(matches!(error, RunError::Interrupted(_)), "{error}");
        assert_gone(&pids).await;
        let state = std::fs::read_to_string(directory.path().join("state"));
        assert_eq!(state.unwrap(), "saved\n");
    }
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_gone_with_it() {
    let (workspace, directory) = (memory(), tempfile::tempdir().unwrap());
    let script = Script {
        text: "sleep 1000 & echo $! >pids".to_owned(),
        directory: directory.path().to_owned(),
    };
    let runner = Runner::new(&workspace).grace(GRACE);
    runner.run(script).await.unwrap();
    assert_gone(&pids(directory.path()).await).await;
}

/// Gives up on its command, and goes on.
#[task]
async fn impatient(directory: PathBuf, #[context] cx: &Context) -> anyhow::Result<u32> {
    let command = cx.command("sh").args(["-c", DEAF]).current_dir(&directory);
    let pids = tokio::select! {
        ended = command.run() => anyhow::bail!("{ended:?}"),
        pids = pids(&directory) => pids,
    };
    tokio::time::sleep(GRACE).await;
    assert_gone(&pids).await;
    Ok(1)
}

#[tokio::test]
async fn a_command_that_is_dropped_is_gone_after_the_grace() {
    let (workspace, directory) = (memory(), tempfile::tempdir().unwrap());
    let runner = Runner::new(&workspace).grace(GRACE);
    let directory = directory.path().to_owned();
    runner.run(Impatient { directory }).await.unwrap();
}

#[tokio::test]
async fn a_command_that_fails_names_itself_its_status_and_its_last_lines() {
    let (workspace, directory) = (memory(), tempfile::tempdir().unwrap());
    let script = Script {
        text: "for n in 1 2 3 4 5 6 7 8 9; do echo line $n >&2; done; exit 3".to_owned(),
        directory: directory.path().to_owned(),
    };
    let error = Runner::new(&workspace).run(script).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("`sh` ended with exit status: 3: line 2\n"),
        "{error}"
    );
    assert!(error.contains("line 9"), "{error}");
}

/// Asks a program for its output.
#[task]
async fn output(
    program: &str,
    #[param(secret)] token: &str,
    #[context] cx: &Context,
) -> kart::Result<String> {
    let script = "printf 'one\\rtwo\\n' >&2; echo \"the token is $TOKEN\" >&2; echo \"$TOKEN\"";
    let command = cx.command(program).args(["-c", script]).env("TOKEN", token);
    let output = command.output().await?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

fn output_of(program: &str) -> Output {
    Output {
        program: program.to_owned(),
        token: "hunter2".to_owned(),
    }
}

#[tokio::test]
async fn a_command_gives_its_output_and_its_lines_and_its_usage_go_to_the_log_without_secrets() {
    let (workspace, capture) = (memory(), Capture::default());
    let _subscribed = capture.subscribe();
    let report = Runner::new(&workspace).run(output_of("sh")).await.unwrap();
    assert_eq!(report.output(&output_of("sh")).await.unwrap(), "hunter2\n");
    let text = capture.text();
    for expected in [
        "one program",
        "two program",
        "the token is ***",
        "cpu_ms=",
        "max_rss_bytes=",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(text.contains("`sh` ended with exit status: 0"), "{text}");
    assert!(text.contains("task{task=\"Output\""), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let workspace = memory();
    let error = Runner::new(&workspace)
        .run(output_of("no-such-program"))
        .await
        .unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("`no-such-program` could not be started: "),
        "{error}"
    );
}

/// Starts a command when the run is already stopping.
#[task]
async fn belated(directory: PathBuf, #[context] cx: &Context) -> kart::Result<u32> {
    std::fs::write(directory.join("pids"), "").unwrap();
    cx.stopped().await;
    let touched = cx.command("touch").arg(directory.join("late")).run().await;
    assert!(matches!(touched, Err(Error::Interrupted(_))), "{touched:?}");
    Err(kart::interrupted().into())
}

#[tokio::test]
async fn no_command_starts_in_a_run_that_stops() {
    let directory = tempfile::tempdir().unwrap();
    let belated = Belated {
        directory: directory.path().to_owned(),
    };
    let (error, _) = stopped(belated, directory.path()).await;
    assert!(matches!(error, RunError::Interrupted(_)), "{error}");
    assert!(!directory.path().join("late").exists());
}
