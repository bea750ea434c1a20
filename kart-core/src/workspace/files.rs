//! Objects as files on the local disk, in bounded memory.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use tempfile::NamedTempFile;

use super::upload::UPLOADS;
use super::{Backend, CommitGuard, Workspace, advice};
use crate::StoreError;
use crate::format::File;

impl Workspace {
    /// An empty file that can become an object. In a directory it lies on the same disk.
    pub(crate) fn new_file(&self) -> io::Result<File> {
        match &self.inner.backend {
            Backend::Remote(_) => Ok(File::temporary(NamedTempFile::new()?.into_temp_path())),
            #[cfg(feature = "fs")]
            Backend::Local(local) => local.new_file(),
        }
    }

    /// Gives up what killed processes have left of uploads to a bucket, and says how many objects that were. Uploads
    /// to the same place do so by themselves; this is for those that nobody tries again. To be called while nothing
    /// runs: an upload that is under way fails its attempt.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn gc(&self) -> Result<usize, StoreError> {
        match &self.inner.backend {
            Backend::Remote(remote) => {
                let swept = remote.sweep(UPLOADS).await;
                swept.map_err(self.failed("delete", UPLOADS))
            }
            // What a process leaves in a directory is removed by the next one that writes.
            #[cfg(feature = "fs")]
            Backend::Local(_) => Ok(0),
        }
    }

    /// Makes a file an object that must not exist yet, unless the guard is closed before it is there; whether it did not.
    pub(crate) async fn create_file_guarded(
        &self,
        path: &str,
        file: &File,
        guard: &CommitGuard,
    ) -> Result<bool, StoreError> {
        self.check("write", path)?;
        self.inner.counters.write(1);
        match &self.inner.backend {
            Backend::Remote(remote) => remote
                .create_file(path, file, guard)
                .await
                .map_err(self.failed("write", path)),
            #[cfg(feature = "fs")]
            Backend::Local(local) => local.create_file(path, file, guard).await,
        }
    }

    /// Makes a file an object in one step, over whatever was there, unless the guard is closed before it is there.
    pub(crate) async fn replace_file_guarded(
        &self,
        path: &str,
        file: &File,
        guard: &CommitGuard,
    ) -> Result<(), StoreError> {
        self.check("write", path)?;
        self.inner.counters.write(1);
        match &self.inner.backend {
            Backend::Remote(remote) => remote
                .replace_file(path, file, guard)
                .await
                .map_err(self.failed("write", path)),
            #[cfg(feature = "fs")]
            Backend::Local(local) => local.replace_file(path, file, guard).await,
        }
    }

    /// An object as a file; `None` when there is no such object. In a directory it is the object itself, which is
    /// not to be changed; from a bucket it is a copy, which is deleted when nobody has it any more.
    ///
    /// # Errors
    ///
    /// The store could not answer, or there is no room for a copy.
    pub async fn fetch(&self, path: &str) -> Result<Option<File>, StoreError> {
        self.check("read", path)?;
        match &self.inner.backend {
            Backend::Remote(_) => {
                let Some(mut reader) = self.reader(path).await? else {
                    return Ok(None);
                };
                let fetch = async {
                    let file = self.new_file()?;
                    let mut copy = tokio::fs::File::create(file.path()).await?;
                    tokio::io::copy_buf(&mut reader, &mut copy).await?;
                    tokio::io::AsyncWriteExt::flush(&mut copy).await?;
                    Ok(file)
                };
                fetch
                    .await
                    .map(Some)
                    .map_err(|error: io::Error| StoreError {
                        operation: "read",
                        location: self.locate(path),
                        advice: Some(format!(
                            "its copy goes to `{}`: there must be room for it",
                            std::env::temp_dir().display()
                        )),
                        transient: advice::is_transient(&error),
                        source: error.into(),
                    })
            }
            #[cfg(feature = "fs")]
            Backend::Local(local) => {
                self.inner.counters.exists(1);
                local.fetch(path).await
            }
        }
    }

    /// The part of an object's bytes that lies in the range; `None` when there is no such object.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn read_range(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, StoreError> {
        self.check("read", path)?;
        self.inner.counters.read(1);
        match &self.inner.backend {
            Backend::Remote(remote) => remote
                .read_range(path, range)
                .await
                .map_err(self.failed("read", path)),
            #[cfg(feature = "fs")]
            Backend::Local(local) => local.read_range(path, range).await,
        }
    }
}
