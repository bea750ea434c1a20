//! Objects in a store that is spoken to through `object_store`: buckets and memory.

mod request;

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use object_store::{
    Attribute, Attributes, Error, ObjectStore, multipart::MultipartStore, path::Path,
};
use tempfile::NamedTempFile;
use tokio::sync::Mutex;

use super::adaptive_limit::AdaptiveLimit;
use super::backend::{
    Answer, Answers, Backend, Content, Found, Mode, Object, Place, Tuning, Write, Written,
};
use super::bulk_exists::Page;
use super::retry::{LOCAL, RetryTimeout};
use super::{CommitGuard, Committing, ObjectInfo, Reader, display_url, hints, layout};
use crate::error::StoreError;
use crate::format::File;

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

/// The names of objects have at most so many bytes at S3, GCS and Azure.
const MAX_NAME_BYTES: usize = 1024;

pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    bulk: Arc<dyn ObjectStore>,
    parts: Option<Arc<dyn MultipartStore>>,
    prefix: String,
    /// The workspace, as a person would write it.
    location: String,
    place: Place,
    tuning: Arc<Tuning>,
    /// Whether some answer has shown that the bucket itself is there.
    bucket_seen: AtomicBool,
    /// Held while the bucket is asked for.
    asks_for_bucket: Mutex<()>,
}

impl Remote {
    pub(super) fn new(
        clients: Clients,
        prefix: &str,
        location: String,
        place: Place,
        tuning: Arc<Tuning>,
    ) -> Self {
        Self {
            store: clients.store,
            bulk: clients.bulk,
            parts: clients.parts,
            prefix: prefix.to_owned(),
            location,
            place,
            tuning,
            bucket_seen: AtomicBool::new(false),
            asks_for_bucket: Mutex::new(()),
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

    /// Where requests cost time.
    pub(super) fn limit(&self) -> Option<&AdaptiveLimit> {
        (self.place == Place::Bucket).then_some(&self.tuning.concurrency)
    }

    /// The client for what takes long.
    pub(super) fn bulk(&self) -> &dyn ObjectStore {
        &self.bulk
    }

    pub(super) fn retry_timeout(&self) -> &RetryTimeout {
        &self.tuning.retry_timeout
    }

    /// Whether some answer has shown that the bucket can be used.
    pub(super) fn has_answered(&self) -> bool {
        self.bucket_seen.load(Ordering::Relaxed)
    }

    fn failed(&self, operation: &'static str, path: &str) -> impl FnOnce(Error) -> StoreError {
        move |error| {
            let url = display_url(&self.location, path);
            hints::remote(operation, url, &self.location, error)
        }
    }

    /// Copies an object to a file.
    async fn copy_to_file(&self, reader: &mut Reader) -> io::Result<File> {
        let file = self.new_file()?;
        let mut copy = tokio::fs::File::create(file.path()).await?;
        tokio::io::copy_buf(reader, &mut copy).await?;
        tokio::io::AsyncWriteExt::flush(&mut copy).await?;
        Ok(file)
    }
}

impl Backend for Remote {
    fn prepare(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn check_place<'a>(&'a self, path: &'a str) -> Answer<'a, ()> {
        let longest = self.prefix.len() + 1 + layout::longest(path);
        if longest <= MAX_NAME_BYTES {
            return Box::pin(async { Ok(()) });
        }
        let error = StoreError {
            operation: "write",
            location: display_url(&self.location, path),
            hint: Some("shorten the task's `path`, for instance to `{key}`".to_owned()),
            transient: false,
            source: format!(
                "with what kart puts before it the name has {longest} bytes, and buckets take {MAX_NAME_BYTES}"
            )
            .into(),
        };
        Box::pin(async { Err(error) })
    }

    fn size<'a>(&'a self, path: &'a str) -> Answer<'a, Option<u64>> {
        Box::pin(async move {
            let size = self.size_of(path).await;
            size.map_err(self.failed("look up", path))
        })
    }

    fn look_up<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Found>> {
        Box::pin(async move {
            let found = self.head_of(path).await;
            found.map_err(self.failed("look up", path))
        })
    }

    fn look_up_many(&self, paths: Vec<String>) -> Answers<'_, Option<Found>> {
        let look_up = async |path: String| self.look_up(&path).await;
        let looks = stream::iter(paths.into_iter().map(look_up));
        Box::pin(looks.buffered(CONCURRENCY).collect())
    }

    fn exists_many(&self, paths: Vec<String>) -> Answer<'_, Vec<bool>> {
        Box::pin(async move {
            let mut found = Vec::with_capacity(paths.len());
            for path in paths {
                found.push(self.size(&path).await?.is_some());
            }
            Ok(found)
        })
    }

    fn page<'a>(&'a self, directory: &'a str, after: &'a str) -> Answer<'a, Page> {
        Box::pin(async move {
            let page = self.pass(directory, || self.list_page(directory, after));
            page.await.map_err(self.failed("list", directory))
        })
    }

    fn read<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Object>> {
        Box::pin(async move {
            let bytes = self.get(path).await;
            bytes.map_err(self.failed("read", path))
        })
    }

    fn read_many(&self, paths: Vec<String>) -> Answers<'_, Option<Object>> {
        let read = async |path: String| self.read(&path).await;
        let reads = stream::iter(paths.into_iter().map(read));
        Box::pin(reads.buffered(CONCURRENCY).collect())
    }

    fn read_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> Answer<'a, Option<Bytes>> {
        Box::pin(async move {
            let bytes = self.get_range(path, range).await;
            bytes.map_err(self.failed("read", path))
        })
    }

    fn reader<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Reader>> {
        Box::pin(async move {
            let reader = self.get_stream(path).await;
            reader.map_err(self.failed("read", path))
        })
    }

    fn fetch<'a>(&'a self, path: &'a str) -> Answer<'a, Option<File>> {
        Box::pin(async move {
            let Some(mut reader) = self.reader(path).await? else {
                return Ok(None);
            };
            let copied = self.copy_to_file(&mut reader).await;
            copied.map(Some).map_err(|error| StoreError {
                operation: "read",
                location: display_url(&self.location, path),
                hint: Some(format!(
                    "its copy goes to `{}`: there must be room for it",
                    std::env::temp_dir().display()
                )),
                transient: hints::is_transient(&error),
                source: error.into(),
            })
        })
    }

    fn write<'a>(&'a self, write: Write<'a>) -> Answer<'a, Written> {
        Box::pin(async move {
            let (path, mode) = (write.path, write.mode);
            let written = match &write.content {
                Content::Bytes(bytes) => self.put(&write, bytes.clone()).await,
                Content::File(file) => self.put_file(&write, file).await,
            };
            match written {
                Ok(written) => Ok(written),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. })
                    if mode == Mode::Create =>
                {
                    Ok(Written::Exists)
                }
                Err(Error::NotImplemented { .. } | Error::NotSupported { .. })
                    if write.metadata.is_some() =>
                {
                    Ok(Written::Unsupported)
                }
                Err(error) => Err(self.failed("write", path)(error)),
            }
        })
    }

    fn annotate<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn delete<'a>(&'a self, path: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let deleted = self.delete_object(path).await;
            deleted.map_err(self.failed("delete", path))
        })
    }

    fn delete_once<'a>(&'a self, path: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let deleted = self.send_delete(path).await;
            deleted.map_err(self.failed("delete", path))
        })
    }

    fn objects<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<ObjectInfo>> {
        Box::pin(async move {
            let objects = self.list_objects(prefix).await;
            objects.map_err(self.failed("list", prefix))
        })
    }

    fn rename<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let moved = self.copy_and_delete(from, to).await;
            moved.map_err(self.failed("move", from))
        })
    }

    fn new_file(&self) -> io::Result<File> {
        Ok(File::temporary(NamedTempFile::new()?.into_temp_path()))
    }

    fn abort_stale_uploads(&self) -> Answer<'_, usize> {
        Box::pin(async move {
            let swept = self.sweep(layout::UPLOADS).await;
            swept.map_err(self.failed("delete", layout::UPLOADS))
        })
    }
}

/// Lets a commit pass, unless the guard is closed.
pub(super) fn enter(guard: &CommitGuard) -> Result<Committing, Error> {
    guard.enter().ok_or_else(|| Error::Generic {
        store: LOCAL,
        source: crate::interrupted().into(),
    })
}

/// The name under which metadata is kept with an object.
const METADATA: Attribute = Attribute::Metadata(Cow::Borrowed("kart"));

/// What is sent with an object.
pub(super) fn attributes(metadata: Option<&str>) -> Attributes {
    let pair = metadata.map(|metadata| (METADATA, metadata.to_owned()));
    pair.into_iter().collect()
}

/// Returns what was recorded with an object.
fn metadata(attributes: &Attributes) -> Option<String> {
    Some(attributes.get(&METADATA)?.to_string())
}
