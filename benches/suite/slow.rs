//! A bucket behind a network: 20 milliseconds for each request, and one in a hundred that fails.

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use kart::{RequestCounts, Runner, TaskExt as _, Workspace};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};

use super::Scale;
use super::fan_in::Count;
use super::measure::{Figures, measure, timed};

const LATENCY: Duration = Duration::from_millis(20);
/// Requests at once, unless the workspace is told otherwise.
const AT_ONCE: u32 = 64;

/// Fails every hundredth request in the way a store does that has too much to do.
#[derive(Debug)]
struct Faulty<S> {
    inner: S,
    requests: AtomicU64,
    every: u64,
}

impl<S> Faulty<S> {
    fn check(&self) -> Result<()> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if self.every == 0 || !number.is_multiple_of(self.every) {
            return Ok(());
        }
        Err(Error::Generic {
            store: "Faulty",
            source: "503 Service Unavailable".into(),
        })
    }
}

impl<S> fmt::Display for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty:/")
    }
}

#[async_trait::async_trait]
impl<S: ObjectStore> ObjectStore for Faulty<S> {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.check()?;
        self.inner.put_opts(at, bytes, how).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check()?;
        self.inner.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.check()?;
        self.inner.get_opts(at, how).await
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, below: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(below)
    }

    fn list_with_offset(
        &self,
        below: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(below, offset)
    }

    async fn list_with_delimiter(&self, below: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(below).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}

fn bucket(every: u64) -> Arc<dyn ObjectStore> {
    let config = ThrottleConfig {
        wait_delete_per_call: LATENCY,
        wait_get_per_call: LATENCY,
        wait_list_per_call: LATENCY,
        wait_put_per_call: LATENCY,
        ..ThrottleConfig::default()
    };
    let inner = ThrottledStore::new(InMemory::new(), config);
    let faulty = Faulty {
        inner,
        requests: AtomicU64::new(0),
        every,
    };
    Arc::new(faulty)
}

/// So many bare requests, as many at once: what the store and its clock allow.
fn floor(runtime: &tokio::runtime::Runtime, count: u64) -> Duration {
    let store = bucket(0);
    let put = |n: u64| {
        let store = Arc::clone(&store);
        async move {
            let path = Path::from(format!("{n}"));
            store.put(&path, PutPayload::default()).await
        }
    };
    timed(|| {
        let puts = stream::iter((0..count).map(put)).buffer_unordered(AT_ONCE as usize);
        let done = runtime.block_on(puts.try_for_each(|_| async { Ok(()) }));
        done.expect("all were written");
    })
}

fn sum(requests: RequestCounts) -> u64 {
    requests.exists + requests.read + requests.write + requests.delete + requests.list
}

pub(crate) fn child(case: &str, count: u64, _: &FilePath) -> (Duration, f64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let every = if case.starts_with("faulty") { 100 } else { 0 };
    if case == "floor" {
        return (floor(&runtime, count), count as f64);
    }
    let workspace = Workspace::from_store(bucket(every), "");
    let run = || {
        let before = sum(workspace.requests());
        let elapsed = timed(|| {
            let runner = Runner::new(&workspace);
            runtime
                .block_on(runner.run(Count { count }))
                .expect("a complete run");
        });
        (elapsed, (sum(workspace.requests()) - before) as f64)
    };
    let cold = run();
    if case.ends_with("cold") {
        return cold;
    }
    runtime
        .block_on(Count { count }.remove(&workspace))
        .expect("the count");
    run()
}

pub(crate) fn run(scale: &Scale, figures: &mut Figures) {
    let count = if scale.is_quick { 1_000 } else { 10_000 };
    println!(
        "\n| {count} leaves, 20 ms a request | seconds | requests | × requests × 20 ms / 64 | × as many bare requests |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    let bare = measure("slow", "floor", count, FilePath::new("."));
    let bare_request = bare.elapsed.as_secs_f64() / bare.counted;
    for case in ["cold", "none read", "faulty cold", "faulty none read"] {
        let measured = measure("slow", case, count, FilePath::new("."));
        let seconds = measured.elapsed.as_secs_f64();
        let floor = measured.counted * LATENCY.as_secs_f64() / f64::from(AT_ONCE);
        let ratios = if case.ends_with("cold") {
            let bare = measured.counted * bare_request;
            format!("{:.2} | {:.2}", seconds / floor, seconds / bare)
        } else {
            " | ".to_owned()
        };
        println!(
            "| {case} | {seconds:.2} | {} | {ratios} |",
            measured.counted
        );
        figures.add("slow", case, count, seconds, "s");
        figures.add("slow", case, count, measured.counted, "requests");
    }
}
