//! A bucket behind a network: every request takes its time, and there may be too many at once.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use kart::Workspace;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// How long each request takes.
pub(crate) const LATENCY: Duration = Duration::from_millis(20);

#[derive(Clone)]
pub(crate) struct Busy {
    inner: Arc<InMemory>,
    traffic: Arc<Traffic>,
}

struct Traffic {
    /// More at once are refused.
    bears: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
    refused: AtomicUsize,
    /// Each request, as `get a/b`.
    requests: Mutex<Vec<String>>,
}

impl Busy {
    /// A store that takes any number of requests at once.
    pub(crate) fn new() -> Self {
        Self::bearing(usize::MAX)
    }

    /// A store that refuses what is more than that at once.
    pub(crate) fn bearing(bears: usize) -> Self {
        let traffic = Traffic {
            bears: AtomicUsize::new(bears),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            requests: Mutex::default(),
        };
        Busy {
            inner: Arc::new(InMemory::new()),
            traffic: Arc::new(traffic),
        }
    }

    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::from_store(Arc::new(self.clone()), "")
    }

    pub(crate) fn bear(&self, bears: usize) {
        self.traffic.bears.store(bears, Ordering::SeqCst);
    }

    /// The most that were under way at once.
    pub(crate) fn most(&self) -> usize {
        self.traffic.most.load(Ordering::SeqCst)
    }

    pub(crate) fn refused(&self) -> usize {
        self.traffic.refused.load(Ordering::SeqCst)
    }

    /// The requests since this was last asked.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.traffic.requests.lock().unwrap())
    }

    async fn enter(&self, operation: &str, path: Option<&Path>) -> Result<()> {
        let path = path.map_or("", AsRef::as_ref);
        let request = format!("{operation} {path}");
        self.traffic.requests.lock().unwrap().push(request);
        let now = self.traffic.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.traffic.most.fetch_max(now, Ordering::SeqCst);
        let is_too_much = now > self.traffic.bears.load(Ordering::SeqCst);
        tokio::time::sleep(LATENCY).await;
        self.traffic.now.fetch_sub(1, Ordering::SeqCst);
        if !is_too_much {
            return Ok(());
        }
        self.traffic.refused.fetch_add(1, Ordering::SeqCst);
        Err(Error::Generic {
            store: "Busy",
            source: "Server returned non-2xx status code: 503 Service Unavailable: SlowDown".into(),
        })
    }
}

impl fmt::Debug for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Busy")
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("busy:/")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Busy {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.enter("put", Some(location)).await?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.enter("multipart", Some(location)).await?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { "head" } else { "get" };
        self.enter(operation, Some(location)).await?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(prefix, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.enter("list", prefix).await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.enter("copy", Some(from)).await?;
        self.inner.copy_opts(from, to, options).await
    }
}

impl Busy {
    fn listed(
        &self,
        prefix: Option<&Path>,
        objects: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (busy, prefix) = (self.clone(), prefix.cloned());
        // A thousand objects are a page, and a page is a request; an empty listing is one too.
        stream::once(async move { objects.collect::<Vec<_>>().await })
            .flat_map(|objects| {
                let pages = objects.len().div_ceil(1000).max(1);
                let mut objects = objects.into_iter();
                let page = move |_| objects.by_ref().take(1000).collect::<Vec<_>>();
                stream::iter((0..pages).map(page))
            })
            .then(move |page| {
                let (busy, prefix) = (busy.clone(), prefix.clone());
                async move {
                    match busy.enter("list", prefix.as_ref()).await {
                        Ok(()) => page,
                        Err(error) => vec![Err(error)],
                    }
                }
            })
            .flat_map(stream::iter)
            .boxed()
    }
}
