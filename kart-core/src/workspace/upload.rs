//! Files as objects of a bucket: small ones with one request, large ones in parts.
//!
//! No store has create-only uploads in parts. So the parts become an object `_kart/uploads/{…}` first, which is
//! then copied to its place, create-only, and deleted. What a killed process has left of it is deleted by the
//! next upload to the same place.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use futures_util::stream::{self, TryStreamExt as _};
use object_store::{CopyMode, CopyOptions, Error, ObjectStoreExt as _, PutMode, path::Path};

use super::CommitGuard;
use super::remote::{BULK_BYTES, Remote, enter};
use crate::format::File;

/// Where files are before they are copied to their places.
pub(super) const UPLOADS: &str = "_kart/uploads";
/// The ending of the object that says which upload is under way.
const RECORD: &str = ".upload";
/// The bytes of a part, but for very large files: stores take no more than 10,000 parts.
const PART_BYTES: u64 = 8 << 20;
const MOST_PARTS: u64 = 9_000;
/// Parts of one file on their way at once; each is in memory.
const PARTS: usize = 4;

impl Remote {
    pub(super) async fn create_file(
        &self,
        path: &str,
        file: &File,
        guard: &CommitGuard,
    ) -> Result<bool, Error> {
        let done = self.put_file(path, file, PutMode::Create, guard).await;
        match done {
            Ok(()) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn replace_file(
        &self,
        path: &str,
        file: &File,
        guard: &CommitGuard,
    ) -> Result<(), Error> {
        self.put_file(path, file, PutMode::Overwrite, guard).await
    }

    async fn put_file(
        &self,
        path: &str,
        file: &File,
        mode: PutMode,
        guard: &CommitGuard,
    ) -> Result<(), Error> {
        let size = file.size().map_err(local)?;
        if size <= BULK_BYTES as u64 {
            let bytes = read_part(file.clone(), 0, size).await?;
            return self.put(path, bytes, mode, guard).await;
        }
        let to = self.path(path)?;
        let uploads = format!("{UPLOADS}/{}", path.replace('/', "%2F"));
        self.sweep(&uploads).await?;
        let from = format!("{uploads}/{:016x}", fastrand::u64(..));
        self.upload(&from, file, size).await?;
        let from = self.path(&from)?;
        let mode = match mode {
            PutMode::Create => CopyMode::Create,
            _ => CopyMode::Overwrite,
        };
        let options = CopyOptions::new().with_mode(mode);
        let copied = match enter(guard) {
            Ok(_committing) => self.bulk().copy_opts(&from, &to, options).await,
            Err(refused) => Err(refused),
        };
        let deleted = self.bulk().delete(&from).await;
        copied?;
        deleted
    }

    /// Uploads a file in parts. That it is under way is written down first, so that its parts can be found and
    /// given up when this process is killed.
    async fn upload(&self, to: &str, file: &File, size: u64) -> Result<(), Error> {
        let Some(parts) = self.parts() else {
            return self.upload_unrecorded(&self.path(to)?, file, size).await;
        };
        let (whole, record) = (self.path(to)?, self.path(&format!("{to}{RECORD}"))?);
        let id = parts.create_multipart(&whole).await?;
        let recorded = self.bulk().put(&record, id.clone().into_bytes().into());
        let sent = async {
            recorded.await?;
            let mut sent = stream::FuturesUnordered::new();
            let mut done = BTreeMap::new();
            for (number, bytes) in pieces(file, size) {
                let bytes = bytes.await?;
                if sent.len() >= PARTS {
                    done.extend(sent.try_next().await?);
                }
                let put = parts.put_part(&whole, &id, number, bytes.into());
                sent.push(put.map_ok(move |part| (number, part)));
            }
            while let Some(part) = sent.try_next().await? {
                done.extend([part]);
            }
            let sent = done.into_values().collect();
            parts.complete_multipart(&whole, &id, sent).await
        };
        let sent = sent.await;
        if sent.is_err() {
            // What cannot be given up now is given up by the next upload.
            parts.abort_multipart(&whole, &id).await?;
        }
        self.bulk().delete(&record).await?;
        sent.map(drop)
    }

    /// The same where a store has no names for uploads that are under way.
    async fn upload_unrecorded(&self, to: &Path, file: &File, size: u64) -> Result<(), Error> {
        let mut upload = self.bulk().put_multipart(to).await?;
        let mut sent = stream::FuturesUnordered::new();
        let result = async {
            for (_, bytes) in pieces(file, size) {
                let bytes = bytes.await?;
                if sent.len() >= PARTS {
                    sent.try_next().await?;
                }
                sent.push(upload.put_part(bytes.into()));
            }
            while sent.try_next().await?.is_some() {}
            Ok(())
        };
        let result = result.await;
        drop(sent);
        match result {
            Ok(()) => upload.complete().await.map(drop),
            Err(error) => {
                // What is left of it costs money and does no harm.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    /// Deletes what killed processes have left of uploads below a directory, and how much of it there was.
    pub(super) async fn sweep(&self, uploads: &str) -> Result<usize, Error> {
        let below = self.path(uploads)?;
        let left: Vec<_> = self.bulk().list(Some(&below)).try_collect().await?;
        for object in &left {
            let upload = object.location.as_ref().strip_suffix(RECORD);
            if let (Some(upload), Some(parts)) = (upload, self.parts()) {
                let id = self.bulk().get(&object.location).await?.bytes().await?;
                let id = String::from_utf8_lossy(&id).into_owned();
                // It may have been completed.
                let _ = parts.abort_multipart(&Path::parse(upload)?, &id).await;
            }
            match self.bulk().delete(&object.location).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(left.len())
    }
}

/// The parts of a file by their numbers, each read when it is waited for.
fn pieces(
    file: &File,
    size: u64,
) -> impl Iterator<Item = (usize, impl Future<Output = Result<Bytes, Error>>)> {
    let part = PART_BYTES.max(size.div_ceil(MOST_PARTS));
    let starts = (0..size.div_ceil(part)).map(move |at| at * part);
    starts
        .map(move |start| read_part(file.clone(), start, part.min(size - start)))
        .enumerate()
}

async fn read_part(file: File, start: u64, length: u64) -> Result<Bytes, Error> {
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
