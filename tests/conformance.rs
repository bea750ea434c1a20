//! What every workspace does, whatever store it is in: one list of checks, run unchanged on each.
//!
//! The buckets are those of `tests/servers/with-stores`, which sets the variables that say where they
//! are. Without them their part is left out; with `KART_TEST_REQUIRE_STORES=1` that is a failure.

#[path = "conformance/checks.rs"]
mod checks;
#[path = "conformance/outputs.rs"]
mod outputs;

#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
use kart::StoreError;
use kart::Workspace;

/// Runs every check in a workspace of its own, then fails with all that failed.
async fn conforms(store: &str, open: impl Fn(&str) -> Workspace) {
    let mut failures = Vec::new();
    for (name, check) in checks::all() {
        let workspace = open(name);
        // A task of its own, so that a failed assertion ends this check alone.
        if let Err(error) = tokio::spawn(check(workspace)).await {
            failures.push(format!("{name}: {error}"));
        }
    }
    assert!(failures.is_empty(), "{store}: {failures:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    conforms("memory", |_| Workspace::open("memory://").unwrap()).await;
}

#[cfg(feature = "fs")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn local_disk() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| Workspace::open(directory.path().join(name)).unwrap();
    conforms("local disk", open).await;
}

#[cfg(feature = "fs")]
#[tokio::test]
async fn local_disk_on_one_thread() {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| Workspace::open(directory.path().join(name)).unwrap();
    conforms("local disk", open).await;
}

#[cfg(feature = "aws")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s3() {
    bucket("s3", "KART_TEST_S3_ENDPOINT").await;
}

#[cfg(feature = "gcp")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn gcs() {
    bucket("gs", "KART_TEST_GCS_ENDPOINT").await;
}

#[cfg(feature = "azure")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn azure() {
    bucket("az", "KART_TEST_AZURE_ENDPOINT").await;
}

#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
async fn bucket(scheme: &str, variable: &str) {
    use std::collections::hash_map::RandomState;
    use std::hash::BuildHasher as _;

    if std::env::var_os(variable).is_none() {
        let required =
            std::env::var_os("KART_TEST_REQUIRE_STORES").is_some_and(|value| value == "1");
        assert!(
            !required,
            "{variable} is not set: run tests/servers/with-stores"
        );
        eprintln!("left out: {scheme}:// ({variable} is not set; run tests/servers/with-stores)");
        return;
    }
    let run = RandomState::new().hash_one(0);
    let open = |name: &str| {
        Workspace::open(format!("{scheme}://kart/conformance-{run:016x}/{name}")).unwrap()
    };
    conforms(scheme, open).await;

    let mistyped = Workspace::open(format!("{scheme}://krat-{run:016x}/prefix")).unwrap();
    bucket_that_is_not_there(&mistyped).await;
}

/// A bucket that does not exist is an error that says so, and not a workspace without objects.
#[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
async fn bucket_that_is_not_there(workspace: &Workspace) {
    let is_named = |error: StoreError| {
        let bucket = workspace.location().split('/').nth(2).unwrap();
        let hint = error.hint.as_deref().unwrap_or_default();
        assert!(
            hint.contains(&format!("there is no bucket `{bucket}`")),
            "{error:?}"
        );
    };
    is_named(workspace.exists("a").await.unwrap_err());
    is_named(workspace.exists_many(vec!["a".into()]).await.unwrap_err());
    is_named(workspace.read("a").await.unwrap_err());
    is_named(workspace.create("a", checks::text("x")).await.unwrap_err());
    is_named(workspace.replace("a", checks::text("x")).await.unwrap_err());
    is_named(workspace.list("").await.unwrap_err());
}
