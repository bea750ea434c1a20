//! Writing objects: create-only, or over what is there.

use std::io;

use bytes::Bytes;

use super::backend::{Access, Backend as _, Content, Mode, Place, Write, Written};
use super::{CommitGuard, Workspace};
use crate::error::StoreError;
use crate::format::File;

/// How often `create` asks again when the store says both "already exists" and "not there".
const CREATE_ATTEMPTS: usize = 5;

/// How often an object must be created in a row to show that the store overwrites.
const PROBES: usize = 3;

/// What became of a create-only write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateOutcome {
    /// The object was absent and now holds the bytes.
    Written,
    /// Somebody was first: what they wrote.
    ///
    /// After an answer that was lost on the way, that somebody may be this very call; the bytes are
    /// then the caller's own.
    Exists(Bytes),
}

impl Workspace {
    /// Writes an object that must not exist yet: all of it, or nothing.
    ///
    /// Dropping the future leaves either nothing or the whole object.
    ///
    /// # Errors
    ///
    /// The store could not take it.
    pub async fn create(&self, path: &str, bytes: Bytes) -> Result<CreateOutcome, StoreError> {
        self.create_guarded(path, bytes, &CommitGuard::always_open())
            .await
    }

    /// Like [`create`](Self::create), unless the guard is closed before the object is there.
    pub(crate) async fn create_guarded(
        &self,
        path: &str,
        bytes: Bytes,
        guard: &CommitGuard,
    ) -> Result<CreateOutcome, StoreError> {
        for attempt in 1.. {
            if self.put_new(path, bytes.clone(), guard).await? {
                return Ok(CreateOutcome::Written);
            }
            if let Some(bytes) = self.read(path).await? {
                return Ok(CreateOutcome::Exists(bytes));
            }
            // It was deleted in between, or the store answered a conflict and wrote nothing.
            if attempt == CREATE_ATTEMPTS {
                break;
            }
        }
        Err(StoreError {
            operation: "write",
            location: self.display_url(path),
            hint: Some(
                "another process keeps writing and deleting it, or a directory lies there"
                    .to_owned(),
            ),
            source: "the store says that the object already exists, and also that it is not there"
                .into(),
            transient: false,
        })
    }

    /// Writes an object that must not exist yet; whether it did not.
    pub(crate) async fn try_create(&self, path: &str, bytes: Bytes) -> Result<bool, StoreError> {
        self.put_new(path, bytes, &CommitGuard::always_open()).await
    }

    /// Makes sure, as far as it can be known before, that an output can be written at a path.
    ///
    /// # Errors
    ///
    /// It cannot: the error says why.
    pub(crate) async fn check_place(&self, path: &str) -> Result<(), StoreError> {
        if self.takes_any_path() {
            return Ok(());
        }
        self.check("write", path)?;
        self.backend().check_place(path).await
    }

    /// Returns whether an output can be written at any path.
    pub(crate) fn takes_any_path(&self) -> bool {
        self.inner.place == Place::Memory
    }

    async fn put_new(
        &self,
        path: &str,
        bytes: Bytes,
        guard: &CommitGuard,
    ) -> Result<bool, StoreError> {
        self.write(path, Content::Bytes(bytes), Mode::Create, guard)
            .await
    }

    /// The way of what has no provenance; returns `false` when an object was there and the mode does not replace it.
    async fn write(
        &self,
        path: &str,
        content: Content<'_>,
        mode: Mode,
        guard: &CommitGuard,
    ) -> Result<bool, StoreError> {
        self.check("write", path)?;
        let write = Write {
            path,
            content,
            mode,
            metadata: None,
            access: Access::Writable,
            guard,
        };
        Ok(self.backend().write(write).await? != Written::Exists)
    }

    /// Returns whether the store refuses to create `path`, which the caller has written with such bytes. A directory
    /// and this process's own memory are known to.
    ///
    /// Only a refusal is remembered: an object that could be created again may have been deleted meanwhile.
    pub(crate) async fn supports_create_only(
        &self,
        path: &str,
        bytes: Bytes,
    ) -> Result<bool, StoreError> {
        let probe = async || {
            for _ in 0..PROBES {
                let created = self.try_create(path, bytes.clone()).await;
                if !created.map_err(Some)? {
                    return Ok(());
                }
            }
            Err(None)
        };
        match self.inner.creates_only.get_or_try_init(probe).await {
            Ok(()) => Ok(true),
            Err(None) => Ok(false),
            Err(Some(error)) => Err(error),
        }
    }

    /// Writes an object in one step, over whatever was there.
    ///
    /// Dropping the future leaves either what was there or the whole new object.
    ///
    /// # Errors
    ///
    /// The store could not take it.
    pub async fn replace(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.replace_guarded(path, bytes, &CommitGuard::always_open())
            .await
    }

    /// Like [`replace`](Self::replace), unless the guard is closed before the object is there.
    pub(crate) async fn replace_guarded(
        &self,
        path: &str,
        bytes: Bytes,
        guard: &CommitGuard,
    ) -> Result<(), StoreError> {
        self.write(path, Content::Bytes(bytes), Mode::Replace, guard)
            .await?;
        Ok(())
    }

    /// An empty file that can become an object. In a directory it lies on the same disk.
    pub(crate) fn new_file(&self) -> io::Result<File> {
        self.backend().new_file()
    }
}
