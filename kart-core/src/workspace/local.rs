//! Objects as files below a directory, by `std::fs` alone. Every operation here is one closure for the
//! [`Pool`] or for a thread of its own; what it does on the disk is in [`disk`].

mod disk;
mod listing;
mod metadata;
mod place;
mod publish;
mod rename;
mod sync_group;

use std::{
    fs::File,
    io::{self, Read as _},
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future, stream};

use super::backend::{
    Access, Answer, Answers, Backend, Content, Found, Object, Tuning, Write, Written,
};
use super::bulk_exists::Page;
use super::pool::{Pool, Size};
use super::stream::StreamReader;
use super::{Durability, ObjectInfo, Reader, display_url, hints, layout};
use crate::StoreError;
use crate::format::File as Output;
use crate::threads::{self, Wanted};
use disk::{Content as ReadContent, Disk, Read};
use publish::{Kind, Permit};

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
    tuning: Arc<Tuning>,
}

impl Local {
    /// Touches nothing.
    pub(super) fn new(root: PathBuf, shown: String, tuning: Arc<Tuning>) -> Self {
        Self {
            disk: Arc::new(Disk::new(root)),
            shown: shown.into(),
            pool: Pool::default(),
            tuning,
        }
    }

    /// Reads what was too large to be read among others.
    async fn whole(&self, path: &str, read: Option<Read>) -> Result<Option<Object>, StoreError> {
        let Some(Read { content, metadata }) = read else {
            return Ok(None);
        };
        let bytes = match content {
            ReadContent::Whole(bytes) => bytes,
            ReadContent::Large(file, size) => {
                let size = self.tuning.size_limit.check(size).map_err(io::Error::other);
                size.map_err(|error| self.failed("read", path, error))?;
                let bytes = threads::run(move |_| disk::read_to_end(file)).await;
                bytes
                    .flatten()
                    .map_err(|error| self.failed("read", path, error))?
            }
        };
        Ok(Some(Object { bytes, metadata }))
    }

    async fn publish(&self, write: Write<'_>) -> io::Result<Written> {
        let (disk, guard, path) = (
            self.disk.clone(),
            write.guard.clone(),
            write.path.to_owned(),
        );
        let kind = Kind {
            mode: write.mode,
            access: write.access,
            metadata: write.metadata.map(str::to_owned),
            durability: match write.access {
                Access::ReadOnly => self.tuning.durability.get(),
                Access::Writable => Durability::Process,
            },
        };
        match write.content {
            Content::Bytes(bytes) => {
                // Flushes are shared by those that wait for one at the same time, each on a thread of its own.
                let is_small = bytes.len() < LARGE_BYTES
                    && !layout::is_heartbeat(&path)
                    && kind.durability == Durability::Process;
                let publish = move |wanted: &Wanted<'_>| {
                    disk.publish(&path, &bytes, &kind, &Permit { guard, wanted })
                };
                if is_small {
                    self.pool.submit(Size::Small, publish).await
                } else {
                    threads::run(publish).await
                }
            }
            Content::File(file) => {
                let file = file.clone();
                let publish = move |wanted: &Wanted<'_>| {
                    disk.publish_file(&path, &file, &kind, &Permit { guard, wanted })
                };
                threads::run(publish).await
            }
        }
        .flatten()
    }

    async fn one<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl FnOnce(&Disk, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (disk, owned) = (self.disk.clone(), path.to_owned());
        let on_disk = move |_: &Wanted<'_>| work(&disk, &owned);
        // Heartbeats wait for no other operation: a process that is silent for too long is taken for dead.
        let done = if layout::is_heartbeat(path) {
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
                hint: Some(
                    "the workspace is a file: name a directory, or remove the file".to_owned(),
                ),
                source: error.into(),
                transient: false,
            };
        }
        if self.disk.is_gone() {
            return StoreError {
                operation,
                location: display_url(&self.shown, path),
                hint: Some(format!(
                    "the workspace `{}` is gone: it was removed or renamed while it was in use; put it back, or make an empty directory there, then run again",
                    self.shown
                )),
                source: error.into(),
                transient: true,
            };
        }
        hints::local(operation, display_url(&self.shown, path), error)
    }
}

impl Backend for Local {
    fn prepare(&self) -> Answer<'_, ()> {
        let prepare = |disk: &Disk, _: &str| disk.prepare();
        Box::pin(self.one("write", layout::OWN, prepare))
    }

    fn check_place<'a>(&'a self, path: &'a str) -> Answer<'a, ()> {
        if self.disk.knows_place(path) {
            return Box::pin(async { Ok(()) });
        }
        Box::pin(self.one("write", path, Disk::check_place))
    }

    fn size<'a>(&'a self, path: &'a str) -> Answer<'a, Option<u64>> {
        Box::pin(self.one("look up", path, Disk::size))
    }

    fn look_up<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Found>> {
        Box::pin(self.one("look up", path, Disk::look_up))
    }

    fn look_up_many(&self, paths: Vec<String>) -> Answers<'_, Option<Found>> {
        Box::pin(self.each("look up", paths, Disk::look_up_one_of))
    }

    fn exists_many(&self, paths: Vec<String>) -> Answer<'_, Vec<bool>> {
        Box::pin(async move {
            if let [path] = &paths[..] {
                return Ok(vec![self.size(path).await?.is_some()]);
            }
            let answers = self.each("look up", paths, Disk::exists).await;
            answers.into_iter().collect()
        })
    }

    /// Every object of the directory, since listing it costs no more.
    fn page<'a>(&'a self, directory: &'a str, after: &'a str) -> Answer<'a, Page> {
        Box::pin(async move {
            let objects = self.objects(directory).await?;
            let mut names: Vec<String> = objects.into_iter().map(|object| object.path).collect();
            names.retain(|name| name.as_str() > after);
            names.sort_unstable();
            Ok(Page {
                names,
                is_last: true,
            })
        })
    }

    fn read<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Object>> {
        Box::pin(async move {
            let read = self.one("read", path, Disk::read).await?;
            self.whole(path, read).await
        })
    }

    fn read_many(&self, paths: Vec<String>) -> Answers<'_, Option<Object>> {
        Box::pin(async move {
            let reads = self.each("read", paths.clone(), Disk::read).await;
            let mut contents = Vec::with_capacity(reads.len());
            for (path, read) in paths.iter().zip(reads) {
                contents.push(match read {
                    Ok(read) => self.whole(path, read).await,
                    Err(error) => Err(error),
                });
            }
            contents
        })
    }

    fn read_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> Answer<'a, Option<Bytes>> {
        let (disk, owned) = (self.disk.clone(), path.to_owned());
        Box::pin(async move {
            let read = threads::run(move |_| disk.read_range(&owned, range)).await;
            read.flatten()
                .map_err(|error| self.failed("read", path, error))
        })
    }

    fn reader<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Reader>> {
        Box::pin(async move {
            let file = self.one("read", path, Disk::open).await?;
            Ok(file.map(read_in_chunks))
        })
    }

    fn fetch<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Output>> {
        Box::pin(async move {
            let size = self.size(path).await?;
            Ok(size.map(|_| Output::at(self.disk.whole(path))))
        })
    }

    fn write<'a>(&'a self, write: Write<'a>) -> Answer<'a, Written> {
        let path = write.path;
        Box::pin(async move {
            let written = self.publish(write).await;
            written.map_err(|error| self.failed("write", path, error))
        })
    }

    fn annotate<'a>(&'a self, path: &'a str, metadata: &'a str) -> Answer<'a, bool> {
        let metadata = metadata.to_owned();
        Box::pin(self.one("write", path, move |disk, path| {
            disk.annotate(path, &metadata)
        }))
    }

    fn delete<'a>(&'a self, path: &'a str) -> Answer<'a, bool> {
        Box::pin(self.one("delete", path, Disk::delete))
    }

    fn delete_once<'a>(&'a self, path: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.delete(path).await.map(drop) })
    }

    fn objects<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<ObjectInfo>> {
        let (disk, owned) = (self.disk.clone(), prefix.to_owned());
        Box::pin(async move {
            let objects = threads::run(move |_| disk.objects(&owned)).await;
            objects
                .flatten()
                .map_err(|error| self.failed("list", prefix, error))
        })
    }

    fn rename<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, bool> {
        let to = to.to_owned();
        let rename = move |disk: &Disk, from: &str| disk.rename(from, &to);
        Box::pin(self.one("move", from, rename))
    }

    fn new_file(&self) -> io::Result<Output> {
        Ok(Output::temporary(self.disk.new_file()?))
    }

    /// Nothing: what a process leaves in a directory is removed by the next one that writes.
    fn abort_stale_uploads(&self) -> Answer<'_, usize> {
        Box::pin(async { Ok(0) })
    }
}

fn read_in_chunks(file: File) -> Reader {
    let chunks = stream::unfold(Some(file), |file| async {
        let mut file = file?;
        match threads::run(move |_| read_chunk(&mut file).map(|chunk| (chunk, file))).await {
            Ok(Ok((chunk, _))) if chunk.is_empty() => None,
            Ok(Ok((chunk, file))) => Some((Ok(chunk), Some(file))),
            Ok(Err(error)) | Err(error) => Some((Err(error), None)),
        }
    });
    Box::pin(StreamReader::new(chunks.boxed()))
}

fn read_chunk(file: &mut File) -> io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    file.take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
    Ok(chunk.into())
}
