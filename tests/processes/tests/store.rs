//! What a program ends with when its store fails it, and not the bodies of its tasks.
#![cfg(unix)]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use processes::STARTS;

const RUN_AGAIN: i32 = 75;

fn naps(workspace: &Path, notes: &Path, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_naps"))
        .arg("--workspace")
        .arg(workspace)
        .args(args)
        .env(STARTS, notes)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The exit status and what was printed; `None` for a program that does not end.
fn end(mut child: Child) -> (Option<i32>, String) {
    let since = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if since.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

fn the_only_file(directory: &Path) -> PathBuf {
    let mut files = fs::read_dir(directory).unwrap();
    files.next().unwrap().unwrap().path()
}

#[test]
fn a_directory_that_does_not_answer_any_more_is_75_within_the_grace() {
    let directory = tempfile::tempdir().unwrap();
    let (workspace, notes) = (directory.path().join("w"), directory.path().join("starts"));
    let args = [
        "--count",
        "1",
        "--ms",
        "1",
        "--deadline",
        "1s",
        "--grace",
        "1s",
    ];
    let (status, said) = end(naps(&workspace, &notes, &args));
    assert_eq!(status, Some(0), "{said}");
    fs::remove_file(the_only_file(&workspace.join("Naps"))).unwrap();
    // Who opens it waits for a writer, as for a file server that is gone.
    let nap = the_only_file(&workspace.join("Nap"));
    fs::remove_file(&nap).unwrap();
    assert!(Command::new("mkfifo").arg(&nap).status().unwrap().success());

    let began = Instant::now();
    let (status, said) = end(naps(&workspace, &notes, &args));
    let took = began.elapsed();
    assert_eq!(status, Some(RUN_AGAIN), "after {took:?}: {said}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_workspace_that_is_renamed_under_a_run_is_75_and_named_and_not_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let (workspace, notes) = (directory.path().join("w"), directory.path().join("starts"));
    let child = naps(
        &workspace,
        &notes,
        &["--count", "8", "--ms", "700", "--workers", "4"],
    );
    let since = Instant::now();
    while !notes.exists() {
        assert!(since.elapsed() < Duration::from_mins(1), "nothing started");
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::rename(&workspace, directory.path().join("elsewhere")).unwrap();
    let (status, said) = end(child);
    assert_eq!(status, Some(RUN_AGAIN), "{said}");
    let gone = format!("the workspace `{}` is gone", workspace.display());
    assert!(said.contains(&gone), "no {gone} in {said}");
    assert!(!workspace.exists());
}

/// A bucket that is busy: it answers every request so.
#[cfg(feature = "aws")]
fn busy_bucket() -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(&stream).lines();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let answer = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

#[cfg(feature = "aws")]
#[test]
fn a_bucket_that_is_busy_is_75_at_the_deadline() {
    let child = Command::new(env!("CARGO_BIN_EXE_naps"))
        .args(["--workspace", "s3://kart/naps", "--count", "1", "--ms", "1"])
        .args(["--deadline", "1s", "--grace", "1s"])
        .env("AWS_ENDPOINT", busy_bucket())
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let (status, said) = end(child);
    let took = began.elapsed();
    assert_eq!(status, Some(RUN_AGAIN), "after {took:?}: {said}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}
