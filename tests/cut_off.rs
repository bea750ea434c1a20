//! The batch that is cut off, as a process of its own: what was finished is not made again. And its
//! command line.
#![cfg(feature = "cli")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

const TASKS: usize = 28;

/// The example's program, beside the directory of the tests' own.
static LONG_BATCH: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = std::env::current_exe().unwrap();
    let libraries = test.parent().unwrap();
    let profile = libraries.parent().unwrap();
    let name = format!("long_batch{}", std::env::consts::EXE_SUFFIX);
    let program = profile.join("examples").join(name);
    if !is_fresh(&program, libraries) {
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--example", "long_batch", "--target-dir"])
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    }
    program
});

/// Whether the program is newer than kart's own libraries. `cargo test` without more builds the
/// examples first; `cargo test --test cut_off` does not.
fn is_fresh(program: &Path, libraries: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let Some(built) = modified(program) else {
        return false;
    };
    let entries = std::fs::read_dir(libraries).unwrap();
    let mut kart = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "rlib")
        })
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("libkart")
        });
    kart.all(|library| modified(&library).is_some_and(|time| time <= built))
}

fn command(workspace: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(&*LONG_BATCH);
    command
        .args(args)
        .env("KART_WORKSPACE", workspace)
        .stdin(Stdio::null());
    command
}

fn run(workspace: &Path, args: &[&str]) -> Output {
    command(workspace, args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs the batch and kills it as soon as it has reported that many of its units; how many it had
/// reported.
fn kill_after(units: usize, workspace: &Path, args: &[&str]) -> usize {
    let mut child = command(workspace, args)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let done = lines
        .map_while(Result::ok)
        .filter(|line| line.starts_with("done "))
        .take(units)
        .count();
    child.kill().unwrap();
    child.wait().unwrap();
    done
}

/// The units whose output is there.
fn finished(workspace: &Path) -> usize {
    (0..TASKS - 1)
        .filter(|unit| workspace.join(format!("{unit}.txt")).exists())
        .count()
}

/// Every file below a directory, but for the log of the runs.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("_kart/runs") {
            continue;
        }
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn a_batch_that_was_killed_goes_on_with_exactly_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = directory.path();
    let args = ["--wait-ms", "400", "--workers", "4"];
    assert_eq!(kill_after(13, workspace, &args), 13);
    let finished = finished(workspace);
    assert!(
        (13..TASKS - 1).contains(&finished),
        "{finished} units were finished"
    );

    let second = run(workspace, &args);
    assert!(second.status.success(), "{}", stderr(&second));
    let summary = stdout(&second);
    let expected = format!("{finished} complete before, {} ran in ", TASKS - finished);
    assert!(summary.starts_with(&expected), "{summary}, not {expected}");
    let started = stderr(&second)
        .lines()
        .filter(|line| line.starts_with("done "))
        .count();
    assert_eq!(started, TASKS - finished);

    let all = std::fs::read_to_string(workspace.join("all_results.txt")).unwrap();
    assert!(
        all.lines()
            .eq((0..TASKS - 1).map(|unit| format!("{unit} is done"))),
        "{all}"
    );
    let files = files(workspace);
    assert_eq!(files.len(), TASKS, "outputs and no temporaries: {files:#?}");

    let third = run(workspace, &args);
    assert!(third.status.success(), "{}", stderr(&third));
    assert!(
        stdout(&third).starts_with("1 complete before, 0 ran in "),
        "{}",
        stdout(&third)
    );
    assert!(!stderr(&third).contains("done "), "{}", stderr(&third));
}

#[test]
fn a_kill_at_any_instant_leaves_only_whole_outputs() {
    // Units without a pause: the process dies among its writes, wherever it happens to be.
    for units in 1..10 {
        let directory = tempfile::tempdir().unwrap();
        let workspace = directory.path();
        kill_after(units, workspace, &["--wait-ms", "0", "--workers", "2"]);
        for unit in 0..TASKS - 1 {
            if let Ok(text) = std::fs::read_to_string(workspace.join(format!("{unit}.txt"))) {
                assert_eq!(text, format!("{unit} is done"), "killed after {units}");
            }
        }
        assert!(finished(workspace) >= units, "what was reported is there");
    }
}

/// Starts the batch and sends it SIGTERM as soon as it has reported that many units.
#[cfg(unix)]
fn terminate_after(units: usize, workspace: &Path, args: &[&str]) -> Output {
    let mut child = command(workspace, args)
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut done = 0;
    while done < units {
        let line = lines.next().unwrap().unwrap();
        done += usize::from(line.starts_with("done "));
    }
    let mut kill = Command::new("kill");
    kill.args(["-TERM", &child.id().to_string()]);
    assert!(kill.status().unwrap().success());
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let mut output = child.wait_with_output().unwrap();
    output.stderr = rest.join("\n").into_bytes();
    output
}

#[cfg(unix)]
#[test]
fn told_to_end_it_stops_in_good_order_with_status_75_and_the_next_run_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = directory.path();
    let args = ["--wait-ms", "200", "--workers", "2"];
    let first = terminate_after(5, workspace, &args);
    assert_eq!(first.status.code(), Some(75), "{}", stderr(&first));
    assert!(stderr(&first).contains("told to end"), "{}", stderr(&first));
    assert!(
        stderr(&first).contains("run it again"),
        "{}",
        stderr(&first)
    );
    let ran = finished(workspace);
    assert!((5..TASKS - 1).contains(&ran), "{ran}");
    let summary = stdout(&first);
    assert!(
        summary.starts_with(&format!(
            "0 complete before, {ran} ran, {} left",
            TASKS - ran
        )),
        "{summary}"
    );
    assert_eq!(files(workspace).len(), ran, "no temporaries");

    let second = run(workspace, &args);
    assert_eq!(second.status.code(), Some(0), "{}", stderr(&second));
    let expected = format!("{ran} complete before, {} ran in ", TASKS - ran);
    assert!(
        stdout(&second).starts_with(&expected),
        "{}",
        stdout(&second)
    );
}

#[test]
fn a_deadline_ends_with_status_75_and_drops_what_the_grace_does_not_last_for() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = directory.path();
    let args = ["--wait-ms", "60000", "--deadline", "1ms", "--grace", "1ms"];
    let output = run(workspace, &args);
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("the deadline has come"),
        "{}",
        stderr(&output)
    );
    assert!(!workspace.join("all_results.txt").exists());
}

#[test]
fn a_plan_says_what_would_run_and_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = directory.path().join("not/there");
    let plan = run(&workspace, &["plan"]);
    assert!(plan.status.success(), "{}", stderr(&plan));
    let text = stdout(&plan);
    assert!(
        text.contains("28 of 28 tasks would run, 0 complete"),
        "{text}"
    );
    assert!(
        text.contains("RunTaskWithWait { wait_ms: 100, output_name: \"0\" }"),
        "{text}"
    );
    assert!(!workspace.exists());
}

#[test]
fn the_status_is_0_when_all_is_complete_and_a_rerun_is_asked_for_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = directory.path();
    let first = run(workspace, &["run", "--wait-ms", "0"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let again = run(workspace, &["--wait-ms", "0", "--rerun", "Agg"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert!(
        stdout(&again).starts_with("27 complete before, 1 ran in "),
        "{}",
        stdout(&again)
    );
}

#[test]
fn the_status_is_1_when_a_task_failed_and_the_story_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = directory.path();
    // Where the output of one unit would go lies a directory.
    std::fs::create_dir_all(workspace.join("5.txt/in the way")).unwrap();
    let output = run(workspace, &["--wait-ms", "0"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let (summary, story) = (stdout(&output), stderr(&output));
    assert!(summary.contains("26 ran, 1 failed, 1 blocked"), "{summary}");
    for part in [
        "output_name: \"5\"",
        "after 1 attempt",
        "5.txt",
        "a directory lies there",
    ] {
        assert!(story.contains(part), "no {part} in {story}");
    }
}

#[test]
fn the_status_is_1_when_the_workspace_does_not_answer() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "no directory").unwrap();
    let output = run(&file, &["--wait-ms", "0"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("error: "), "{}", stderr(&output));
}

#[test]
fn the_status_is_2_for_wrong_use_and_the_message_says_what_to_type() {
    let directory = tempfile::tempdir().unwrap();
    for (args, parts) in [
        (
            vec!["--wait-ms", "soon"],
            vec!["`soon`", "`--wait-ms`", "--help"],
        ),
        (vec!["--wait-ms", "-1"], vec!["`-1`", "`--wait-ms`"]),
        (vec!["--wait-m", "5"], vec!["--wait-m", "--wait-ms"]),
        (vec!["--nothing"], vec!["--nothing", "--help"]),
        (vec!["rum"], vec!["rum", "run"]),
        (vec!["--workers", "0"], vec!["--workers", "0"]),
        (vec!["--workers"], vec!["--workers <N>"]),
        (vec!["--limit", "gpu"], vec!["--limit", "`gpu=1`"]),
        (vec!["--workspace", "ftp://host/x"], vec!["ftp", "gs://"]),
    ] {
        let output = run(directory.path(), &args);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?}: {}",
            stderr(&output)
        );
        for part in parts {
            assert!(
                stderr(&output).contains(part),
                "no {part} for {args:?}: {}",
                stderr(&output)
            );
        }
        assert!(stdout(&output).is_empty(), "{args:?}");
    }
    assert!(files(directory.path()).is_empty());
}

#[test]
fn a_rerun_of_an_unknown_name_says_which_there_are() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["--rerun", "Ag"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(
        text.contains("`Ag`") && text.contains("`Agg`, `RunTaskWithWait`"),
        "{text}"
    );
}

#[test]
fn the_help_names_the_parameters_and_the_settings() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(directory.path(), &["--help"]);
    assert!(output.status.success());
    let help = stdout(&output);
    for part in [
        "--wait-ms",
        "How long each unit takes, in milliseconds",
        "[default: 100]",
        "--workspace",
        "KART_WORKSPACE",
        "--workers",
        "--rerun",
        "plan",
    ] {
        assert!(help.contains(part), "no {part} in {help}");
    }
}
