//! Objects in a store that is spoken to through `object_store`: buckets and memory.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path,
};

use super::{Reader, Workspace, advice, stream::StreamReader};
use crate::StoreError;

/// Requests under way at once for one call on many paths.
const CONCURRENCY: usize = 64;

/// From this size on a body goes through the client that waits as long as an upload takes.
const BULK_BYTES: usize = 4 << 20;

pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    bulk: Arc<dyn ObjectStore>,
    prefix: String,
    /// Whether some answer has shown that the bucket itself is there.
    bucket_seen: AtomicBool,
}

impl Remote {
    /// `bulk` is the same place as `store`, without a limit that a large upload would run into.
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        bulk: Arc<dyn ObjectStore>,
        prefix: &str,
    ) -> Self {
        Self {
            store,
            bulk,
            prefix: prefix.to_owned(),
            bucket_seen: AtomicBool::new(false),
        }
    }

    fn path(&self, path: &str) -> Result<Path, Error> {
        let whole = match (self.prefix.as_str(), path) {
            ("", path) => Path::parse(path),
            (prefix, "") => Path::parse(prefix),
            (prefix, path) => Path::parse(format!("{prefix}/{path}")),
        };
        Ok(whole?)
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
        let path = self.path(path)?;
        if let Some(meta) = self.found(self.store.head(&path).await)? {
            return Ok(Some(meta.size));
        }
        // The answer to HEAD has no body, so it does not say what is missing. Once, ask in a way that
        // does, or a mistyped bucket would look like one that is empty.
        if !self.bucket_seen.load(Ordering::Relaxed) {
            let found = self.found(self.store.get(&path).await)?;
            self.bucket_seen.store(true, Ordering::Relaxed);
            return Ok(found.map(|object| object.meta.size));
        }
        Ok(None)
    }

    pub(super) async fn read(&self, path: &str) -> Result<Option<Bytes>, Error> {
        match self.found(self.store.get(&self.path(path)?).await)? {
            Some(object) => Ok(Some(object.bytes().await?)),
            None => Ok(None),
        }
    }

    /// Whether the object was made; `false` when the store says that it already exists.
    pub(super) async fn create(&self, path: &str, bytes: Bytes) -> Result<bool, Error> {
        match self.put(path, bytes, PutMode::Create).await {
            Ok(()) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn replace(&self, path: &str, bytes: Bytes) -> Result<(), Error> {
        self.put(path, bytes, PutMode::Overwrite).await
    }

    async fn put(&self, path: &str, bytes: Bytes, mode: PutMode) -> Result<(), Error> {
        let path = self.path(path)?;
        let store = if bytes.len() < BULK_BYTES {
            &self.store
        } else {
            &self.bulk
        };
        let payload = PutPayload::from_bytes(bytes);
        store
            .put_opts(&path, payload, PutOptions::from(mode))
            .await?;
        self.bucket_seen.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn delete(&self, path: &str) -> Result<bool, Error> {
        let deleted = self.found(self.store.delete(&self.path(path)?).await)?;
        Ok(deleted.is_some())
    }

    pub(super) async fn reader(&self, path: &str) -> Result<Option<Reader>, Error> {
        let Some(object) = self.found(self.store.get(&self.path(path)?).await)? else {
            return Ok(None);
        };
        let chunks = object.into_stream().map_err(io::Error::other).boxed();
        Ok(Some(Box::pin(StreamReader::new(chunks))))
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let above = match self.prefix.as_str() {
            "" => 0,
            prefix => prefix.len() + 1,
        };
        let below = self.path(prefix)?;
        let below = Some(below).filter(|path| !path.as_ref().is_empty());
        let locations = self
            .store
            .list(below.as_ref())
            .map_ok(|object| object.location);
        let locations: Vec<Path> = locations.try_collect().await?;
        // Some consoles mark a "folder" by an object with the prefix itself for a name.
        let relative = |path: &Path| path.as_ref().get(above..).map(str::to_owned);
        Ok(locations.iter().filter_map(relative).collect())
    }

    pub(super) async fn exists_many(
        &self,
        workspace: &Workspace,
        paths: Vec<String>,
    ) -> Result<Vec<bool>, StoreError> {
        let mut found = Vec::with_capacity(paths.len());
        let mut rest = paths.into_iter();
        // The first alone, so that the question for the bucket is asked once and not 64 times.
        if let Some(path) = rest.next() {
            found.push(self.exists(workspace, path).await?);
        }
        let answers = stream::iter(rest.map(|path| self.exists(workspace, path)));
        let mut answers = answers.buffered(CONCURRENCY);
        while let Some(answer) = answers.next().await {
            found.push(answer?);
        }
        Ok(found)
    }

    async fn exists(&self, workspace: &Workspace, path: String) -> Result<bool, StoreError> {
        let size = self.size(&path).await;
        Ok(size.map_err(workspace.failed("look up", &path))?.is_some())
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
