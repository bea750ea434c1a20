//! Files as objects of a bucket: small ones with one request, large ones in parts.
//!
//! No store has create-only uploads in parts. So the parts become an object `_kart/uploads/{path}/{id}` first, which is
//! then copied to its place, create-only, and deleted. A process deletes its own upload; what a killed one has left goes
//! with a later upload to the same place, once it is old, or with `gc`.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, TryStreamExt as _};
use object_store::multipart::{MultipartStore, PartId};
use object_store::{
    CopyMode, CopyOptions, Error, MultipartId, ObjectMeta, ObjectStoreExt as _,
    PutMultipartOptions, path::Path,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::backend::{Mode, Write, Written};
use super::layout;
use super::remote::{BULK_BYTES, Remote, attributes, enter};
use super::retry::LOCAL;
use crate::error::chain;
use crate::format::File;
use crate::threads::{self, Wanted};

/// The ending of the object that says which upload is under way.
const RECORD: &str = ".upload";
/// How often the record of an upload under way is written again.
const REFRESH: Duration = Duration::from_mins(10);
/// An upload of which nothing was written for so long has no process any more.
const ABANDONED: Duration = Duration::from_hours(6);
/// The bytes of a part, but for very large files: stores take no more than 10,000 parts.
const PART_BYTES: u64 = 8 << 20;
const MOST_PARTS: u64 = 9_000;
/// Parts of one file on their way at once; each is in memory.
const PARTS: usize = 4;

impl Remote {
    /// Sends a file: a small one with one request, a large one in parts.
    pub(super) async fn put_file(&self, write: &Write<'_>, file: &File) -> Result<Written, Error> {
        let path = write.path;
        let size = file.size().map_err(local)?;
        if size <= BULK_BYTES as u64 {
            let bytes = read_part(file.clone(), 0, size).await?;
            return self.put(write, bytes).await;
        }
        let to = self.path(path)?;
        let uploads = layout::uploads(path);
        let own = format!("{uploads}/{}", Uuid::now_v7().simple());
        let from = self.path(&own)?;
        let mode = match write.mode {
            Mode::Create => CopyMode::Create,
            Mode::Replace => CopyMode::Overwrite,
        };
        self.upload(&own, file, size, write.metadata).await?;
        let copy = || async {
            let _committing = enter(write.guard)?;
            let options = CopyOptions::new().with_mode(mode);
            self.bulk().copy_opts(&from, &to, options).await
        };
        let copied = self.pass(&own, copy).await;
        if let Err(error) = self.clean_up(&uploads, &from).await {
            let error = chain(&error);
            tracing::warn!(
                error,
                path,
                "failed to delete an upload that was copied to its place; a later one, or `gc`, deletes it"
            );
        }
        copied?;
        // Some stores copy the bytes alone where a copy must not replace anything.
        let is_bare = match write.metadata {
            Some(_) => self
                .head_of(path)
                .await?
                .is_some_and(|it| it.metadata.is_none()),
            None => false,
        };
        Ok(if is_bare {
            Written::Bare
        } else {
            Written::Done
        })
    }

    /// Uploads a file in parts. That it is under way is written down first, so that its parts can be found and
    /// given up when this process is killed.
    async fn upload(
        &self,
        to: &str,
        file: &File,
        size: u64,
        metadata: Option<&str>,
    ) -> Result<(), Error> {
        let whole = self.path(to)?;
        let Some(parts) = self.parts() else {
            let upload = || self.upload_unrecorded(&whole, file, size, metadata);
            return self.pass(to, upload).await;
        };
        let id = self
            .pass(to, || {
                parts.create_multipart_opts(&whole, options(metadata))
            })
            .await?;
        let sent = self.send(parts, to, &id, file, size).await;
        if sent.is_err() {
            // What cannot be given up now is given up by a later upload, or by `gc`.
            let _ = parts.abort_multipart(&whole, &id).await;
            let _ = self
                .bulk()
                .delete(&self.path(&format!("{to}{RECORD}"))?)
                .await;
        }
        sent
    }

    async fn send(
        &self,
        parts: &dyn MultipartStore,
        to: &str,
        id: &MultipartId,
        file: &File,
        size: u64,
    ) -> Result<(), Error> {
        let (whole, record) = (self.path(to)?, self.path(&format!("{to}{RECORD}"))?);
        let put_record = || self.bulk().put(&record, id.clone().into_bytes().into());
        self.pass(to, put_record).await?;
        let mut recorded = Instant::now();
        let mut sent = stream::FuturesUnordered::new();
        let mut done = BTreeMap::new();
        for (number, bytes) in pieces(file, size) {
            let bytes = bytes.await?;
            if sent.len() >= PARTS {
                done.extend(sent.try_next().await?);
            }
            if recorded.elapsed() > REFRESH {
                self.pass(to, put_record).await?;
                recorded = Instant::now();
            }
            let whole = &whole;
            sent.push(async move {
                let put = || parts.put_part(whole, id, number, bytes.clone().into());
                Ok::<_, Error>((number, self.pass(to, put).await?))
            });
        }
        while let Some(part) = sent.try_next().await? {
            done.extend([part]);
        }
        let sent: Vec<PartId> = done.into_values().collect();
        let complete = || async {
            let Err(error) = parts.complete_multipart(&whole, id, sent.clone()).await else {
                return Ok(());
            };
            // Where only the answer was lost the object is there.
            match self.bulk().head(&whole).await {
                Ok(meta) if meta.size == size => Ok(()),
                _ => Err(error),
            }
        };
        self.pass(to, complete).await
    }

    /// The same where a store has no names for uploads that are under way.
    async fn upload_unrecorded(
        &self,
        to: &Path,
        file: &File,
        size: u64,
        metadata: Option<&str>,
    ) -> Result<(), Error> {
        let upload = self.bulk().put_multipart_opts(to, options(metadata));
        let mut upload = upload.await?;
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

    /// Deletes an upload that has done its work, and those to the same place that nobody has moved forward for long. The
    /// store's own clock tells: another process may be at one of them.
    async fn clean_up(&self, uploads: &str, own: &Path) -> Result<(), Error> {
        let left = self.uploads(uploads).await?;
        let newest = |objects: &[ObjectMeta]| objects.iter().map(|it| it.last_modified).max();
        let now = left.values().filter_map(|objects| newest(objects)).max();
        for (upload, objects) in &left {
            let age = now
                .zip(newest(objects))
                .and_then(|(now, at)| (now - at).to_std().ok());
            if upload == own || age.is_some_and(|age| age > ABANDONED) {
                self.give_up(upload, objects).await?;
            }
        }
        Ok(())
    }

    /// Deletes what is left of uploads below a directory, and returns how many objects that were.
    pub(super) async fn sweep(&self, uploads: &str) -> Result<usize, Error> {
        let left = self.uploads(uploads).await?;
        for (upload, objects) in &left {
            self.give_up(upload, objects).await?;
        }
        Ok(left.values().map(Vec::len).sum())
    }

    /// The objects of each upload below a directory.
    async fn uploads(&self, uploads: &str) -> Result<BTreeMap<Path, Vec<ObjectMeta>>, Error> {
        let below = self.path(uploads)?;
        let list = || self.bulk().list(Some(&below)).try_collect::<Vec<_>>();
        let mut left: BTreeMap<Path, Vec<ObjectMeta>> = BTreeMap::new();
        for object in self.pass(uploads, list).await? {
            let name = object.location.as_ref();
            let upload = Path::parse(name.strip_suffix(RECORD).unwrap_or(name))?;
            left.entry(upload).or_default().push(object);
        }
        Ok(left)
    }

    async fn give_up(&self, upload: &Path, objects: &[ObjectMeta]) -> Result<(), Error> {
        let has_object = objects.iter().any(|object| object.location == *upload);
        for object in objects {
            // A complete upload has no parts left.
            if let (Some(parts), false) = (self.parts(), has_object) {
                let id = self.bulk().get(&object.location).await?.bytes().await?;
                let id = String::from_utf8_lossy(&id).into_owned();
                // It may be gone already.
                let _ = parts.abort_multipart(upload, &id).await;
            }
            match self.bulk().delete(&object.location).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn options(metadata: Option<&str>) -> PutMultipartOptions {
    PutMultipartOptions {
        attributes: attributes(metadata),
        ..PutMultipartOptions::default()
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
    let read = move |_: &Wanted<'_>| {
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        let mut file = file.open()?;
        file.seek(SeekFrom::Start(start))?;
        file.take(length).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length {
            return Err(io::Error::other("the file got shorter while it was stored"));
        }
        Ok(Bytes::from(bytes))
    };
    threads::run(read).await.flatten().map_err(local)
}

/// An error of the file itself.
fn local(error: io::Error) -> Error {
    Error::Generic {
        store: LOCAL,
        source: error.into(),
    }
}
