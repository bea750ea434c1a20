//! What the tests share: notes of what ran, and a store that fails where a test says so.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::BoxStream;
use kart::{Report, RequestCounts, RunError, Workspace};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Notes of what happened, in order. Tasks take it as a resource.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    /// The notes so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The notes since the last call, in order.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// The notes since the last call, sorted: for what may happen in any order.
    pub(crate) fn take_sorted(&self) -> Vec<String> {
        let mut notes = self.take();
        notes.sort_unstable();
        notes
    }
}

/// How many do something at once, and how many at most did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<Mutex<(u32, u32)>>);

impl Gauge {
    pub(crate) fn enter(&self, units: u32) {
        let mut state = self.0.lock().unwrap();
        state.0 += units;
        state.1 = state.1.max(state.0);
    }

    pub(crate) fn leave(&self, units: u32) {
        self.0.lock().unwrap().0 -= units;
    }

    pub(crate) fn most(&self) -> u32 {
        self.0.lock().unwrap().1
    }
}

pub(crate) fn memory() -> Workspace {
    Workspace::open("memory://").unwrap()
}

/// What was asked of a workspace between two looks: existence, reads, writes, deletes, listings.
pub(crate) fn since(before: RequestCounts, workspace: &Workspace) -> [u64; 5] {
    let now = workspace.requests();
    [
        now.exists - before.exists,
        now.read - before.read,
        now.write - before.write,
        now.delete - before.delete,
        now.list - before.list,
    ]
}

/// Every object of a workspace.
pub(crate) async fn objects(workspace: &Workspace) -> Vec<(String, bytes::Bytes)> {
    let mut objects = Vec::new();
    for path in workspace.list("").await.unwrap() {
        let bytes = workspace.read(&path).await.unwrap().unwrap();
        objects.push((path, bytes));
    }
    objects
}

/// The report of a run that was interrupted.
pub(crate) fn interrupted(result: std::result::Result<Report, RunError>) -> Report {
    match result {
        Err(RunError::Interrupted(report)) => *report,
        other => panic!("not interrupted: {other:?}"),
    }
}

/// Ends a run that would never end. Under a paused clock it costs nothing, and it fires only when
/// nothing else can happen any more.
pub(crate) async fn unless_stuck<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(1_000_000), future)
        .await
        .expect("the run is stuck")
}

mod busy;
#[allow(unused_imports, reason = "each test binary uses its own part")]
pub(crate) use busy::{Busy, LATENCY};

mod flaky;
#[allow(unused_imports, reason = "each test binary uses its own part")]
pub(crate) use flaky::{Fault, Flaky};

mod hooked;
#[allow(unused_imports, reason = "each test binary uses its own part")]
pub(crate) use hooked::Hooked;

mod mortal;
#[allow(unused_imports, reason = "each test binary uses its own part")]
pub(crate) use mortal::{Moment, Mortal};

type Fails = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// A store in memory that fails the operations (`put`, `get`) on the paths that a test names.
pub(crate) struct Faulty {
    inner: InMemory,
    fails: Fails,
    overwrites: bool,
    metadata: Metadata,
}

/// What a store does with the metadata of its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metadata {
    Kept,
    /// It takes no object that has any.
    Refused,
    /// It says nothing, and forgets it.
    Dropped,
}

impl Faulty {
    /// A store that knows no create-only writes: it writes over what is there.
    pub(crate) fn overwriting() -> Workspace {
        let store = Faulty {
            overwrites: true,
            ..Faulty::new(|_, _| false)
        };
        Workspace::from_store(Arc::new(store), "")
    }

    /// A store that keeps metadata or not, and fails some operations.
    pub(crate) fn keeping(
        metadata: Metadata,
        fails: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
    ) -> Workspace {
        let store = Faulty {
            metadata,
            ..Faulty::new(fails)
        };
        Workspace::from_store(Arc::new(store), "").retry_timeout(Duration::ZERO)
    }

    fn new(fails: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        Faulty {
            inner: InMemory::new(),
            fails: Arc::new(fails),
            overwrites: false,
            metadata: Metadata::Kept,
        }
    }

    pub(crate) fn workspace(
        fails: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
    ) -> Workspace {
        Faulty::keeping(Metadata::Kept, fails)
    }

    /// The metadata of a new object as the store takes it.
    fn take(&self, attributes: &mut Attributes) -> Result<()> {
        match self.metadata {
            Metadata::Refused if !attributes.is_empty() => Err(Error::NotImplemented {
                operation: "metadata".to_owned(),
                implementer: "Faulty".to_owned(),
            }),
            Metadata::Dropped => {
                *attributes = Attributes::new();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check(&self, operation: &str, path: &Path) -> Result<()> {
        if !(self.fails)(operation, path.as_ref()) {
            return Ok(());
        }
        Err(Error::Generic {
            store: "Faulty",
            source: format!("no {operation} of {path} today").into(),
        })
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty:/")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        self.check("put", location)?;
        self.take(&mut options.attributes)?;
        if self.overwrites {
            options.mode = object_store::PutMode::Overwrite;
        }
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        mut options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.check("put", location)?;
        self.take(&mut options.attributes)?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check("get", location)?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Tasks of a report with their parameters.
pub(crate) fn described<'r>(tasks: impl Iterator<Item = kart::TaskReport<'r>>) -> Vec<String> {
    tasks.map(|task| task.task.description()).collect()
}
