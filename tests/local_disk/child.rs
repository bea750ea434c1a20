//! The other process: this test binary once more, told by its environment what to do.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use bytes::Bytes;
use kart::Workspace;

pub(crate) const LARGE_BYTES: usize = 512 << 20;

const ACTION: &str = "KART_TEST_CHILD_ACTION";
const WORKSPACE: &str = "KART_TEST_CHILD_WORKSPACE";

pub(crate) fn command(program: &Path, action: &str, workspace: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--exact", "child::act", "--nocapture", "--test-threads=1"])
        .env(ACTION, action)
        .env(WORKSPACE, workspace)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

pub(crate) fn spawn(action: &str, workspace: &Path, adapt: impl FnOnce(&mut Command)) -> Child {
    let mut command = command(&std::env::current_exe().unwrap(), action, workspace);
    adapt(&mut command);
    command.spawn().unwrap()
}

/// Everything that a child printed until its end.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Reads the child's output up to a line that ends so.
pub(crate) fn await_line(child: &mut Child, end: &str) {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(
        lines.any(|line| line.unwrap().ends_with(end)),
        "the child never said `{end}`"
    );
}

fn say<T: std::fmt::Debug>(what: &str, answer: Result<T, kart::StoreError>) {
    match answer {
        Ok(value) => println!("{what}: {value:?}"),
        Err(error) => println!("{what}: {error}"),
    }
}

/// Does nothing among the other tests.
#[tokio::test]
async fn act() {
    let Ok(action) = std::env::var(ACTION) else {
        return;
    };
    let workspace = Workspace::open(std::env::var_os(WORKSPACE).unwrap()).unwrap();
    match action.as_str() {
        "write_large" => {
            let content = Bytes::from(vec![0; LARGE_BYTES]);
            workspace.create("large", content).await.unwrap();
        }
        "write_twice" => {
            workspace.create("first", Bytes::from("1")).await.unwrap();
            println!("written once");
            // Until the parent closes its end.
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            workspace.create("second", Bytes::from("2")).await.unwrap();
        }
        "use" => {
            say("exists", workspace.exists("there").await);
            say("list", workspace.list("").await);
            say("create", workspace.create("a", Bytes::from("x")).await);
        }
        "fill" => {
            let content = Bytes::from(vec![1; 2 << 20]);
            say("large", workspace.create("large", content).await);
            say("read", workspace.read("large").await);
            say("small", workspace.create("small", Bytes::from("x")).await);
        }
        _ => panic!("no such action: {action}"),
    }
}
