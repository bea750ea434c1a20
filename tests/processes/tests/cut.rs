//! A task that takes longer than any run may.

use std::fs;
use std::process::{Command, Stdio};

#[test]
fn a_task_longer_than_the_deadline_finishes_over_several_runs() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = directory.path().join("workspace");
    let notes = directory.path().join("starts");
    let mut statuses = Vec::new();
    // Sixty epochs of 50 ms, and half a second for each run: as an hour of work under ten minutes.
    for _ in 0..30 {
        let status = Command::new(env!("CARGO_BIN_EXE_train"))
            .args(["--ms", "50", "--deadline", "500ms", "--workspace"])
            .arg(&workspace)
            .env(processes::STARTS, &notes)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        statuses.push(status.code());
        if status.success() {
            break;
        }
    }
    let (last, before) = statuses.split_last().unwrap();
    assert_eq!(*last, Some(0), "{statuses:?}");
    assert!(before.len() >= 3, "{statuses:?}");
    assert!(
        before.iter().all(|status| *status == Some(75)),
        "{statuses:?}"
    );
    let model = fs::read_to_string(workspace.join("model.txt")).unwrap();
    assert_eq!(model, "60 epochs\n");
    // Each run began where the one before had stopped.
    let starts = fs::read_to_string(notes).unwrap();
    let epochs: Vec<u32> = starts
        .lines()
        .map(|line| line.split(['-', ' ']).nth(1).unwrap().parse().unwrap())
        .collect();
    assert!(epochs.is_sorted_by(|one, next| one < next), "{epochs:?}");
    assert!(!workspace.join("_kart/steps").exists());
}

#[test]
fn a_rerun_longer_than_the_deadline_finishes_by_repeating_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = directory.path().join("workspace");
    let naps = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_naps"))
            .args(["--count", "6", "--ms", "300", "--workspace"])
            .arg(&workspace)
            .args(more)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    assert_eq!(naps(&["--workers", "6"]).0, Some(0));
    let again = [
        "--workers",
        "1",
        "--rerun",
        "Nap",
        "--deadline",
        "1s",
        "--grace",
        "100ms",
    ];
    let mut runs = Vec::new();
    while runs.len() < 20 {
        runs.push(naps(&again));
        if runs.len() == 1 {
            for command in ["plan", "why"] {
                let output = Command::new(env!("CARGO_BIN_EXE_naps"))
                    .args([command, "--count", "6", "--ms", "300", "--workspace"])
                    .arg(&workspace)
                    .output()
                    .unwrap();
                let told = String::from_utf8(output.stdout).unwrap();
                assert!(told.contains("a rerun of Nap is open since 20"), "{told}");
                assert!(told.contains(" of 7 made"), "{told}");
                assert!(told.contains("`run --abandon` drops it"), "{told}");
            }
        }
        if runs.last().is_some_and(|(status, _)| *status == Some(0)) {
            break;
        }
    }
    let (last, before) = runs.split_last().unwrap();
    assert_eq!(last.0, Some(0), "{runs:?}");
    assert!(
        last.1.contains("going on with the rerun of Nap"),
        "{runs:?}"
    );
    assert!(!before.is_empty() && before.iter().all(|(status, _)| *status == Some(75)));
    assert!(!workspace.join("_kart/reruns").exists());
}
