//! A directory that is changed underneath a process: removed, renamed, shared with other machines, or full of what is
//! not kart's.
#![cfg(all(feature = "fs", unix))]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use kart::{RunError, Runner, StoreError, Workspace, task};

fn assert_gone<T: std::fmt::Debug>(done: Result<T, StoreError>, path: &Path) {
    let error = done.unwrap_err();
    let story = error.to_string();
    let said = format!("the workspace `{}` is gone", path.display());
    assert!(story.contains(&said), "{story}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_workspace_that_is_removed_or_renamed_in_use_is_named_and_not_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("workspace");
    let workspace = Workspace::open(&path).unwrap();
    assert!(!path.exists(), "opening makes nothing");
    workspace.create("a/b", Bytes::from("x")).await.unwrap();
    fs::rename(&path, directory.path().join("elsewhere")).unwrap();

    assert_gone(workspace.create("a/c", Bytes::from("x")).await, &path);
    let large = Bytes::from(vec![1; 1 << 20]);
    assert_gone(workspace.replace("a/b", large).await, &path);
    assert_gone(workspace.read("a/b").await, &path);
    assert_gone(workspace.size("a/b").await, &path);
    let many = vec!["a/b".to_owned(); 300];
    assert_gone(workspace.exists_many(many).await, &path);
    assert_gone(workspace.list("").await, &path);
    assert_gone(workspace.delete("a/b").await, &path);
    assert_gone(workspace.rename("a/b", "c").await, &path);
    assert!(!path.exists(), "nothing of it is made again");

    fs::rename(directory.path().join("elsewhere"), &path).unwrap();
    assert_eq!(workspace.read("a/b").await.unwrap().unwrap(), "x");
    workspace.replace("a/b", Bytes::from("y")).await.unwrap();
}

#[task(path = "one.txt")]
async fn one() -> kart::Result<String> {
    Ok("1".to_owned())
}

#[tokio::test]
async fn an_empty_directory_in_place_of_a_removed_workspace_is_filled_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("workspace");
    let workspace = Workspace::open(&path).unwrap();
    for _ in 0..2 {
        let report = Runner::new(&workspace).run(One {}).await.unwrap();
        assert_eq!(report.counts().ran, 1);
        fs::remove_dir_all(&path).unwrap();
        let story = format!(
            "{:#}",
            Runner::new(&workspace).run(One {}).await.unwrap_err()
        );
        assert!(story.contains("is gone"), "{story}");
        fs::create_dir(&path).unwrap();
    }
}

#[task]
async fn first() -> kart::Result<u32> {
    Ok(1)
}

/// Takes the workspace away, as somebody else might.
#[task]
async fn renames(
    #[requires(First)] first: u32,
    #[resource] paths: &[PathBuf; 2],
) -> anyhow::Result<u32> {
    fs::rename(&paths[0], &paths[1])?;
    Ok(first)
}

#[task]
async fn needs(
    n: u32,
    #[requires(First)] first: u32,
    #[requires(Renames)] renames: u32,
) -> kart::Result<u32> {
    Ok(n + first + renames)
}

#[task]
async fn all(#[requires((0..100).map(|n| Needs { n }))] all: Vec<u32>) -> kart::Result<usize> {
    Ok(all.len())
}

#[tokio::test]
async fn a_run_whose_workspace_goes_away_is_interrupted_and_says_that_it_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("workspace");
    let workspace = Workspace::open(&path).unwrap();
    // Without a budget outputs are read back from the workspace.
    let runner = Runner::new(&workspace)
        .memory_budget(0)
        .resource([path.clone(), directory.path().join("elsewhere")]);
    let error = runner.run(All {}).await.unwrap_err();
    let story = format!("{error:#}");
    assert!(matches!(error, RunError::Interrupted(_)), "{story}");
    let gone = format!("the workspace `{}` is gone", path.display());
    assert!(story.contains(&gone), "no {gone} in {story}");
    assert!(!story.contains("run it first"), "{story}");
    assert!(!path.exists(), "nothing of it is made again");
}

#[tokio::test]
async fn a_listing_goes_past_what_is_not_karts() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    workspace.create("a", Bytes::from("x")).await.unwrap();
    symlink("circle", directory.path().join("circle")).unwrap();
    symlink("nowhere", directory.path().join("broken")).unwrap();
    assert_eq!(workspace.list("").await.unwrap(), ["a"]);
    symlink("circle", directory.path().join("_kart/circle")).unwrap();
    assert!(
        workspace.list("").await.is_err(),
        "that is where kart's own objects are"
    );
}

/// Where locks are local to a machine, one that can be had says nothing of its owner.
#[tokio::test]
async fn temporaries_of_another_machine_go_only_when_they_are_old() {
    let directory = tempfile::tempdir().unwrap();
    let temporaries = directory.path().join("_kart/tmp");
    let owned = temporaries.join("0123-elsewhere");
    let lock = temporaries.join("0123-elsewhere.lock");
    fs::create_dir_all(&owned).unwrap();
    fs::write(owned.join("7"), "under way").unwrap();
    fs::write(&lock, "").unwrap();
    let week_ago = SystemTime::now() - Duration::from_hours(8 * 24);
    let age = |path: &Path| {
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(week_ago)
    };
    let write = async || {
        // A workspace looks for litter with its first write.
        let workspace = Workspace::open(directory.path()).unwrap();
        workspace.replace("a", Bytes::from("x")).await.unwrap();
    };
    write().await;
    assert!(owned.join("7").exists());
    age(&lock).unwrap();
    write().await;
    assert!(owned.join("7").exists(), "what it writes is young");
    age(&owned.join("7")).unwrap();
    write().await;
    assert!(!owned.exists() && !lock.exists());
}
