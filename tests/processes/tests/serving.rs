//! `serve` as a process: told to end, killed, started again, and of one mind with the command line.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;

/// A service that is killed when a test fails.
struct Service {
    child: Child,
    address: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(workspace: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_served"));
    command
        .current_dir(workspace.parent().unwrap())
        .env_remove("PORT")
        .env_remove("KART_TOKEN")
        .env("KART_WORKSPACE", workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Service {
    fn start(workspace: &Path, args: &[&str]) -> Self {
        let mut command = program(workspace);
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args);
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let address = line
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.split(';').next())
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned();
        // What else it says is read, so that it never waits for a reader.
        thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Service { child, address }
    }

    fn connect(&self, method: &str, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str) -> (u16, String, Json) {
        answer(self.connect(method, path))
    }

    /// Waits until an attempt has started.
    fn until_started(&self) {
        let mut lines = BufReader::new(self.connect("GET", "/events")).lines();
        assert!(lines.any(|line| {
            let line = line.unwrap();
            line.contains("\"under_way\":3") || line.contains("\"event\":\"started\"")
        }));
    }

    /// Sends SIGTERM, and waits for the exit status.
    fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap().code()
    }
}

/// The status, the header and the body.
fn answer(mut stream: TcpStream) -> (u16, String, Json) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (
        status,
        head.to_lowercase(),
        serde_json::from_str(body).unwrap(),
    )
}

fn workspace() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let workspace = directory.path().join("workspace");
    (directory, workspace)
}

#[test]
fn told_to_end_it_stops_its_runs_answers_and_says_that_work_is_left() {
    let (_directory, workspace) = workspace();
    let service = Service::start(&workspace, &["--ms", "600000"]);
    let waiting = service.connect("POST", "/");
    service.until_started();
    assert_eq!(service.terminate(), Some(75));
    let (status, head, body) = answer(waiting);
    assert_eq!(
        (status, body["state"].as_str()),
        (503, Some("interrupted")),
        "{body}"
    );
    assert!(head.contains("retry-after: 1"), "{head}");
    assert_eq!(body["left"].as_array().unwrap().len(), 4);

    // Another instance knows of the run that was, and nothing keeps it from going on.
    let service = Service::start(&workspace, &[]);
    let (_, _, runs) = service.ask("GET", "/runs");
    assert_eq!(runs["runs"][0]["state"], "interrupted", "{runs}");
    assert_eq!(runs["runs"][0]["run"], body["run"]);
    let (status, _, body) = service.ask("POST", "/");
    assert_eq!(status, 200, "{body}");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_service_that_was_killed_leaves_nothing_in_the_way() {
    let (_directory, workspace) = workspace();
    let mut service = Service::start(&workspace, &["--ms", "600000", "--detach"]);
    let (status, head, _) = service.ask("POST", "/?wait=false");
    assert!(status == 202 && head.contains("location: /runs/"), "{head}");
    service.until_started();
    service.child.kill().unwrap();
    service.child.wait().unwrap();
    let service = Service::start(&workspace, &["--ms", "600000", "--deadline", "1s"]);
    let (status, _, body) = service.ask("POST", "/");
    assert_eq!(
        (status, body["state"].as_str()),
        (503, Some("interrupted")),
        "{body}"
    );
    assert_eq!(service.terminate(), Some(0), "it was answered before");
}

#[test]
fn settings_that_would_let_everybody_in_are_wrong_use() {
    let (_directory, workspace) = workspace();
    let refused = |args: &[&str], port: Option<&str>| -> String {
        let mut command = program(&workspace);
        command.arg("serve").args(args);
        if let Some(port) = port {
            command.env("PORT", port);
        }
        let Output { status, stderr, .. } = command.output().unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
        String::from_utf8(stderr).unwrap()
    };
    for (args, port) in [(&["--listen", "0.0.0.0:0"][..], None), (&[], Some("0"))] {
        let text = refused(args, port);
        assert!(
            text.contains("0.0.0.0:0") && text.contains("KART_TOKEN"),
            "{text}"
        );
    }
    assert!(refused(&["--allow", "Nothing"], None).contains("no task `Nothing`"));
    assert!(refused(&["--max-runs", "0"], None).contains("--max-runs"));
    assert!(refused(&["--margin", "soon"], None).contains("--margin"));
    assert!(refused(&["--oidc-email", "a@b.example"], None).contains("--oidc-audience"));
    assert!(refused(&["--ms", "soon"], None).contains("--ms"));
    assert!(refused(&["--continue-with", "queue"], None).contains("--continue-with"));
    assert!(refused(&["--continue-as", "a@b.example"], None).contains("--continue-with"));
    let target = "cloud-tasks://projects/p/locations/l/queues/q";
    let text = refused(
        &[
            "--oidc-audience",
            "https://x.example",
            "--continue-with",
            target,
        ],
        None,
    );
    assert!(text.contains("KART_CONTINUE_TOKEN"), "{text}");
    let both = ["--trust-platform", "--allow-unauthenticated"];
    assert!(refused(&both, None).contains("exclude each other"));
    let nobody = ["--trust-platform", "--continue-with", target];
    assert!(refused(&nobody, None).contains("--continue-as"));
}

#[test]
fn it_tells_what_the_command_line_tells() {
    let (_directory, workspace) = workspace();
    let service = Service::start(&workspace, &["--workers", "2"]);
    assert_eq!(service.ask("POST", "/").0, 200);
    let told = |args: &[&str]| -> Json {
        let output = program(&workspace).args(args).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    };
    let plan = told(&["plan", "--json", "--workers", "2", "--count", "5"]);
    assert_eq!(service.ask("GET", "/plan/Dozes?count=5").2, plan);
    let graph = told(&["graph", "--json", "--count", "5"]);
    assert_eq!(service.ask("GET", "/graph/Dozes?count=5").2, graph);
    let runs = told(&["runs", "--json"]);
    let (_, _, listed) = service.ask("GET", "/runs");
    let (runs, listed) = (&runs["runs"][0], &listed["runs"][0]);
    for (name, value) in runs.as_object().unwrap() {
        if name != "start" && name != "end" {
            assert_eq!(&listed[name], value, "{name}");
        }
    }
    let summary = told(&["run", "--json"]);
    let run = service.ask("POST", "/").2;
    for (name, value) in summary.as_object().unwrap() {
        if name != "elapsed_seconds" && name != "requests" {
            assert_eq!(&run[name], value, "{name}");
        }
    }
    assert_eq!(service.terminate(), Some(0));
}
