//! Whether objects are there, and what they hold.

use std::ops::Range;

use bytes::Bytes;

use super::backend::{Backend as _, Object, Place};
use super::{Reader, Workspace, bulk_exists};
use crate::error::StoreError;
use crate::format::File;

impl Workspace {
    /// Whether there is an object.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn exists(&self, path: &str) -> Result<bool, StoreError> {
        Ok(self.size(path).await?.is_some())
    }

    /// Whether there is an object at each path, in the order of the paths.
    ///
    /// In a bucket many paths of one directory are found by listing it, a thousand with one request, unless
    /// the listing is much longer than what is asked for.
    ///
    /// # Errors
    ///
    /// The store could not answer for one of them.
    pub async fn exists_many(&self, paths: Vec<String>) -> Result<Vec<bool>, StoreError> {
        for path in &paths {
            self.check("look up", path)?;
        }
        match self.inner.place {
            Place::Bucket => bulk_exists::exists_many(self.backend(), &paths).await,
            Place::Memory | Place::Directory => self.backend().exists_many(paths).await,
        }
    }

    /// How many bytes an object has; `None` when there is no such object.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.check("look up", path)?;
        self.backend().size(path).await
    }

    /// An object's bytes; `None` when there is no such object.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn read(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        self.check("read", path)?;
        let object = self.backend().read(path).await?;
        Ok(object.map(|object| object.bytes))
    }

    /// The bytes of each object, in the order of the paths. Each has an error of its own.
    pub async fn read_many(&self, paths: Vec<String>) -> Vec<Result<Option<Bytes>, StoreError>> {
        let objects = self.read_objects(paths).await.into_iter();
        let bytes = |object: Option<Object>| object.map(|object| object.bytes);
        objects.map(|object| object.map(bytes)).collect()
    }

    pub(super) async fn read_objects(
        &self,
        paths: Vec<String>,
    ) -> Vec<Result<Option<Object>, StoreError>> {
        if paths.iter().all(|path| self.check("read", path).is_ok()) {
            return self.backend().read_many(paths).await;
        }
        let mut objects = Vec::with_capacity(paths.len());
        for path in paths {
            objects.push(match self.check("read", &path) {
                Ok(()) => self.backend().read(&path).await,
                Err(error) => Err(error),
            });
        }
        objects
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
        self.backend().read_range(path, range).await
    }

    /// An object to be read piece by piece, so that its size does not matter; `None` when there is no
    /// such object. What is read is one version of it, even while another replaces it.
    ///
    /// # Errors
    ///
    /// The store could not answer. A failure on the way is an error of the reader.
    pub async fn reader(&self, path: &str) -> Result<Option<Reader>, StoreError> {
        self.check("read", path)?;
        self.backend().reader(path).await
    }

    /// An object as a file; `None` when there is no such object. In a directory it is the object itself, which is
    /// not to be changed; from a bucket it is a copy, which is deleted when nobody has it any more.
    ///
    /// # Errors
    ///
    /// The store could not answer, or there is no room for a copy.
    pub async fn fetch(&self, path: &str) -> Result<Option<File>, StoreError> {
        self.check("read", path)?;
        self.backend().fetch(path).await
    }
}
