//! Files as objects of a bucket: small ones with one request, large ones in parts.
//!
//! No store has create-only uploads in parts. So the parts become an object `_kart/uploads/{…}` first, which is
//! then copied to its place, create-only, and deleted. What a killed process has left of it is deleted by the
//! next upload to the same place.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::{CopyMode, CopyOptions, Error, ObjectStoreExt as _, PutMode, path::Path};

use super::remote::{BULK_BYTES, Remote};
use crate::format::File;

/// The bytes of a part, but for very large files: stores take no more than 10,000 parts.
const PART_BYTES: u64 = 8 << 20;
const MOST_PARTS: u64 = 9_000;
/// Parts of one file on their way at once; each is in memory.
const PARTS: usize = 4;

impl Remote {
    pub(super) async fn create_file(&self, path: &str, file: &File) -> Result<bool, Error> {
        let done = self.put_file(path, file, PutMode::Create).await;
        match done {
            Ok(()) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn replace_file(&self, path: &str, file: &File) -> Result<(), Error> {
        self.put_file(path, file, PutMode::Overwrite).await
    }

    async fn put_file(&self, path: &str, file: &File, mode: PutMode) -> Result<(), Error> {
        let size = file.size().map_err(local)?;
        if size <= BULK_BYTES as u64 {
            let bytes = read_part(file, 0, size).await?;
            return self.put(path, bytes, mode).await;
        }
        let to = self.path(path)?;
        let uploads = format!("_kart/uploads/{}", path.replace('/', "%2F"));
        self.sweep(&uploads).await?;
        let from = self.path(&format!("{uploads}/{:016x}", fastrand::u64(..)))?;
        self.upload(&from, file, size).await?;
        let mode = match mode {
            PutMode::Create => CopyMode::Create,
            _ => CopyMode::Overwrite,
        };
        let options = CopyOptions::new().with_mode(mode);
        let copied = self.bulk().copy_opts(&from, &to, options).await;
        let deleted = self.bulk().delete(&from).await;
        copied?;
        deleted
    }

    /// Uploads a file in parts; on a failure the store is told to forget them.
    async fn upload(&self, to: &Path, file: &File, size: u64) -> Result<(), Error> {
        let part = PART_BYTES.max(size.div_ceil(MOST_PARTS));
        let mut upload = self.bulk().put_multipart(to).await?;
        let starts = (0..size.div_ceil(part)).map(|at| at * part);
        let mut reads = stream::iter(starts)
            .map(|start| read_part(file, start, part.min(size - start)))
            .buffered(2);
        let mut sent = stream::FuturesUnordered::new();
        let result = async {
            while let Some(bytes) = reads.try_next().await? {
                if sent.len() >= PARTS {
                    sent.try_next().await?;
                }
                sent.push(upload.put_part(bytes.into()));
            }
            while sent.try_next().await?.is_some() {}
            Ok(())
        };
        let result = result.await;
        drop((reads, sent));
        match result {
            Ok(()) => upload.complete().await.map(drop),
            Err(error) => {
                // What is left of it costs money and does no harm.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    /// Deletes what uploads to the same place have left: whoever uploads now owns the place.
    async fn sweep(&self, uploads: &str) -> Result<(), Error> {
        let below = self.path(uploads)?;
        let left = self
            .bulk()
            .list(Some(&below))
            .map_ok(|object| object.location);
        self.bulk()
            .delete_stream(left.boxed())
            .try_for_each(|_| async { Ok(()) })
            .await
    }
}

async fn read_part(file: &File, start: u64, length: u64) -> Result<Bytes, Error> {
    let file = file.clone();
    let read = move || {
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        let mut file = file.open()?;
        file.seek(SeekFrom::Start(start))?;
        file.take(length).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length {
            return Err(io::Error::other("the file got shorter while it was stored"));
        }
        Ok(Bytes::from(bytes))
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(io::Error::from).flatten().map_err(local)
}

/// An error of the file itself.
fn local(error: io::Error) -> Error {
    Error::Generic {
        store: "the local file",
        source: error.into(),
    }
}
