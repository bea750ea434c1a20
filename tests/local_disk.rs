//! What only a directory can do to a workspace: killed writers, refusing disks, locations that are none.
#![cfg(all(feature = "fs", unix))]

#[path = "local_disk/child.rs"]
mod child;

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use bytes::Bytes;
use kart::Workspace;

/// What lies in the workspace's directory for temporaries, sorted.
fn temporaries(workspace: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace.join("_kart/tmp"));
    let mut paths: Vec<_> = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

/// The size of the first file that a writer is writing, if any.
fn size_under_way(workspace: &Path) -> Option<u64> {
    let directory = temporaries(workspace)
        .into_iter()
        .find(|path| path.is_dir())?;
    let file = fs::read_dir(directory).ok()?.next()?.ok()?;
    Some(file.metadata().ok()?.len())
}

#[tokio::test]
async fn a_killed_writer_leaves_nothing_that_stays() {
    let directory = tempfile::tempdir().unwrap();
    let mut left = 0;
    // The kill is meant for the middle of the write. Should the write end first, once more.
    for attempt in 0..10 {
        let path = directory.path().join(attempt.to_string());
        let mut child = child::spawn("write_large", &path, |_| {});
        let killed = loop {
            match size_under_way(&path) {
                Some(1..) => break true,
                _ if child.try_wait().unwrap().is_some() => break false,
                _ => thread::yield_now(),
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        left = size_under_way(&path).unwrap_or(0);
        if !killed || left == 0 || left == child::LARGE_BYTES as u64 {
            continue;
        }

        let workspace = Workspace::open(&path).unwrap();
        assert_eq!(workspace.read("large").await.unwrap(), None);
        assert!(workspace.list("").await.unwrap().is_empty());
        assert_eq!(
            temporaries(&path).len(),
            2,
            "the dead writer's directory and its lock"
        );
        workspace.create("small", Bytes::from("x")).await.unwrap();
        assert_eq!(size_under_way(&path), None, "swept");
        assert_eq!(temporaries(&path).len(), 2, "this process's own");
        drop(workspace);
        assert!(temporaries(&path).is_empty());
        break;
    }
    assert!(
        (1..child::LARGE_BYTES as u64).contains(&left),
        "no kill came in the middle"
    );
}

#[tokio::test]
async fn what_a_living_process_uses_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = child::spawn("write_twice", directory.path(), |_| {});
    child::await_line(&mut child, "written once");
    let of_the_child = temporaries(directory.path());
    assert_eq!(of_the_child.len(), 2);

    let workspace = Workspace::open(directory.path()).unwrap();
    workspace.create("mine", Bytes::from("x")).await.unwrap();
    let all = temporaries(directory.path());
    assert_eq!(all.len(), 4);
    assert!(of_the_child.iter().all(|path| all.contains(path)));

    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(
        workspace.list("").await.unwrap(),
        ["first", "mine", "second"]
    );
}

#[tokio::test]
async fn what_others_put_there_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("raw")).unwrap();
    fs::write(directory.path().join("raw/day.csv"), "a,b\n").unwrap();
    std::os::unix::fs::symlink("day.csv", directory.path().join("raw/latest.csv")).unwrap();
    std::os::unix::fs::symlink("..", directory.path().join("raw/circle")).unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    assert_eq!(
        workspace.list("").await.unwrap(),
        ["raw/day.csv", "raw/latest.csv"]
    );
    assert_eq!(
        workspace.read("raw/latest.csv").await.unwrap(),
        Some(Bytes::from("a,b\n"))
    );
}

#[tokio::test]
async fn outputs_that_stand_in_each_others_way() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    workspace.create("a/b", Bytes::from("x")).await.unwrap();
    let below = workspace
        .replace("a/b/c", Bytes::from("x"))
        .await
        .unwrap_err();
    assert!(
        below.to_string().contains("a part of the path is a file"),
        "{below}"
    );
    let above = workspace.replace("a", Bytes::from("x")).await.unwrap_err();
    assert!(
        above.to_string().contains("a directory lies there"),
        "{above}"
    );
    let above = workspace.create("a", Bytes::from("x")).await.unwrap_err();
    assert!(
        above.to_string().contains("a directory lies there"),
        "{above}"
    );
    let long = "x".repeat(256);
    let long = workspace.create(&long, Bytes::from("x")).await.unwrap_err();
    assert!(long.to_string().contains("too long"), "{long}");
    let under_way = temporaries(directory.path())
        .into_iter()
        .filter(|path| path.is_dir());
    assert!(
        under_way
            .into_iter()
            .all(|path| fs::read_dir(path).unwrap().count() == 0)
    );
}

#[tokio::test]
async fn a_workspace_that_is_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "x").unwrap();
    let workspace = Workspace::open(&path).unwrap();
    let expected = format!(
        "`{}`: the workspace is a file: name a directory, or remove the file",
        path.display()
    );
    for error in [
        workspace.exists("a").await.unwrap_err(),
        workspace.read("a").await.unwrap_err(),
        workspace.create("a", Bytes::new()).await.unwrap_err(),
        workspace.list("").await.unwrap_err(),
        workspace.delete("a").await.unwrap_err(),
    ] {
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
}

/// Runs an action of the child as a user without rights, and gives what it printed.
fn as_nobody(action: &str, mode: u32) -> String {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    // Where the tests were built need not be open to everybody.
    let program = directory.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let path = directory.path().join("workspace");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("there"), "x").unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    let is_root = fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    let mut command = child::command(&program, action, &path);
    if is_root {
        command.uid(65534);
    }
    let printed = child::output(&mut command);
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    printed
}

#[test]
fn a_read_only_directory() {
    let printed = as_nobody("use", 0o555);
    assert!(printed.contains("exists: true"), "{printed}");
    let denied = "workspace/a`: this user may not: change the directory's owner or mode";
    assert!(
        printed.contains(&format!("create: failed to write `{}", "")),
        "{printed}"
    );
    assert!(printed.contains(denied), "{printed}");
}

#[test]
fn an_unreadable_workspace() {
    let printed = as_nobody("use", 0o000);
    assert!(printed.contains("exists: failed to look up `"), "{printed}");
    assert!(
        printed.contains("workspace/there`: this user may not"),
        "{printed}"
    );
    assert!(printed.contains("list: failed to list `"), "{printed}");
}

/// Runs an action of the child on a file system of its own; `None` when this user may not mount one.
fn on_a_mount(action: &str, options: &str) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o \"$1\" none \"$2\" && echo mounted && shift 2 && exec \"$@\"";
    let program = std::env::current_exe().unwrap();
    let inner = child::command(&program, action, directory.path());
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh", options])
        .arg(directory.path());
    command.arg(inner.get_program()).args(inner.get_args());
    command.envs(
        inner
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command.stdin(Stdio::null());
    let output = command.output().ok()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !printed.contains("mounted") {
        eprintln!("left out: this user may not mount a file system");
        return None;
    }
    Some(printed)
}

#[test]
fn a_full_disk() {
    let Some(printed) = on_a_mount("fill", "size=1m") else {
        return;
    };
    assert!(
        printed.contains("/large`: the disk is full: make room and run again"),
        "{printed}"
    );
    assert!(printed.contains("read: None"), "{printed}");
    // What was written of it has given its room back.
    assert!(printed.contains("small: Written"), "{printed}");
}

#[test]
fn a_read_only_file_system() {
    let Some(printed) = on_a_mount("use", "ro") else {
        return;
    };
    assert!(
        printed.contains("/a`: the file system is read-only"),
        "{printed}"
    );
}

#[test]
fn locations_that_are_none() {
    let refused = |location: &str| Workspace::open(location).unwrap_err().to_string();
    let scheme = refused("ftp://host/dir");
    assert!(
        scheme.contains("`ftp://…`: a workspace is a directory"),
        "{scheme}"
    );
    let relative = refused("file://dir/sub");
    assert!(relative.contains("write three slashes"), "{relative}");
    assert!(refused("").contains("write `.` for the current directory"));
    for secret in [
        "s3://key:hush@bucket/p",
        "gs://hush@bucket",
        "az://container/p?sig=hush",
    ] {
        let error = refused(secret);
        assert!(
            error.contains("put credentials and settings into the environment"),
            "{error}"
        );
        assert!(!error.contains("hush"), "{error}");
    }
    #[cfg(not(feature = "aws"))]
    assert!(refused("s3://bucket/p").contains("turn the feature `aws` of the crate `kart` on"));
    #[cfg(not(feature = "gcp"))]
    assert!(refused("gs://bucket/p").contains("turn the feature `gcp` of the crate `kart` on"));
    #[cfg(not(feature = "azure"))]
    assert!(refused("az://bucket/p").contains("turn the feature `azure` of the crate `kart` on"));
}

#[tokio::test]
async fn ways_to_name_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a b");
    let url = format!("file://{}", path.display().to_string().replace(' ', "%20"));
    let workspace = Workspace::open(url).unwrap();
    workspace.create("x", Bytes::from("y")).await.unwrap();
    assert_eq!(fs::read(path.join("x")).unwrap(), b"y");
    assert_eq!(
        workspace.display_url("x"),
        path.join("x").display().to_string()
    );
    let same = Workspace::open(&path).unwrap();
    assert!(same.exists("x").await.unwrap());
}

/// Hours of work must not end in a result that cannot be stored.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_body_runs_when_the_workspace_cannot_be_written_to() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[kart::task]
    async fn costly(#[resource] ran: &Arc<AtomicU32>) -> kart::Result<u32> {
        Ok(ran.fetch_add(1, Ordering::SeqCst))
    }
    let ran = Arc::new(AtomicU32::new(0));
    let workspace = Workspace::open("/proc/no-such-directory").unwrap();
    let runner = kart::Runner::new(&workspace).resource(Arc::clone(&ran));
    let error = runner.run(Costly).await.unwrap_err();
    assert!(matches!(error, kart::RunError::Store(_)), "{error}");
    assert!(
        error.to_string().contains("/proc/no-such-directory"),
        "{error}"
    );
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_write_never_publishes() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let large = Bytes::from(vec![1; 128 << 20]);
    let (writer, bytes) = (workspace.clone(), large.clone());
    let write = tokio::spawn(async move { writer.replace("latest", bytes).await });
    while size_under_way(directory.path()).is_none() {
        assert!(!write.is_finished(), "the write was too fast to be dropped");
        tokio::task::yield_now().await;
    }
    write.abort();
    assert!(write.await.unwrap_err().is_cancelled());
    workspace.replace("latest", "new".into()).await.unwrap();
    // The blocking work of the dropped write has ended when its temporary is gone.
    while size_under_way(directory.path()).is_some() {
        tokio::task::yield_now().await;
    }
    let latest = workspace.read("latest").await.unwrap();
    assert_eq!(latest, Some(Bytes::from("new")));
}
