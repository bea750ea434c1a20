//! Several processes on one workspace at once.
#![cfg(unix)]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use processes::STARTS;
use processes::storm::long_batch;

const BUSY: i32 = 75;

fn naps(workspace: &str, notes: &Path, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_naps"))
        .args(["--workspace", workspace, "--workers", "4"])
        .args(args)
        .env(STARTS, notes)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(child: Child) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// How often each task was started, and by how many processes.
fn starts(notes: &Path) -> (HashMap<String, usize>, usize) {
    let mut starts: HashMap<String, usize> = HashMap::new();
    let mut processes = HashSet::new();
    for line in fs::read_to_string(notes).unwrap_or_default().lines() {
        let (task, process) = line.split_once(' ').unwrap();
        *starts.entry(task.to_owned()).or_default() += 1;
        processes.insert(process.to_owned());
    }
    (starts, processes.len())
}

/// Waits until so many tasks were started.
fn wait_for_starts(notes: &Path, count: usize) {
    let since = Instant::now();
    while starts(notes).0.values().sum::<usize>() < count {
        assert!(since.elapsed() < Duration::from_mins(1), "too few starts");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(name: &str, child: &Child) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

struct Place {
    directory: tempfile::TempDir,
    notes: std::path::PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let notes = directory.path().join("starts");
        Place { directory, notes }
    }

    fn workspace(&self) -> String {
        self.directory
            .path()
            .join("workspace")
            .to_str()
            .unwrap()
            .to_owned()
    }
}

#[test]
fn of_four_at_once_one_runs_and_three_say_who() {
    let place = Place::new();
    let children: Vec<Child> = (0..4)
        .map(|_| {
            naps(
                &place.workspace(),
                &place.notes,
                &["--count", "40", "--ms", "200"],
            )
        })
        .collect();
    let ids: Vec<u32> = children.iter().map(Child::id).collect();
    let ends: Vec<_> = children.into_iter().map(end).collect();
    let winner = ends
        .iter()
        .position(|(status, ..)| *status == Some(0))
        .unwrap();
    for (at, (status, _, said)) in ends.iter().enumerate() {
        if at != winner {
            assert_eq!(*status, Some(BUSY), "{said}");
            let owner = format!("already running: process {} on host ", ids[winner]);
            assert!(said.contains(&owner), "no {owner} in {said}");
            assert!(said.contains("--shared"), "{said}");
        }
    }
    let (starts, processes) = starts(&place.notes);
    assert_eq!((starts.len(), processes), (40, 1));
    assert!(starts.values().all(|count| *count == 1));
}

#[test]
fn four_that_share_the_work_do_each_task_once() {
    let place = Place::new();
    let args = ["--count", "120", "--ms", "100", "--shared"];
    let children: Vec<Child> = (0..4)
        .map(|_| naps(&place.workspace(), &place.notes, &args))
        .collect();
    for (status, out, said) in children.into_iter().map(end) {
        assert_eq!(status, Some(0), "{out}{said}");
    }
    let (starts, processes) = starts(&place.notes);
    assert_eq!((starts.len(), processes), (120, 4));
    assert!(starts.values().all(|count| *count == 1), "{starts:?}");
}

/// The process is there, and its heartbeat is not.
#[test]
fn a_holder_that_hangs_is_taken_over_after_one_ttl_without_waiting() {
    let place = Place::new();
    let args = ["--count", "8", "--ms", "500", "--ttl", "1s"];
    let hanging = naps(&place.workspace(), &place.notes, &args);
    wait_for_starts(&place.notes, 2);
    signal("-STOP", &hanging);
    // Its last heartbeat is recent at first.
    let run_again = || end(naps(&place.workspace(), &place.notes, &args));
    let mut runs = std::iter::repeat_with(run_again).take(10_000);
    let (status, out, said) = runs.find(|(status, ..)| *status != Some(BUSY)).unwrap();
    assert_eq!(status, Some(0), "{out}{said}");
    signal("-CONT", &hanging);
    let (status, _, said) = end(hanging);
    assert_eq!(status, Some(BUSY), "{said}");
}

/// By the ttl alone nobody would look at what it had before twenty minutes have passed.
#[test]
fn a_process_that_is_killed_on_this_machine_is_taken_over_however_long_the_ttl_is() {
    let place = Place::new();
    let args = ["--count", "24", "--ms", "100", "--shared", "--ttl", "1h"];
    let mut killed = naps(&place.workspace(), &place.notes, &args);
    wait_for_starts(&place.notes, 2);
    let other = naps(&place.workspace(), &place.notes, &args);
    wait_for_starts(&place.notes, 8);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let (status, out, said) = end(other);
    assert_eq!(status, Some(0), "{out}{said}");
}

/// Where `/proc` shows users their own processes only, `kill(2)` alone tells that another's is there.
#[cfg(target_os = "linux")]
#[test]
fn a_process_of_another_user_that_is_hidden_here_is_alive() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new();
    // Both users write there, and both start a program from there.
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(place.directory.path(), open).unwrap();
    let program = place.directory.path().join("naps");
    fs::copy(env!("CARGO_BIN_EXE_naps"), &program).unwrap();
    let start = |before: &[&str], script: &str| {
        let (shell, args) = (
            ["sh", "-c", script, "sh"],
            ["--count", "1", "--ms", "20000"],
        );
        let words = [before, &shell].concat();
        Command::new(words[0])
            .args(&words[1..])
            .arg(&program)
            .args(args)
            .args(["--workspace", &place.workspace()])
            .env(STARTS, &place.notes)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut holder = start(&[], "umask 0; exec \"$@\"");
    wait_for_starts(&place.notes, 1);
    let hidden = "mount -t proc -o hidepid=2 proc /proc && echo hidden && \
                  exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
    let (status, out, said) = end(start(&["unshare", "--mount"], hidden));
    holder.kill().unwrap();
    holder.wait().unwrap();
    if !out.contains("hidden") {
        eprintln!("left out: this user may not hide processes: {said}");
        return;
    }
    assert_eq!(status, Some(BUSY), "{out}{said}");
    let owner = format!("already running: process {} on host ", holder.id());
    assert!(said.contains(&owner), "no {owner} in {said}");
    assert_eq!(starts(&place.notes).1, 1);
}

fn files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

#[test]
fn a_run_that_finds_all_complete_sweeps_what_a_killed_process_has_left() {
    let place = Place::new();
    let args = ["--count", "2", "--ms", "1"];
    let (status, _, said) = end(naps(&place.workspace(), &place.notes, &args));
    assert_eq!(status, Some(0), "{said}");
    let other = ["--count", "1", "--ms", "600000"];
    let mut killed = naps(&place.workspace(), &place.notes, &other);
    wait_for_starts(&place.notes, 3);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let own = Path::new(&place.workspace()).join("_kart");
    let left = || ["claims", "workers"].map(|name| files(&own.join(name)));
    assert_eq!(left(), [1, 1]);
    let (status, out, said) = end(naps(&place.workspace(), &place.notes, &args));
    assert_eq!(status, Some(0), "{said}");
    assert!(out.starts_with("1 complete before, 0 ran"), "{out}");
    assert_eq!(left(), [0, 0]);
}

#[test]
fn one_is_killed_and_one_is_stopped_and_continued_and_all_completes() {
    let place = Place::new();
    let args = ["--count", "150", "--ms", "100", "--shared", "--ttl", "2s"];
    let mut children: Vec<Child> = (0..4)
        .map(|_| naps(&place.workspace(), &place.notes, &args))
        .collect();
    wait_for_starts(&place.notes, 40);
    let mut killed = children.remove(0);
    let stopped = children.remove(0);
    signal("-STOP", &stopped);
    killed.kill().unwrap();
    killed.wait().unwrap();
    for (status, out, said) in children.into_iter().map(end) {
        assert_eq!(status, Some(0), "{out}{said}");
    }
    // It was away for longer than the ttl, since the others have taken over what it had.
    signal("-CONT", &stopped);
    let (status, out, said) = end(stopped);
    assert_eq!(status, Some(0), "{out}{said}");

    let (starts, _) = starts(&place.notes);
    assert_eq!(starts.len(), 150);
    let twice = starts.values().map(|count| count - 1).sum::<usize>();
    // Each of the two had at most four tasks.
    assert!(twice <= 8, "{twice} in vain");
    let again = naps(&place.workspace(), &place.notes, &args[..4]);
    let (status, out, said) = end(again);
    assert_eq!(status, Some(0), "{said}");
    assert!(out.starts_with("1 complete before, 0 ran"), "{out}");
}

#[test]
fn the_example_started_twice_says_who_is_running_and_shared_both_help() {
    let program = long_batch().unwrap();
    let start = |workspace: &str, args: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args([
                "--wait-ms",
                "300",
                "--workers",
                "3",
                "--workspace",
                workspace,
            ])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let place = Place::new();
    let both = [
        start(&place.workspace(), &[]),
        start(&place.workspace(), &[]),
    ];
    let mut ends = both.map(end);
    ends.sort_by_key(|(status, ..)| *status);
    assert_eq!((ends[0].0, ends[1].0), (Some(0), Some(BUSY)));
    assert!(
        ends[1].2.contains(" runs Agg { wait_ms: 300 } since "),
        "{}",
        ends[1].2
    );

    let place = Place::new();
    let shared = [
        start(&place.workspace(), &["--shared"]),
        start(&place.workspace(), &["--shared"]),
    ];
    let mut ran = 0;
    for (status, out, said) in shared.map(end) {
        assert_eq!(status, Some(0), "{said}");
        let done = said
            .lines()
            .filter(|line| line.starts_with("done "))
            .count();
        assert!(done >= 5, "{out}{said}");
        ran += done;
    }
    assert_eq!(ran, 28);
}
