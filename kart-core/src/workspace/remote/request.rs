//! The requests to a store, each with its repeats.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, path::Path,
};

use super::super::backend::{Found, Mode, Object, Write, Written};
use super::super::bulk_exists::{PAGE, Page};
use super::super::resume::{Body, cut_off};
use super::super::retry::LOCAL;
use super::super::stream::StreamReader;
use super::super::{ObjectInfo, Reader, hints};
use super::{BULK_BYTES, Remote, attributes, enter, metadata};

impl Remote {
    /// "Not found" as `None`, unless it is the bucket that was not found.
    fn found<T>(&self, answer: Result<T, Error>) -> Result<Option<T>, Error> {
        match answer {
            Ok(value) => {
                self.bucket_seen.store(true, Ordering::Relaxed);
                Ok(Some(value))
            }
            Err(Error::NotFound { source, .. }) if !hints::names_bucket(source.as_ref()) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// How large an object is, and what was recorded with it.
    pub(in crate::workspace) async fn head_of(&self, path: &str) -> Result<Option<Found>, Error> {
        let whole = self.path(path)?;
        let options = GetOptions::new().with_head(true);
        let head = self.pass(path, || self.store.get_opts(&whole, options.clone()));
        if let Some(object) = self.found(head.await)? {
            return Ok(Some(Found {
                bytes: object.meta.size,
                metadata: metadata(&object.attributes),
            }));
        }
        // It says whether it is the bucket that is missing.
        self.size_of(path).await?;
        Ok(None)
    }

    pub(super) async fn size_of(&self, path: &str) -> Result<Option<u64>, Error> {
        let whole = self.path(path)?;
        self.pass(path, || self.head(&whole)).await
    }

    async fn head(&self, path: &Path) -> Result<Option<u64>, Error> {
        if let Some(meta) = self.found(self.store.head(path).await)? {
            return Ok(Some(meta.size));
        }
        // The answer to HEAD has no body, so it does not say what is missing. Once, ask in a way that
        // does, or a mistyped bucket would look like one that is empty.
        if self.has_answered() {
            return Ok(None);
        }
        let _one_asks = self.asks_for_bucket.lock().await;
        if !self.has_answered() {
            let found = self.found(self.store.get(path).await)?;
            self.bucket_seen.store(true, Ordering::Relaxed);
            return Ok(found.map(|object| object.meta.size));
        }
        Ok(None)
    }

    pub(super) async fn get(&self, path: &str) -> Result<Option<Object>, Error> {
        let whole = self.path(path)?;
        self.pass(path, || self.get_whole(&whole)).await
    }

    async fn get_whole(&self, path: &Path) -> Result<Option<Object>, Error> {
        match self.found(self.store.get(path).await)? {
            Some(object) => {
                let size = self.tuning.size_limit.check(object.meta.size);
                size.map_err(|error| Error::Generic {
                    store: LOCAL,
                    source: error.into(),
                })?;
                let size = object.meta.size;
                let metadata = metadata(&object.attributes);
                let bytes = object.bytes().await?;
                match bytes.len() as u64 {
                    at if at < size => Err(cut_off(at, size)),
                    _ => Ok(Some(Object { bytes, metadata })),
                }
            }
            None => Ok(None),
        }
    }

    pub(super) async fn get_range(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, Error> {
        let Some(size) = self.size_of(path).await? else {
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

    /// Sends an object with one request.
    pub(in crate::workspace) async fn put(
        &self,
        write: &Write<'_>,
        bytes: Bytes,
    ) -> Result<Written, Error> {
        let whole = self.path(write.path)?;
        let store = if bytes.len() < BULK_BYTES {
            &self.store
        } else {
            &self.bulk
        };
        let options = PutOptions {
            mode: match write.mode {
                Mode::Create => PutMode::Create,
                Mode::Replace => PutMode::Overwrite,
            },
            attributes: attributes(write.metadata),
            ..PutOptions::default()
        };
        let put = || async {
            let _committing = enter(write.guard)?;
            let payload = PutPayload::from_bytes(bytes.clone());
            store.put_opts(&whole, payload, options.clone()).await
        };
        self.pass(write.path, put).await?;
        self.bucket_seen.store(true, Ordering::Relaxed);
        Ok(Written::Done)
    }

    pub(super) async fn delete_object(&self, path: &str) -> Result<bool, Error> {
        let whole = self.path(path)?;
        let deleted = self.pass(path, || self.store.delete(&whole)).await;
        Ok(self.found(deleted)?.is_some())
    }

    /// Sends one request, and repeats nothing.
    pub(super) async fn send_delete(&self, path: &str) -> Result<(), Error> {
        let deleted = self.store.delete(&self.path(path)?).await;
        self.found(deleted).map(drop)
    }

    pub(super) async fn get_stream(&self, path: &str) -> Result<Option<Reader>, Error> {
        let whole = self.path(path)?;
        let opened = self.pass(path, || self.store.get(&whole)).await;
        let Some(object) = self.found(opened)? else {
            return Ok(None);
        };
        let backoff = self.tuning.retry_timeout.backoff();
        let body = Body::new(Arc::clone(&self.store), whole, object, backoff);
        Ok(Some(Box::pin(StreamReader::new(body.into_stream()))))
    }

    pub(super) async fn list_objects(&self, prefix: &str) -> Result<Vec<ObjectInfo>, Error> {
        let above = self.above();
        let below = self.path(prefix)?;
        let below = Some(below).filter(|path| !path.as_ref().is_empty());
        let list = || self.store.list(below.as_ref()).try_collect::<Vec<_>>();
        let listed = self.pass(prefix, list).await?;
        // Some consoles mark a "folder" by an object with the prefix itself for a name.
        let info = |object: ObjectMeta| {
            Some(ObjectInfo {
                path: object.location.as_ref().get(above..)?.to_owned(),
                bytes: object.size,
                modified: object.last_modified.into(),
            })
        };
        Ok(listed.into_iter().filter_map(info).collect())
    }

    pub(super) async fn copy_and_delete(&self, from: &str, to: &str) -> Result<bool, Error> {
        let (source, target) = (self.path(from)?, self.path(to)?);
        let copied = self.pass(from, || self.bulk.copy(&source, &target)).await;
        if self.found(copied)?.is_none() {
            return Ok(false);
        }
        self.delete_object(from).await?;
        Ok(true)
    }

    pub(super) async fn list_page(&self, directory: &str, after: &str) -> Result<Page, Error> {
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
