//! Objects as a housekeeper sees them: how large, how old, out of the way.

use std::time::SystemTime;

use super::{Backend, Workspace};
use crate::StoreError;

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its path, relative to the workspace.
    pub path: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was written, by the clock of the store.
    pub modified: SystemTime,
}

impl Workspace {
    /// All objects below a prefix, as [`list`](Self::list), with their sizes and times.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn entries(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.inner.counters.list(1);
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() {
            self.check("list", prefix)?;
        }
        let mut entries = match &self.inner.backend {
            Backend::Remote(remote) => remote
                .entries(prefix)
                .await
                .map_err(self.failed("list", prefix))?,
            #[cfg(feature = "fs")]
            Backend::Local(local) => local.entries(prefix).await?,
        };
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Moves an object to another path, over whatever is there; whether there was one. In a bucket it is copied
    /// first and then deleted, so that at every moment it is at one of both places at least.
    ///
    /// # Errors
    ///
    /// The store could not do it.
    pub async fn relocate(&self, from: &str, to: &str) -> Result<bool, StoreError> {
        self.check("move", from)?;
        self.check("move", to)?;
        match &self.inner.backend {
            Backend::Remote(remote) => {
                self.inner.counters.write(1);
                self.inner.counters.delete(1);
                remote
                    .relocate(from, to)
                    .await
                    .map_err(self.failed("move", from))
            }
            #[cfg(feature = "fs")]
            Backend::Local(local) => {
                self.inner.counters.write(1);
                local.relocate(from, to).await
            }
        }
    }
}
