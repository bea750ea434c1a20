//! What ends a process from outside.
#![cfg(unix)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use processes::STARTS;

const STOPPED: i32 = 75;
const CTRL_C: i32 = 130;

/// Eight naps, of which four have started, in a shell that has done `before`.
struct Naps {
    child: Child,
    directory: tempfile::TempDir,
}

impl Naps {
    fn start(before: &str, ms: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let notes = directory.path().join("starts");
        let child = Command::new("sh")
            .args(["-c", &format!("{before} exec \"$@\""), "sh"])
            .arg(env!("CARGO_BIN_EXE_naps"))
            .args(["--workers", "4", "--count", "8", "--ms", ms, "--workspace"])
            .arg(directory.path().join("workspace"))
            .env(STARTS, &notes)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let since = Instant::now();
        while lines(&notes) < 4 {
            assert!(since.elapsed() < Duration::from_mins(1), "too few starts");
            std::thread::sleep(Duration::from_millis(5));
        }
        Naps { child, directory }
    }

    fn signal(&self, name: &str) {
        let name = format!("-{name}");
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The exit status, what was printed, and how many outputs there are.
    fn end(mut self) -> (Option<i32>, String, usize) {
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap().code();
        let outputs = std::fs::read_dir(self.directory.path().join("workspace/Nap"));
        (status, said, outputs.map_or(0, Iterator::count))
    }
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .count()
}

#[test]
fn a_hang_up_stops_gracefully() {
    let naps = Naps::start("", "1500");
    naps.signal("HUP");
    let (status, said, outputs) = naps.end();
    assert_eq!((status, outputs), (Some(STOPPED), 4), "{said}");
}

#[test]
fn a_hang_up_is_ignored_below_nohup() {
    let naps = Naps::start("trap '' HUP;", "700");
    naps.signal("HUP");
    let (status, said, outputs) = naps.end();
    assert_eq!((status, outputs), (Some(0), 8), "{said}");
}

#[test]
fn signals_that_follow_each_other_at_once_are_one() {
    // Again where the machine was too busy to send them at once.
    let naps = loop {
        let naps = Naps::start("", "1500");
        let first = Instant::now();
        for _ in 0..4 {
            naps.signal("INT");
        }
        if first.elapsed() < Duration::from_millis(100) {
            break naps;
        }
        naps.end();
    };
    let (status, said, outputs) = naps.end();
    assert_eq!((status, outputs), (Some(STOPPED), 4), "{said}");
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let mut naps = Naps::start("", "60000");
    naps.signal("INT");
    let mut stderr = BufReader::new(naps.child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("stopping") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended");
    }
    // Only what comes later is a second one.
    std::thread::sleep(Duration::from_millis(250));
    naps.signal("INT");
    assert_eq!(naps.child.wait().unwrap().code(), Some(CTRL_C));
}
