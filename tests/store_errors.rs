//! What a bucket's refusal looks like to a person, and that settings come from the right variables.
#![cfg(any(feature = "aws", feature = "gcp"))]

use std::{
    error::Error as _,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
};

use kart::Workspace;

const LOCATION: &str = "KART_TEST_CHILD_LOCATION";

/// A server that answers every request with one refusal. It ends with the test process.
fn refusing(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || refuse(&stream, status, body));
        }
    });
    format!("http://{address}")
}

fn refuse(mut stream: &TcpStream, status: &str, body: &str) {
    let mut is_head = false;
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        is_head |= line.starts_with("HEAD ");
        if line.is_empty() {
            break;
        }
    }
    let length = body.len();
    let body = if is_head { "" } else { body };
    // The other side may have gone; then there is nobody to tell.
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
}

/// Asks in a process of its own for an object, with these variables and no others of the providers.
fn asked(location: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "ask", "--nocapture", "--test-threads=1"]);
    for (name, _) in std::env::vars() {
        if ["AWS_", "GOOGLE_", "AZURE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    // Settings of somebody else, by names that the clients' builders would also take.
    command
        .env("ENDPOINT", "http://127.0.0.1:9")
        .env("BASE_URL", "http://127.0.0.1:9");
    command
        .env("REGION", "nowhere")
        .env("BUCKET", "other")
        .env("TOKEN", "hush");
    command
        .env(LOCATION, location)
        .envs(variables.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Does nothing among the other tests.
#[tokio::test]
async fn ask() {
    let Ok(location) = std::env::var(LOCATION) else {
        return;
    };
    let workspace = match Workspace::open(location) {
        Ok(workspace) => workspace,
        Err(error) => return println!("open: {error}: {:?}", error.source()),
    };
    println!("exists: {}", workspace.exists("a").await.unwrap_err());
    println!("read: {}", workspace.read("a").await.unwrap_err());
    println!(
        "create: {}",
        workspace.create("a", "x".into()).await.unwrap_err()
    );
    println!("list: {}", workspace.list("").await.unwrap_err());
}

#[cfg(feature = "aws")]
#[test]
fn s3_refuses_the_credentials() {
    let body = "<?xml version=\"1.0\"?><Error><Code>InvalidAccessKeyId</Code><Message>The key is not known</Message></Error>";
    let endpoint = refusing("403 Forbidden", body);
    let variables = [
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "wrong"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("aws_region", "us-east-1"),
    ];
    let printed = asked("s3://kart/p", &variables);
    let hint = "the credentials were refused or lack the right to read, write, delete and list in `kart`: check AWS_ACCESS_KEY_ID";
    for operation in [
        "exists: failed to look up",
        "read: failed to read",
        "create: failed to write",
    ] {
        assert!(
            printed.contains(&format!("{operation} `s3://kart/p/a`: {hint}")),
            "{printed}"
        );
    }
    assert!(
        printed.contains(&format!("list: failed to list `s3://kart/p`: {hint}")),
        "{printed}"
    );
    assert!(!printed.contains("hush"), "{printed}");
}

#[cfg(feature = "aws")]
#[test]
fn a_variable_that_makes_no_sense() {
    let printed = asked("s3://kart/p", &[("AWS_ALLOW_HTTP", "perhaps")]);
    assert!(
        printed.contains("open: failed to open `s3://kart/p`: "),
        "{printed}"
    );
    assert!(
        printed.contains("the variables `AWS_*` in the environment"),
        "{printed}"
    );
}

#[cfg(feature = "gcp")]
#[test]
fn gcs_refuses_the_credentials() {
    let body = "<?xml version=\"1.0\"?><Error><Code>AuthenticationRequired</Code></Error>";
    let endpoint = refusing("401 Unauthorized", body);
    let variables = [
        ("GOOGLE_BASE_URL", endpoint.as_str()),
        ("GOOGLE_BEARER_TOKEN", "hush"),
    ];
    let printed = asked("gs://kart/p", &variables);
    let hint = "the credentials were refused or lack the right to read, write, delete and list in `kart`: check GOOGLE_APPLICATION_CREDENTIALS";
    assert!(
        printed.contains(&format!("read: failed to read `gs://kart/p/a`: {hint}")),
        "{printed}"
    );
    assert!(
        printed.contains(&format!("create: failed to write `gs://kart/p/a`: {hint}")),
        "{printed}"
    );
    assert!(!printed.contains("hush"), "{printed}");
}
