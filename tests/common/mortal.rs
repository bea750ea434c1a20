//! A process that is killed at a store operation: from then on nothing of what it does reaches the store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::stream::BoxStream;
use kart::Workspace;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Notify;

/// When the process is killed: right before the operation takes effect, or right after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    After,
}

/// A store, seen by a process that is killed at one of its operations.
#[derive(Clone)]
pub(crate) struct Mortal {
    inner: Arc<InMemory>,
    left: Arc<AtomicUsize>,
    moment: Moment,
    killed: Arc<Notify>,
}

impl Mortal {
    /// The process is killed at operation `at`, from 0.
    pub(crate) fn new(at: usize, moment: Moment) -> Self {
        Mortal {
            inner: Arc::new(InMemory::new()),
            left: Arc::new(AtomicUsize::new(at)),
            moment,
            killed: Arc::new(Notify::new()),
        }
    }

    /// The process is killed at operation `at` from now on.
    pub(crate) fn kill_after(&self, at: usize) {
        self.left.store(at, Ordering::SeqCst);
    }

    /// The store as the process sees it.
    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::from_store(Arc::new(self.clone()), "")
    }

    /// The store as another process sees it, after the end of this one.
    pub(crate) fn survivors(&self) -> Workspace {
        Workspace::from_store(Arc::clone(&self.inner) as Arc<dyn ObjectStore>, "")
    }

    /// Waits until the process is killed.
    pub(crate) async fn killed(&self) {
        self.killed.notified().await;
    }

    /// Lets one operation through, or kills the process before it.
    async fn before(&self) -> Result<bool> {
        let left = self.left.load(Ordering::SeqCst);
        if left > 0 {
            self.left.store(left - 1, Ordering::SeqCst);
            return Ok(false);
        }
        if self.moment == Moment::After {
            return Ok(true);
        }
        self.die().await
    }

    async fn die<T>(&self) -> Result<T> {
        self.killed.notify_one();
        std::future::pending().await
    }

    async fn through<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let is_last = self.before().await?;
        let done = operation.await;
        if is_last {
            return self.die().await;
        }
        done
    }
}

impl fmt::Debug for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mortal")
    }
}

impl fmt::Display for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mortal:/")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Mortal {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.through(self.inner.put_opts(location, payload, options))
            .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.through(self.inner.put_multipart_opts(location, options))
            .await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.through(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        use futures_util::StreamExt as _;
        let mortal = self.clone();
        locations
            .then(move |location| {
                let mortal = mortal.clone();
                async move {
                    let location = location?;
                    let delete = object_store::ObjectStoreExt::delete(&*mortal.inner, &location);
                    mortal.through(delete).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.through(self.inner.copy_opts(from, to, options)).await
    }
}
