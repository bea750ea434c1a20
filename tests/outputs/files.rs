//! Outputs that are files, and outputs in directories.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use kart::{AnyTask, Context, Durability, Error, File, Runner, TaskExt, Workspace, task};

use crate::common::Log;

#[task(path = "raw.txt", format = kart::format::Text)]
async fn raw(#[context] cx: &Context) -> std::io::Result<File> {
    let file = cx.new_file()?;
    fs::write(file.path(), "raw\n")?;
    Ok(file)
}

#[task(path = "signed.txt", format = kart::format::Text)]
async fn signed(#[requires(Raw)] raw: &File, #[context] cx: &Context) -> std::io::Result<File> {
    let copy = cx.copy(raw)?;
    let mut text = fs::read_to_string(copy.path())?;
    text.push_str("signed\n");
    fs::write(copy.path(), text)?;
    Ok(copy)
}

#[task]
async fn number() -> kart::Result<u32> {
    Ok(1)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn outputs_are_read_only_files_and_a_body_gets_a_copy_that_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let runner = Runner::new(&workspace);
    runner.run(Signed).await.unwrap();
    runner.run(Number).await.unwrap();
    let at = |name: &str| directory.path().join(name);
    assert_eq!(mode(&at("raw.txt")), 0o444);
    assert_eq!(mode(&at("signed.txt")), 0o444);
    assert_eq!(mode(&at(&Number.path())), 0o444);
    assert_eq!(fs::read_to_string(at("raw.txt")).unwrap(), "raw\n");
    assert_eq!(
        fs::read_to_string(at("signed.txt")).unwrap(),
        "raw\nsigned\n"
    );
    runner.clone().rerun_all().run(Signed).await.unwrap();
    assert!(Raw.remove(&workspace).await.unwrap());
}

/// Appends to what it requires.
#[task]
async fn careless(#[requires(Raw)] raw: &File) -> std::io::Result<u32> {
    let mut file = fs::OpenOptions::new().append(true).open(raw.path())?;
    file.write_all(b"more\n")?;
    Ok(1)
}

#[tokio::test]
async fn a_body_that_writes_to_what_it_requires_fails_or_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let ran = Runner::new(&workspace).run(Careless).await;
    let stored = fs::read_to_string(directory.path().join("raw.txt")).unwrap();
    if ran.is_err() {
        assert_eq!(stored, "raw\n");
        return;
    }
    // Nothing keeps root from writing.
    assert_eq!(stored, "raw\nmore\n");
    let loaded = Raw.load(&workspace).await;
    assert!(matches!(loaded, Err(Error::Mismatch { .. })), "{loaded:?}");
}

#[task(path = "made.bin", format = kart::format::Raw)]
async fn directory_as_file(#[context] cx: &Context) -> std::io::Result<File> {
    let file = cx.new_file()?;
    fs::remove_file(file.path())?;
    fs::create_dir(file.path())?;
    fs::write(file.path().join("part"), "text")?;
    Ok(file)
}

#[task(path = "{key}.bin", format = kart::format::Raw)]
async fn keyed_directory_as_file(#[context] cx: &Context) -> std::io::Result<File> {
    let file = cx.new_file()?;
    fs::remove_file(file.path())?;
    fs::create_dir(file.path())?;
    Ok(file)
}

#[tokio::test]
async fn a_directory_that_a_body_makes_in_place_of_its_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let runner = Runner::new(&workspace);
    for error in [
        runner.run(DirectoryAsFile).await.unwrap_err(),
        runner.run(KeyedDirectoryAsFile).await.unwrap_err(),
    ] {
        let text = format!("{error:#}");
        assert!(text.contains("is a directory"), "{text}");
    }
    for path in [DirectoryAsFile.path(), KeyedDirectoryAsFile.path()] {
        assert!(!directory.path().join(path).exists());
    }
}

/// Returns what a test puts there.
#[task(path = "odd/{kind}", format = kart::format::Raw, retries = 3)]
async fn odd(kind: &str, place: &str, #[resource] log: &Log) -> kart::Result<File> {
    log.note("ran");
    Ok(File::at(Path::new(place).join(kind)))
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_by_its_own_name_before_anything_is_published() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path().join("w")).unwrap();
    let place = directory.path().join("files");
    fs::create_dir_all(place.join("directory")).unwrap();
    fs::write(place.join("file"), "text").unwrap();
    symlink("file", place.join("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.join("socket")).unwrap();
    let log = Log::default();
    let runner = Runner::new(&workspace).resource(log.clone());
    for (kind, reason) in [
        ("directory", "is a directory"),
        ("link", "is a symbolic link"),
        ("socket", "is no regular file"),
        ("missing", "does not exist"),
    ] {
        let task = Odd {
            kind: kind.to_owned(),
            place: place.to_str().unwrap().to_owned(),
        };
        let error = runner.run(task.clone()).await.unwrap_err();
        let text = format!("{error:#}");
        let named = place.join(kind);
        assert!(
            text.contains(reason) && text.contains(named.to_str().unwrap()),
            "{text}"
        );
        assert_eq!(log.take(), ["ran"], "a retry cannot help");
        assert!(!task.is_complete(&workspace).await.unwrap());
        assert!(!directory.path().join("w/odd").exists());
    }
}

#[task(path = "{place}/{name}-{name}.txt")]
async fn placed(place: &str, name: String, #[resource] log: &Log) -> kart::Result<String> {
    log.note("ran");
    Ok(place.to_owned())
}

#[tokio::test]
async fn a_path_that_no_output_can_have_is_refused_by_the_plan_and_before_the_body_runs() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    fs::create_dir_all(directory.path().join("folder/x-x.txt")).unwrap();
    symlink("nowhere", directory.path().join("link")).unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let log = Log::default();
    let runner = Runner::new(&workspace).resource(log.clone());
    let many = "n".repeat(250);
    let mut bad = vec![
        ("file", "x", "a part of the path is a file"),
        ("folder", "x", "a directory lies there"),
        ("link", "x", "a part of the path is a file"),
        ("plain", many.as_str(), "a name is too long"),
    ];
    // Another file system, where there is one.
    let shm = tempfile::tempdir_in("/dev/shm");
    if let Ok(shm) = &shm {
        symlink(shm.path(), directory.path().join("elsewhere")).unwrap();
        bad.push(("elsewhere", "x", "on another file system"));
    }
    for (place, name, reason) in bad {
        let task = Placed {
            place: place.to_owned(),
            name: name.to_owned(),
        };
        let planned = runner.plan(task.clone()).await.expect_err(place);
        let failed = runner.run(task.clone()).await.unwrap_err();
        for text in [format!("{planned:#}"), format!("{failed:#}")] {
            assert!(text.contains(reason) && text.contains(place), "{text}");
        }
        assert!(log.all().is_empty(), "{place}");
    }
    let task = Placed {
        place: "folder".to_owned(),
        name: "y".to_owned(),
    };
    runner.run(task).await.unwrap();
}

#[tokio::test]
async fn a_directory_in_place_of_an_output_is_seen_although_its_neighbours_are_published() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("folder/x-x.txt")).unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let log = Log::default();
    let runner = Runner::new(&workspace).resource(log.clone());
    let task = |name: &str| Placed {
        place: "folder".to_owned(),
        name: name.to_owned(),
    };
    runner.run(task("y")).await.unwrap();
    log.take();
    let planned = runner.plan(task("x")).await.unwrap_err();
    let failed = runner.run(task("x")).await.unwrap_err();
    for text in [format!("{planned:#}"), format!("{failed:#}")] {
        assert!(text.contains("a directory lies there"), "{text}");
    }
    assert!(log.all().is_empty());
}

#[tokio::test]
async fn a_name_that_leaves_no_room_for_what_is_recorded_beside_it_is_refused_before_the_body() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let log = Log::default();
    let runner = Runner::new(&workspace).resource(log.clone());
    let task = |length: usize| Placed {
        place: "folder".to_owned(),
        name: "n".repeat((length - 5) / 2),
    };
    runner.run(task(251)).await.unwrap();
    log.take();
    for length in [253, 255] {
        let planned = runner.plan(task(length)).await.unwrap_err();
        let failed = runner.run(task(length)).await.unwrap_err();
        for text in [format!("{planned:#}"), format!("{failed:#}")] {
            assert!(text.contains("a name is too long"), "{text}");
        }
        assert!(log.all().is_empty());
    }
}

#[task(path = "plain.txt")]
async fn plain(n: u32, #[resource] log: &Log) -> kart::Result<String> {
    log.note(format!("plain {n}"));
    Ok(n.to_string())
}

/// Copies a directory as `cp -r` does, which keeps no extended attributes.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_workspace_that_lost_its_metadata_still_knows_whose_its_outputs_are() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::default();
    let open = |name: &str| {
        let workspace = Workspace::open(directory.path().join(name)).unwrap();
        (Runner::new(&workspace).resource(log.clone()), workspace)
    };
    let (runner, _) = open("first");
    runner.run(Plain { n: 1 }).await.unwrap();
    runner.run(Plain { n: 2 }).await.unwrap();
    copy(
        &directory.path().join("first"),
        &directory.path().join("copy"),
    );
    let (runner, workspace) = open("copy");
    log.take();
    assert!(Plain { n: 2 }.is_complete(&workspace).await.unwrap());
    assert!(!Plain { n: 1 }.is_complete(&workspace).await.unwrap());
    runner.run(Plain { n: 2 }).await.unwrap();
    assert!(log.take().is_empty());
    runner.run(Plain { n: 1 }).await.unwrap();
    assert_eq!(log.take(), ["plain 1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_that_survive_power_cuts_are_published_as_others_are() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let workspace = workspace.durability(Durability::Power);
    let runner = Runner::new(&workspace).workers(8);
    let all = (0..40).map(|n| Named { n }.into());
    let report = runner.run_all(all).await.unwrap();
    assert_eq!(report.counts().ran, 40);
    runner.run(Signed).await.unwrap();
    for n in 0..40 {
        assert_eq!(Named { n }.load(&workspace).await.unwrap(), n.to_string());
    }
}

#[task]
async fn named(n: u32) -> kart::Result<String> {
    Ok(n.to_string())
}

#[tokio::test]
async fn a_copy_of_an_output_whose_path_holds_its_key_is_verified_by_the_run_log() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| Workspace::open(directory.path().join(name)).unwrap();
    Runner::new(&open("first")).run(Number).await.unwrap();
    for (name, text) in [("same", "1"), ("edited", "7"), ("cut", "")] {
        let to = directory.path().join(name);
        copy(&directory.path().join("first"), &to);
        fs::write(to.join(Number.path()), text).unwrap();
        let workspace = open(name);
        let loaded = Number.load(&workspace).await;
        match name {
            "same" => assert_eq!(loaded.unwrap(), 1),
            "edited" => assert!(matches!(loaded, Err(Error::Mismatch { .. })), "{loaded:?}"),
            _ => {
                assert!(matches!(loaded, Err(Error::Torn { .. })), "{loaded:?}");
                let report = Runner::new(&workspace).run(Number).await.unwrap();
                assert_eq!(report.counts().ran, 1);
            }
        }
    }
}

#[tokio::test]
async fn an_acceptance_leaves_other_names_of_a_file_alone_and_travels_with_copies() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("first");
    let workspace = Workspace::open(&place).unwrap();
    let log = Log::default();
    let runner = Runner::new(&workspace).resource(log.clone());
    runner.run(Plain { n: 1 }).await.unwrap();
    let (mine, output) = (directory.path().join("mine.txt"), place.join("plain.txt"));
    fs::write(&mine, "mine").unwrap();
    for link in [
        |from: &Path, to: &Path| fs::hard_link(from, to),
        |from: &Path, to: &Path| symlink(from, to),
    ] {
        fs::remove_file(&output).unwrap();
        link(&mine, &output).unwrap();
        let task = AnyTask::from(Plain { n: 1 });
        task.accept(&workspace).await.unwrap();
        assert_eq!(mode(&mine), 0o644);
        assert_eq!(Plain { n: 1 }.load(&workspace).await.unwrap(), "mine");
    }
    let copied = directory.path().join("copy");
    copy(&place, &copied);
    let workspace = Workspace::open(&copied).unwrap();
    assert_eq!(Plain { n: 1 }.load(&workspace).await.unwrap(), "mine");
    // What is no output in the task's format is none that could be accepted.
    Runner::new(&workspace).run(Number).await.unwrap();
    fs::remove_file(copied.join(Number.path())).unwrap();
    fs::write(copied.join(Number.path()), "[1").unwrap();
    let refused = AnyTask::from(Number).accept(&workspace).await;
    assert!(matches!(refused, Err(Error::Decode { .. })), "{refused:?}");
}
