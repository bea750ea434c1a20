//! Objects in a store that is spoken to through `object_store`: buckets and memory.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    multipart::MultipartStore, path::Path,
};

use super::{
    CommitGuard, Committing, Entry, Reader, Workspace,
    adaptive_limit::AdaptiveLimit,
    advice,
    bound::Bound,
    presence::{self, PAGE, Page, Source as _},
    resume::{Body, cut_off},
    retry::{LOCAL, RetryTimeout},
    stream::StreamReader,
};
use crate::StoreError;

/// Requests of one call on many paths that wait for their turn or are under way.
const CONCURRENCY: usize = 256;

/// From this size on a body goes through the client that waits as long as an upload takes.
pub(super) const BULK_BYTES: usize = 4 << 20;

/// The clients of one place.
pub(super) struct Clients {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same without a limit that a large body would run into.
    pub(super) bulk: Arc<dyn ObjectStore>,
    /// The same for uploads in parts that have a name while they are under way, where there is such a client.
    pub(super) parts: Option<Arc<dyn MultipartStore>>,
}

impl Clients {
    /// A store that the caller has set up.
    pub(super) fn of(store: Arc<dyn ObjectStore>) -> Self {
        Clients {
            bulk: store.clone(),
            store,
            parts: None,
        }
    }

    /// The clients of a bucket.
    #[cfg(any(feature = "aws", feature = "gcp", feature = "azure"))]
    pub(super) fn bucket<S: ObjectStore + MultipartStore>(store: S, bulk: S) -> Self {
        let bulk = Arc::new(bulk);
        Clients {
            store: Arc::new(store),
            bulk: bulk.clone(),
            parts: Some(bulk),
        }
    }
}

pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    bulk: Arc<dyn ObjectStore>,
    parts: Option<Arc<dyn MultipartStore>>,
    prefix: String,
    /// Where requests cost time; none for the memory of this process.
    limit: Option<AdaptiveLimit>,
    retry_timeout: RetryTimeout,
    bound: Arc<Bound>,
    /// Whether some answer has shown that the bucket itself is there.
    bucket_seen: AtomicBool,
}

impl Remote {
    pub(super) fn new(clients: Clients, prefix: &str, limit: Option<AdaptiveLimit>) -> Self {
        Self {
            store: clients.store,
            bulk: clients.bulk,
            parts: clients.parts,
            prefix: prefix.to_owned(),
            limit,
            retry_timeout: RetryTimeout::default(),
            bound: Arc::default(),
            bucket_seen: AtomicBool::new(false),
        }
    }

    pub(super) fn path(&self, path: &str) -> Result<Path, Error> {
        let whole = match (self.prefix.as_str(), path) {
            ("", path) => Path::parse(path),
            (prefix, "") => Path::parse(prefix),
            (prefix, path) => Path::parse(format!("{prefix}/{path}")),
        };
        Ok(whole?)
    }

    pub(super) fn parts(&self) -> Option<&dyn MultipartStore> {
        self.parts.as_deref()
    }

    pub(super) fn bound(&self) -> Arc<Bound> {
        Arc::clone(&self.bound)
    }

    pub(super) fn limit(&self) -> Option<&AdaptiveLimit> {
        self.limit.as_ref()
    }

    /// The client for what takes long.
    pub(super) fn bulk(&self) -> &dyn ObjectStore {
        &self.bulk
    }

    pub(super) fn retry_timeout(&self) -> &RetryTimeout {
        &self.retry_timeout
    }

    /// Whether some answer has shown that the bucket can be used.
    pub(super) fn has_answered(&self) -> bool {
        self.bucket_seen.load(Ordering::Relaxed)
    }

    /// "Not found" as `None`, unless it is the bucket that was not found.
    fn found<T>(&self, answer: Result<T, Error>) -> Result<Option<T>, Error> {
        match answer {
            Ok(value) => {
                self.bucket_seen.store(true, Ordering::Relaxed);
                Ok(Some(value))
            }
            Err(Error::NotFound { source, .. }) if !advice::names_bucket(source.as_ref()) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn size(&self, path: &str) -> Result<Option<u64>, Error> {
        let whole = self.path(path)?;
        self.pass(path, || self.size_of(&whole)).await
    }

    async fn size_of(&self, path: &Path) -> Result<Option<u64>, Error> {
        if let Some(meta) = self.found(self.store.head(path).await)? {
            return Ok(Some(meta.size));
        }
        // The answer to HEAD has no body, so it does not say what is missing. Once, ask in a way that
        // does, or a mistyped bucket would look like one that is empty.
        if !self.has_answered() {
            let found = self.found(self.store.get(path).await)?;
            self.bucket_seen.store(true, Ordering::Relaxed);
            return Ok(found.map(|object| object.meta.size));
        }
        Ok(None)
    }

    pub(super) async fn read(&self, path: &str) -> Result<Option<Bytes>, Error> {
        let whole = self.path(path)?;
        self.pass(path, || self.read_whole(&whole)).await
    }

    async fn read_whole(&self, path: &Path) -> Result<Option<Bytes>, Error> {
        match self.found(self.store.get(path).await)? {
            Some(object) => {
                let size = self.bound.check(object.meta.size);
                size.map_err(|error| Error::Generic {
                    store: LOCAL,
                    source: error.into(),
                })?;
                let size = object.meta.size;
                let bytes = object.bytes().await?;
                match bytes.len() as u64 {
                    at if at < size => Err(cut_off(at, size)),
                    _ => Ok(Some(bytes)),
                }
            }
            None => Ok(None),
        }
    }

    pub(super) async fn read_range(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, Error> {
        let Some(size) = self.size(path).await? else {
            return Ok(None);
        };
        let range = range.start..range.end.min(size);
        if range.is_empty() {
            return Ok(Some(Bytes::new()));
        }
        let whole = self.path(path)?;
        let read = self.pass(path, || self.store.get_range(&whole, range.clone()));
        self.found(read.await)
    }

    /// Whether the object was made; `false` when the store says that it already exists.
    pub(super) async fn create(
        &self,
        path: &str,
        bytes: Bytes,
        guard: &CommitGuard,
    ) -> Result<bool, Error> {
        match self.put(path, bytes, PutMode::Create, guard).await {
            Ok(()) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn replace(
        &self,
        path: &str,
        bytes: Bytes,
        guard: &CommitGuard,
    ) -> Result<(), Error> {
        self.put(path, bytes, PutMode::Overwrite, guard).await
    }

    pub(super) async fn put(
        &self,
        path: &str,
        bytes: Bytes,
        mode: PutMode,
        guard: &CommitGuard,
    ) -> Result<(), Error> {
        let whole = self.path(path)?;
        let store = if bytes.len() < BULK_BYTES {
            &self.store
        } else {
            &self.bulk
        };
        let put = || async {
            let _committing = enter(guard)?;
            let payload = PutPayload::from_bytes(bytes.clone());
            store
                .put_opts(&whole, payload, PutOptions::from(mode.clone()))
                .await
        };
        self.pass(path, put).await?;
        self.bucket_seen.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn delete(&self, path: &str) -> Result<bool, Error> {
        let whole = self.path(path)?;
        let deleted = self.pass(path, || self.store.delete(&whole)).await;
        Ok(self.found(deleted)?.is_some())
    }

    /// Sends one request, and repeats nothing.
    pub(super) async fn delete_once(&self, path: &str) -> Result<(), Error> {
        let deleted = self.store.delete(&self.path(path)?).await;
        self.found(deleted).map(drop)
    }

    pub(super) async fn reader(&self, path: &str) -> Result<Option<Reader>, Error> {
        let whole = self.path(path)?;
        let opened = self.pass(path, || self.store.get(&whole)).await;
        let Some(object) = self.found(opened)? else {
            return Ok(None);
        };
        let backoff = self.retry_timeout.backoff();
        let body = Body::new(Arc::clone(&self.store), whole, object, backoff);
        Ok(Some(Box::pin(StreamReader::new(body.into_stream()))))
    }

    pub(super) async fn entries(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        let above = self.above();
        let below = self.path(prefix)?;
        let below = Some(below).filter(|path| !path.as_ref().is_empty());
        let list = || self.store.list(below.as_ref()).try_collect::<Vec<_>>();
        let listed = self.pass(prefix, list).await?;
        // Some consoles mark a "folder" by an object with the prefix itself for a name.
        let entry = |object: ObjectMeta| {
            Some(Entry {
                path: object.location.as_ref().get(above..)?.to_owned(),
                bytes: object.size,
                modified: object.last_modified.into(),
            })
        };
        Ok(listed.into_iter().filter_map(entry).collect())
    }

    pub(super) async fn relocate(&self, from: &str, to: &str) -> Result<bool, Error> {
        let (source, target) = (self.path(from)?, self.path(to)?);
        let copied = self.pass(from, || self.bulk.copy(&source, &target)).await;
        if self.found(copied)?.is_none() {
            return Ok(false);
        }
        self.delete(from).await?;
        Ok(true)
    }

    pub(super) async fn exists_many(
        &self,
        workspace: &Workspace,
        paths: Vec<String>,
    ) -> Result<Vec<bool>, StoreError> {
        if self.limit.is_none() {
            let mut found = Vec::with_capacity(paths.len());
            for path in paths {
                found.push(workspace.exists(&path).await?);
            }
            return Ok(found);
        }
        let asking = Asking {
            remote: self,
            workspace,
        };
        // The first alone, so that the question for the bucket is asked once and not 64 times.
        let Some((first, rest)) = paths.split_first() else {
            return Ok(Vec::new());
        };
        if rest.is_empty() || !self.has_answered() {
            let mut found = vec![asking.exists(first).await?];
            found.extend(presence::exists_many(&asking, rest).await?);
            return Ok(found);
        }
        presence::exists_many(&asking, &paths).await
    }

    async fn page(&self, directory: &str, after: &str) -> Result<Page, Error> {
        let below = Some(self.path(directory)?).filter(|path| !path.as_ref().is_empty());
        let after = self.path(after)?;
        let mut listed = self
            .store
            .list_with_offset(below.as_ref(), &after)
            .take(PAGE);
        let mut names = Vec::new();
        while let Some(object) = listed.try_next().await? {
            let name = object.location.as_ref().get(self.above()..);
            names.push(name.unwrap_or_default().to_owned());
        }
        let is_last = names.len() < PAGE;
        Ok(Page { names, is_last })
    }

    fn above(&self) -> usize {
        match self.prefix.as_str() {
            "" => 0,
            prefix => prefix.len() + 1,
        }
    }
}

/// Lets a commit pass, unless the guard is closed.
pub(super) fn enter(guard: &CommitGuard) -> Result<Committing, Error> {
    guard.enter().ok_or_else(|| Error::Generic {
        store: LOCAL,
        source: crate::interrupted().into(),
    })
}

/// Questions about many objects, counted.
struct Asking<'a> {
    remote: &'a Remote,
    workspace: &'a Workspace,
}

impl presence::Source for Asking<'_> {
    type Error = StoreError;

    async fn page(&self, directory: &str, after: &str) -> Result<Page, StoreError> {
        self.workspace.inner.counters.list(1);
        let page = || self.remote.page(directory, after);
        let page = self.remote.pass(directory, page).await;
        page.map_err(self.workspace.failed("list", directory))
    }

    async fn exists(&self, path: &str) -> Result<bool, StoreError> {
        self.workspace.exists(path).await
    }
}

pub(super) async fn read_many(
    workspace: &Workspace,
    paths: Vec<String>,
) -> Vec<Result<Option<Bytes>, StoreError>> {
    let read = async |path: String| workspace.read(&path).await;
    stream::iter(paths.into_iter().map(read))
        .buffered(CONCURRENCY)
        .collect()
        .await
}
