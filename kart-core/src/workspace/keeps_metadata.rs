//! Whether a place keeps metadata with its objects: found out once, by what becomes of it.

use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::backend::{Access, Backend as _, Content, Found, Mode, Place, Write, Written};
use super::{CommitGuard, Workspace, layout};
use crate::error::StoreError;

/// Whether a place keeps metadata with its objects, as far as is known.
#[derive(Debug, Default)]
pub(super) struct KeepsMetadata {
    known: AtomicU8,
    probe: OnceCell<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    Unknown,
    Yes,
    No,
}

impl KeepsMetadata {
    pub(super) fn get(&self) -> Keeps {
        match self.known.load(Ordering::Relaxed) {
            1 => Keeps::Yes,
            2 => Keeps::No,
            _ => Keeps::Unknown,
        }
    }

    pub(super) fn set(&self, keeps: Keeps) {
        self.known.store(keeps as u8, Ordering::Relaxed);
    }
}

impl Workspace {
    /// Returns whether the place keeps metadata with its objects, which is found out once.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub(crate) async fn keeps_metadata(&self) -> Result<bool, StoreError> {
        let keeps = &self.inner.keeps_metadata;
        if self.inner.place == Place::Memory {
            keeps.set(Keeps::Yes);
        } else if keeps.get() == Keeps::Unknown {
            let probed = keeps.probe.get_or_try_init(|| self.probe_metadata());
            probed.await?;
        }
        Ok(keeps.get() != Keeps::No)
    }

    /// Writes an object with metadata, and looks whether it came through.
    async fn probe_metadata(&self) -> Result<(), StoreError> {
        let path = format!("{}/{}", layout::CHECK, Uuid::now_v7().simple());
        let guard = CommitGuard::open();
        let metadata = Some("probe");
        let write = Write {
            path: &path,
            content: Content::Bytes(Bytes::from_static(b"whether metadata is kept")),
            mode: Mode::Replace,
            metadata,
            access: Access::Writable,
            guard: &guard,
        };
        let is_kept = if self.backend().write(write).await? == Written::Unsupported {
            false
        } else {
            let found = self.backend().look_up(&path).await?;
            let kept = found.and_then(|found| found.metadata);
            self.delete(&path).await?;
            kept.as_deref() == metadata
        };
        let keeps = if is_kept { Keeps::Yes } else { Keeps::No };
        self.inner.keeps_metadata.set(keeps);
        Ok(())
    }

    /// Looks, once, whether metadata came through.
    pub(super) async fn verify_metadata(
        &self,
        path: &str,
        text: &str,
    ) -> Result<Written, StoreError> {
        let keeps = &self.inner.keeps_metadata;
        if self.inner.place != Place::Bucket {
            keeps.set(Keeps::Yes);
            return Ok(Written::Done);
        }
        match self.backend().look_up(path).await? {
            Some(Found { metadata: None, .. }) => {
                keeps.set(Keeps::No);
                Ok(Written::Bare)
            }
            Some(found) if found.metadata.as_deref() == Some(text) => {
                keeps.set(Keeps::Yes);
                Ok(Written::Done)
            }
            // Somebody has replaced or deleted it meanwhile.
            _ => Ok(Written::Done),
        }
    }
}
