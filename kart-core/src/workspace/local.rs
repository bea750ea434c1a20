//! Objects as files below a directory, by `std::fs` alone. Every operation here is one closure for the
//! [`Pool`] or for a thread of its own; what it does on the disk is in [`disk`].

mod disk;
mod listing;
mod rename;

use std::{
    fs::File,
    io::{self, Read as _},
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future, stream};

use super::{
    CommitGuard, Entry, Reader, advice,
    bound::Bound,
    locate,
    pool::{Pool, Size},
    stream::StreamReader,
};
use crate::StoreError;
use crate::format::File as Output;
use crate::threads::{self, Wanted};
use disk::{Disk, Mode, Permit, Read};

/// Paths in one operation of a call on many.
const BATCH: usize = 256;

/// From this size on a file is written on a blocking thread of its own, so that small ones don't wait.
const LARGE_BYTES: usize = 256 << 10;

/// How much a [`Reader`] takes from the file at once.
const CHUNK_BYTES: usize = 256 << 10;

pub(super) struct Local {
    disk: Arc<Disk>,
    shown: Arc<str>,
    pool: Pool,
    bound: Arc<Bound>,
}

impl Local {
    /// Touches nothing.
    pub(super) fn new(root: PathBuf, shown: String) -> Self {
        Self {
            disk: Arc::new(Disk::new(root)),
            shown: shown.into(),
            pool: Pool::default(),
            bound: Arc::default(),
        }
    }

    pub(super) fn bound(&self) -> Arc<Bound> {
        Arc::clone(&self.bound)
    }

    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        let prepare = |disk: &Disk, _: &str| disk.prepare();
        self.one("write", "_kart", prepare).await
    }

    pub(super) async fn exists_many(&self, paths: Vec<String>) -> Result<Vec<bool>, StoreError> {
        if let [path] = &paths[..] {
            return Ok(vec![self.size(path).await?.is_some()]);
        }
        let exists = Disk::exists;
        let answers = self.each("look up", paths, exists).await;
        answers.into_iter().collect()
    }

    pub(super) async fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.one("look up", path, Disk::size).await
    }

    pub(super) async fn read(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let read = self.one("read", path, Disk::read).await?;
        self.whole(path, read).await
    }

    pub(super) async fn read_many(
        &self,
        paths: Vec<String>,
    ) -> Vec<Result<Option<Bytes>, StoreError>> {
        let reads = self.each("read", paths.clone(), Disk::read).await;
        let mut contents = Vec::with_capacity(reads.len());
        for (path, read) in paths.iter().zip(reads) {
            contents.push(match read {
                Ok(read) => self.whole(path, read).await,
                Err(error) => Err(error),
            });
        }
        contents
    }

    /// Reads what was too large to be read among others.
    async fn whole(&self, path: &str, read: Read) -> Result<Option<Bytes>, StoreError> {
        match read {
            Read::Absent => Ok(None),
            Read::Whole(bytes) => Ok(Some(bytes)),
            Read::Large(file, size) => {
                let size = self.bound.check(size).map_err(io::Error::other);
                size.map_err(|error| self.failed("read", path, error))?;
                let bytes = threads::run(move |_| disk::read_to_end(file)).await;
                let bytes = bytes
                    .flatten()
                    .map_err(|error| self.failed("read", path, error))?;
                Ok(Some(bytes))
            }
        }
    }

    pub(super) async fn create(
        &self,
        path: &str,
        bytes: Bytes,
        guard: &CommitGuard,
    ) -> Result<bool, StoreError> {
        self.publish(path, bytes, Mode::Create, guard).await
    }

    pub(super) async fn replace(
        &self,
        path: &str,
        bytes: Bytes,
        guard: &CommitGuard,
    ) -> Result<(), StoreError> {
        self.publish(path, bytes, Mode::Replace, guard).await?;
        Ok(())
    }

    async fn publish(
        &self,
        path: &str,
        bytes: Bytes,
        mode: Mode,
        guard: &CommitGuard,
    ) -> Result<bool, StoreError> {
        let (disk, owned, guard) = (self.disk.clone(), path.to_owned(), guard.clone());
        let is_small = bytes.len() < LARGE_BYTES && !is_heartbeat(path);
        let publish = move |wanted: &Wanted<'_>| {
            let permit = Permit { guard, wanted };
            disk.publish(&owned, &bytes, mode, &permit)
        };
        let published = if is_small {
            self.pool.submit(Size::Small, publish).await
        } else {
            threads::run(publish).await
        };
        published
            .flatten()
            .map_err(|error| self.failed("write", path, error))
    }

    pub(super) fn new_file(&self) -> io::Result<Output> {
        Ok(Output::temporary(self.disk.new_file()?))
    }

    pub(super) async fn create_file(
        &self,
        path: &str,
        file: &Output,
        guard: &CommitGuard,
    ) -> Result<bool, StoreError> {
        self.publish_file(path, file, Mode::Create, guard).await
    }

    pub(super) async fn replace_file(
        &self,
        path: &str,
        file: &Output,
        guard: &CommitGuard,
    ) -> Result<(), StoreError> {
        self.publish_file(path, file, Mode::Replace, guard).await?;
        Ok(())
    }

    async fn publish_file(
        &self,
        path: &str,
        file: &Output,
        mode: Mode,
        guard: &CommitGuard,
    ) -> Result<bool, StoreError> {
        let guard = guard.clone();
        let (disk, owned, file) = (self.disk.clone(), path.to_owned(), file.clone());
        let publish = move |wanted: &Wanted<'_>| {
            let permit = Permit { guard, wanted };
            disk.publish_file(&owned, &file, mode, &permit)
        };
        threads::run(publish)
            .await
            .flatten()
            .map_err(|error| self.failed("write", path, error))
    }

    pub(super) async fn fetch(&self, path: &str) -> Result<Option<Output>, StoreError> {
        let size = self.size(path).await?;
        Ok(size.map(|_| Output::at(self.disk.whole(path))))
    }

    pub(super) async fn read_range(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, StoreError> {
        let (disk, owned) = (self.disk.clone(), path.to_owned());
        threads::run(move |_| disk.read_range(&owned, range))
            .await
            .flatten()
            .map_err(|error| self.failed("read", path, error))
    }

    pub(super) async fn delete(&self, path: &str) -> Result<bool, StoreError> {
        self.one("delete", path, Disk::delete).await
    }

    pub(super) async fn reader(&self, path: &str) -> Result<Option<Reader>, StoreError> {
        let Some(file) = self.one("read", path, Disk::open).await? else {
            return Ok(None);
        };
        let chunks = stream::unfold(Some(file), |file| async {
            let mut file = file?;
            match threads::run(move |_| read_chunk(&mut file).map(|chunk| (chunk, file))).await {
                Ok(Ok((chunk, _))) if chunk.is_empty() => None,
                Ok(Ok((chunk, file))) => Some((Ok(chunk), Some(file))),
                Ok(Err(error)) | Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Some(Box::pin(StreamReader::new(chunks.boxed()))))
    }

    pub(super) async fn entries(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let (disk, owned) = (self.disk.clone(), prefix.to_owned());
        threads::run(move |_| disk.entries(&owned))
            .await
            .flatten()
            .map_err(|error| self.failed("list", prefix, error))
    }

    pub(super) async fn relocate(&self, from: &str, to: &str) -> Result<bool, StoreError> {
        let owned = to.to_owned();
        let relocate = move |disk: &Disk, from: &str| disk.relocate(from, &owned);
        self.one("move", from, relocate).await
    }

    async fn one<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl FnOnce(&Disk, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (disk, owned) = (self.disk.clone(), path.to_owned());
        let on_disk = move |_: &Wanted<'_>| work(&disk, &owned);
        let done = if is_heartbeat(path) {
            threads::run(on_disk).await
        } else {
            self.pool.submit(Size::Small, on_disk).await
        };
        done.flatten()
            .map_err(|error| self.failed(operation, path, error))
    }

    async fn each<T: Send + 'static>(
        &self,
        operation: &'static str,
        paths: Vec<String>,
        work: impl Fn(&Disk, &str) -> io::Result<T> + Copy + Send + 'static,
    ) -> Vec<Result<T, StoreError>> {
        let batch = |paths: &[String]| {
            let (disk, owned) = (self.disk.clone(), paths.to_vec());
            let run = move |_: &Wanted<'_>| match disk.ensure_not_gone() {
                Ok(()) => owned.iter().map(|path| work(&disk, path)).collect(),
                Err(error) => {
                    let gone = |_| Err(error.kind().into());
                    owned.iter().map(gone).collect::<Vec<_>>()
                }
            };
            // Polled once, so that all batches are in the queue before the first is waited for.
            let mut answers = Box::pin(self.pool.submit(Size::Batch, run));
            let ready = answers.as_mut().now_or_never();
            async move {
                match ready {
                    Some(answers) => answers,
                    None => answers.await,
                }
            }
        };
        let batches: Vec<_> = paths.chunks(BATCH).map(batch).collect();
        let answers = future::join_all(batches).await;
        let answers = answers.into_iter().zip(paths.chunks(BATCH));
        answers
            .flat_map(|(answers, paths)| match answers {
                Ok(answers) => answers,
                // One error for each path of a batch that was lost.
                Err(error) => {
                    let again = || Err(io::Error::new(error.kind(), error.to_string()));
                    paths.iter().map(|_| again()).collect()
                }
            })
            .zip(&paths)
            .map(|(answer, path)| answer.map_err(|error| self.failed(operation, path, error)))
            .collect()
    }

    fn failed(&self, operation: &'static str, path: &str, error: io::Error) -> StoreError {
        if self.disk.root_is_file() {
            return StoreError {
                operation,
                location: self.shown.to_string(),
                advice: Some(
                    "the workspace is a file: name a directory, or remove the file".to_owned(),
                ),
                source: error.into(),
                transient: false,
            };
        }
        if self.disk.is_gone() {
            return StoreError {
                operation,
                location: locate(&self.shown, path),
                advice: Some(format!(
                    "the workspace `{}` is gone: it was removed or renamed while it was in use; put it back, or make an empty directory there, then run again",
                    self.shown
                )),
                source: error.into(),
                transient: true,
            };
        }
        advice::local(operation, locate(&self.shown, path), error)
    }
}

/// Heartbeats wait for no other operation: a process that is silent for too long is taken for dead.
fn is_heartbeat(path: &str) -> bool {
    path.starts_with("_kart/workers/")
}

fn read_chunk(file: &mut File) -> io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    file.take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
    Ok(chunk.into())
}
