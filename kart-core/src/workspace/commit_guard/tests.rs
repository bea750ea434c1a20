use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;

use super::*;
use crate::error::is_interrupted;
use crate::key::Key;
use crate::workspace::{Content, Mode, Provenance, Publication, Workspace};

#[tokio::test]
async fn a_closed_guard_lets_nothing_pass_and_waits_for_what_has_passed() {
    let guard = CommitGuard::open();
    let committing = guard.enter().expect("it is open");
    assert!(guard.closed_and_idle().now_or_never().is_none());
    guard.clone().close();
    guard.close();
    assert!(!guard.is_open());
    assert!(guard.enter().is_none());
    assert!(guard.closed_and_idle().now_or_never().is_none());
    let (idle, ()) = tokio::join!(guard.closed_and_idle(), async { drop(committing) });
    assert_eq!(idle, ());
}

#[test]
fn a_check_that_does_not_hold_refuses_a_commit() {
    let holds = Arc::new(AtomicBool::new(true));
    let check = Arc::clone(&holds);
    let guard = CommitGuard::with_check(Arc::new(move || check.load(Ordering::Relaxed)));
    assert!(guard.enter().is_some());
    holds.store(false, Ordering::Relaxed);
    assert!(!guard.is_open());
    assert!(guard.enter().is_none());
    holds.store(true, Ordering::Relaxed);
    assert!(guard.enter().is_some());
}

async fn refused_everywhere(workspace: &Workspace) {
    let guard = CommitGuard::open();
    let create = workspace.create_guarded("a", "x".into(), &guard).await;
    create.unwrap();
    guard.close();
    let create = workspace.create_guarded("b", "x".into(), &guard).await;
    let replace = workspace.replace_guarded("a", "y".into(), &guard).await;
    let large = bytes::Bytes::from(vec![0; 1 << 20]);
    let large = workspace.replace_guarded("a", large, &guard).await;
    let file = workspace.new_file().unwrap();
    std::fs::write(file.path(), vec![1; 9 << 20]).unwrap();
    let provenance = Provenance::new(Key::of(b"x"), "T", 9 << 20);
    let publish = async |path, mode| {
        let publication = Publication {
            path,
            content: Content::File(&file),
            mode,
            is_keyed: true,
            provenance: &provenance,
        };
        workspace.publish(publication, &guard).await
    };
    let create_file = publish("b", Mode::Create).await;
    let replace_file = publish("a", Mode::Replace).await;
    let errors = [
        create.unwrap_err(),
        replace.unwrap_err(),
        large.unwrap_err(),
        create_file.unwrap_err(),
        replace_file.unwrap_err(),
    ];
    for error in errors {
        assert!(is_interrupted(&error), "{error:?}");
    }
    drop(file);
    assert_eq!(
        workspace.list("").await.unwrap(),
        ["a"],
        "and no upload stays"
    );
    assert_eq!(workspace.read("a").await.unwrap().unwrap(), "x");
}

#[tokio::test]
async fn no_write_commits_in_a_bucket_once_its_guard_is_closed() {
    refused_everywhere(&Workspace::open("memory://").unwrap()).await;
}

#[cfg(feature = "fs")]
#[tokio::test]
async fn no_write_commits_on_a_disk_once_its_guard_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    refused_everywhere(&Workspace::open(directory.path()).unwrap()).await;
    let temporaries = std::fs::read_dir(directory.path().join("_kart/tmp")).unwrap();
    for owned in temporaries.flatten().filter(|entry| entry.path().is_dir()) {
        assert_eq!(std::fs::read_dir(owned.path()).unwrap().count(), 0);
    }
}
