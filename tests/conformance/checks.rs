//! The checks, each on an empty workspace.

use std::{collections::HashSet, future::Future, pin::Pin, time::Duration};

use super::outputs::{
    files_of_any_size, outputs_say_who_made_them, the_first_file_stays, thousands_of_names,
    uploads_that_were_cut_off_are_given_up,
};
use bytes::Bytes;
use kart::{CreateOutcome, StoreError, Workspace};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _},
    sync::watch,
    task::{JoinSet, yield_now},
    time::timeout,
};

type Check = fn(Workspace) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! list {
    ($($check:ident),* $(,)?) => {
        [$((stringify!($check), (|workspace| Box::pin($check(workspace))) as Check)),*]
    };
}

pub(crate) fn all() -> impl Iterator<Item = (&'static str, Check)> {
    list![
        nothing_is_there_at_first,
        create_once,
        replace_over_and_over,
        empty_object,
        delete_and_create_again,
        odd_names,
        what_is_no_path,
        a_prefix_is_not_an_object,
        listing_order_and_prefix,
        many_at_once_in_order,
        reading_in_pieces,
        no_torn_read,
        one_winner_of_a_race,
        dropped_writes_leave_nothing_partial,
        requests_are_counted,
        too_large_for_memory,
        files_of_any_size,
        the_first_file_stays,
        thousands_of_names,
        outputs_say_who_made_them,
        uploads_that_were_cut_off_are_given_up,
    ]
    .into_iter()
}

pub(crate) fn text(text: impl Into<String>) -> Bytes {
    text.into().into()
}

async fn nothing_is_there_at_first(workspace: Workspace) {
    assert!(!workspace.exists("a/b.txt").await.unwrap());
    assert_eq!(workspace.size("a/b.txt").await.unwrap(), None);
    assert_eq!(workspace.read("a/b.txt").await.unwrap(), None);
    assert!(workspace.reader("a/b.txt").await.unwrap().is_none());
    assert!(workspace.list("").await.unwrap().is_empty());
    assert!(workspace.list("a").await.unwrap().is_empty());
    // S3 does not say whether there was anything; that it is no error holds for all.
    workspace.delete("a/b.txt").await.unwrap();
}

async fn too_large_for_memory(workspace: Workspace) {
    let workspace = workspace.max_object_size(2 << 20);
    let large = Bytes::from(vec![1; 3 << 20]);
    workspace.create("large", large.clone()).await.unwrap();
    let error = workspace.read("large").await.unwrap_err();
    assert_eq!(error.location, workspace.display_url("large"));
    let story = kart::chain(&error);
    assert!(story.contains("it has 3145728 bytes"), "{story}");
    let errors = workspace.read_many(vec!["large".to_owned()]).await;
    assert!(errors[0].is_err());
    assert_eq!(
        workspace
            .max_object_size(3 << 20)
            .read("large")
            .await
            .unwrap(),
        Some(large)
    );
}

async fn create_once(workspace: Workspace) {
    let first = workspace.create("a/b/c.txt", text("one")).await.unwrap();
    assert_eq!(first, CreateOutcome::Written);
    let second = workspace.create("a/b/c.txt", text("two")).await.unwrap();
    assert_eq!(second, CreateOutcome::Exists(text("one")));
    assert_eq!(
        workspace.read("a/b/c.txt").await.unwrap(),
        Some(text("one"))
    );
    assert_eq!(workspace.size("a/b/c.txt").await.unwrap(), Some(3));
    assert!(workspace.exists("a/b/c.txt").await.unwrap());
}

async fn replace_over_and_over(workspace: Workspace) {
    for i in 0..20_usize {
        let content = text("x".repeat(i * 7 % 20));
        workspace.replace("r.txt", content.clone()).await.unwrap();
        assert_eq!(workspace.read("r.txt").await.unwrap(), Some(content));
    }
    assert_eq!(workspace.list("").await.unwrap(), ["r.txt"]);
}

async fn empty_object(workspace: Workspace) {
    workspace.create("empty", Bytes::new()).await.unwrap();
    assert_eq!(workspace.read("empty").await.unwrap(), Some(Bytes::new()));
    assert_eq!(workspace.size("empty").await.unwrap(), Some(0));
    assert!(workspace.exists("empty").await.unwrap());
    let again = workspace.create("empty", text("x")).await.unwrap();
    assert_eq!(again, CreateOutcome::Exists(Bytes::new()));
}

async fn delete_and_create_again(workspace: Workspace) {
    for path in ["d/e.txt", "_kart/steps/k/n"] {
        workspace.create(path, text("one")).await.unwrap();
        assert!(workspace.delete(path).await.unwrap());
        assert!(!workspace.exists(path).await.unwrap());
        workspace.delete(path).await.unwrap();
        let again = workspace.create(path, text("two")).await.unwrap();
        assert_eq!(again, CreateOutcome::Written);
        assert_eq!(workspace.read(path).await.unwrap(), Some(text("two")));
    }
}

fn odd_paths() -> Vec<String> {
    let long = "x".repeat(200);
    let long_encoded = "%E6%97%A5".repeat(22);
    [
        "a%2Fb.txt",
        "%2E%2E/%2E",
        "(empty)",
        "...",
        ".hidden",
        "x.tar.gz/y.z",
        "100%25",
        "%20 and a space",
        "n=1,m=2;k='v'",
        "a+b@c:d!$&",
        &format!("{long}/{long}"),
        &long_encoded,
    ]
    .map(str::to_owned)
    .into()
}

async fn odd_names(workspace: Workspace) {
    let mut paths = odd_paths();
    for path in &paths {
        let made = workspace.create(path, text(path.clone())).await.unwrap();
        assert_eq!(made, CreateOutcome::Written, "{path}");
    }
    for path in &paths {
        let content = workspace.read(path).await.unwrap();
        assert_eq!(content, Some(text(path.clone())), "{path}");
        assert!(workspace.exists(path).await.unwrap(), "{path}");
    }
    paths.sort();
    assert_eq!(workspace.list("").await.unwrap(), paths);
    for path in &paths {
        assert!(workspace.delete(path).await.unwrap(), "{path}");
    }
    assert!(workspace.list("").await.unwrap().is_empty());
}

async fn what_is_no_path(workspace: Workspace) {
    for path in [
        "", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\0b", "a\nb",
    ] {
        let refused = |error: StoreError| assert!(error.hint.is_some(), "{path:?}: {error}");
        refused(workspace.create(path, text("x")).await.unwrap_err());
        refused(workspace.replace(path, text("x")).await.unwrap_err());
        refused(workspace.read(path).await.unwrap_err());
        refused(workspace.exists(path).await.unwrap_err());
        refused(workspace.delete(path).await.unwrap_err());
        refused(
            workspace
                .exists_many(vec![path.to_owned()])
                .await
                .unwrap_err(),
        );
        let many = workspace.read_many(vec![path.to_owned()]).await;
        refused(many.into_iter().next().unwrap().unwrap_err());
    }
    assert!(workspace.list("..").await.is_err());
    assert!(workspace.list("").await.unwrap().is_empty());
}

async fn a_prefix_is_not_an_object(workspace: Workspace) {
    workspace.create("p/q/r", text("x")).await.unwrap();
    for path in ["p", "p/q"] {
        assert!(!workspace.exists(path).await.unwrap());
        assert_eq!(workspace.read(path).await.unwrap(), None);
        assert!(workspace.reader(path).await.unwrap().is_none());
        workspace.delete(path).await.unwrap();
    }
    // Below an object there is nothing either.
    assert!(!workspace.exists("p/q/r/s").await.unwrap());
    assert_eq!(workspace.read("p/q/r/s").await.unwrap(), None);
    assert!(workspace.exists("p/q/r").await.unwrap());
}

async fn listing_order_and_prefix(workspace: Workspace) {
    let paths = ["a-b/1", "a/1", "a/10", "a/2", "a/b/3", "ab/1", "b"];
    for path in paths.iter().rev() {
        workspace.create(path, text("x")).await.unwrap();
    }
    let mut sorted = paths;
    sorted.sort_unstable();
    assert_eq!(workspace.list("").await.unwrap(), sorted);
    let below = ["a/1", "a/10", "a/2", "a/b/3"];
    assert_eq!(workspace.list("a").await.unwrap(), below);
    assert_eq!(workspace.list("a/").await.unwrap(), below);
    assert_eq!(workspace.list("a/b").await.unwrap(), ["a/b/3"]);
    // An object is not below itself.
    assert!(workspace.list("b").await.unwrap().is_empty());
}

async fn many_at_once_in_order(workspace: Workspace) {
    let paths: Vec<String> = (0..1000).map(|i| format!("m/{}/{i}", i % 7)).collect();
    let mut writes = JoinSet::new();
    for (i, path) in paths
        .iter()
        .cloned()
        .enumerate()
        .filter(|(i, _)| i % 3 != 0)
    {
        let workspace = workspace.clone();
        writes.spawn(async move { workspace.create(&path, text(i.to_string())).await });
    }
    for written in writes.join_all().await {
        assert_eq!(written.unwrap(), CreateOutcome::Written);
    }
    let found = workspace.exists_many(paths.clone()).await.unwrap();
    assert!(found.into_iter().eq((0..1000).map(|i| i % 3 != 0)));
    let contents = workspace.read_many(paths).await;
    let contents = contents.into_iter().map(Result::unwrap);
    assert!(contents.eq((0..1000).map(|i| (i % 3 != 0).then(|| text(i.to_string())))));
    assert!(workspace.exists_many(Vec::new()).await.unwrap().is_empty());
    assert!(workspace.read_many(Vec::new()).await.is_empty());
}

async fn reading_in_pieces(workspace: Workspace) {
    let lines: Vec<String> = (0..200_000).map(|i| format!("line {i}")).collect();
    let content = text(lines.join("\n"));
    workspace.create("big.txt", content.clone()).await.unwrap();
    assert_eq!(
        workspace.read("big.txt").await.unwrap().as_ref(),
        Some(&content)
    );

    let reader = workspace.reader("big.txt").await.unwrap().unwrap();
    let mut read = reader.lines();
    for line in lines {
        assert_eq!(read.next_line().await.unwrap(), Some(line));
    }
    assert_eq!(read.next_line().await.unwrap(), None);

    let mut bytes = Vec::new();
    let mut reader = workspace.reader("big.txt").await.unwrap().unwrap();
    reader.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, content);
}

/// An object that says of itself whether it is whole: one byte repeated, a length that follows from it.
/// Large enough not to share a thread with the reads on a local disk, which would do them in turn.
fn uniform(kind: u8) -> Bytes {
    vec![kind; 300_000 + usize::from(kind) * 1_000].into()
}

fn assert_uniform(bytes: &Bytes) {
    let kind = bytes.first().copied().unwrap_or_default();
    assert!(
        *bytes == uniform(kind),
        "a torn read of {} bytes",
        bytes.len()
    );
}

async fn no_torn_read(workspace: Workspace) {
    workspace.replace("torn", uniform(0)).await.unwrap();
    let (done, writers) = watch::channel(());
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (workspace, writers) = (workspace.clone(), writers.clone());
        tasks.spawn(async move {
            // Until the last writer has dropped its end.
            while writers.has_changed().is_ok() {
                assert_uniform(&workspace.read("torn").await.unwrap().unwrap());
                yield_now().await;
            }
        });
    }
    for writer in 0..2_u8 {
        let (workspace, done) = (workspace.clone(), done.clone());
        tasks.spawn(async move {
            for i in 0..100 {
                workspace
                    .replace("torn", uniform(writer * 100 + i))
                    .await
                    .unwrap();
            }
            drop(done);
        });
    }
    drop(done);
    tasks.join_all().await;
}

async fn one_winner_of_a_race(workspace: Workspace) {
    for round in 0..10 {
        let path = format!("race/{round}");
        let mut racers = JoinSet::new();
        for racer in 0..16 {
            let (workspace, path) = (workspace.clone(), path.clone());
            racers.spawn(async move {
                let own = text(format!("racer {racer}"));
                match workspace.create(&path, own.clone()).await.unwrap() {
                    CreateOutcome::Written => (true, own),
                    CreateOutcome::Exists(bytes) => (false, bytes),
                }
            });
        }
        let outcomes = racers.join_all().await;
        assert_eq!(
            outcomes.iter().filter(|(won, _)| *won).count(),
            1,
            "winners of {path}"
        );
        let contents: HashSet<_> = outcomes.into_iter().map(|(_, bytes)| bytes).collect();
        let stored = workspace.read(&path).await.unwrap().unwrap();
        assert_eq!(
            contents,
            HashSet::from([stored]),
            "all adopt what the winner wrote"
        );
    }
}

async fn dropped_writes_leave_nothing_partial(workspace: Workspace) {
    let content = Bytes::from(vec![7_u8; 1_000_000]);
    let path = |i: u64| format!("drop/{i}");
    for i in 0..30 {
        // Anything from not begun to done; what matters is that no moment leaves a part.
        let patience = Duration::from_micros(i * i * 20);
        if i % 2 == 0 {
            let _ = timeout(patience, workspace.create(&path(i), content.clone())).await;
        } else {
            let _ = timeout(patience, workspace.replace(&path(i), content.clone())).await;
        }
    }
    for i in 0..30 {
        if let Some(bytes) = workspace.read(&path(i)).await.unwrap() {
            assert_eq!(bytes, content, "{}", path(i));
        }
        let made = workspace.create(&path(i), content.clone()).await.unwrap();
        assert!(made == CreateOutcome::Written || made == CreateOutcome::Exists(content.clone()));
    }
    assert_eq!(workspace.list("drop").await.unwrap().len(), 30);
}

async fn requests_are_counted(workspace: Workspace) {
    workspace.create("a", text("x")).await.unwrap();
    workspace.create("a", text("y")).await.unwrap();
    workspace.replace("b", text("x")).await.unwrap();
    workspace.exists("a").await.unwrap();
    workspace
        .exists_many(vec!["a".into(), "b".into()])
        .await
        .unwrap();
    workspace.read_many(vec!["a".into(), "b".into()]).await;
    workspace.delete("b").await.unwrap();
    workspace.list("").await.unwrap();
    let requests = workspace.clone().requests();
    assert_eq!(requests.write, 3);
    assert_eq!(requests.exists, 3);
    assert_eq!(requests.read, 3, "two reads, and one to see who was first");
    assert_eq!(requests.delete, 1);
    assert_eq!(requests.list, 1);
}
