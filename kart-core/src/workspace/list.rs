//! Objects as a housekeeper sees them: how large, how old, out of the way.

use std::time::SystemTime;

use super::Workspace;
use super::backend::Backend as _;
use crate::error::StoreError;

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its path, relative to the workspace.
    pub path: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was written, by the clock of the store.
    pub modified: SystemTime,
}

impl Workspace {
    /// The paths of all objects below a prefix, which is a whole number of segments (`""`, `a`, `a/b`),
    /// in the order of their bytes. The temporaries of writes under way are left out.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let objects = self.objects(prefix).await?;
        Ok(objects.into_iter().map(|object| object.path).collect())
    }

    /// All objects below a prefix, as [`list`](Self::list), with their sizes and times.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn objects(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() {
            self.check("list", prefix)?;
        }
        let mut objects = self.backend().objects(prefix).await?;
        objects.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(objects)
    }

    /// Moves an object to another path, over whatever is there; whether there was one. In a bucket it is copied
    /// first and then deleted, so that at every moment it is at one of both places at least.
    ///
    /// # Errors
    ///
    /// The store could not do it.
    pub async fn rename(&self, from: &str, to: &str) -> Result<bool, StoreError> {
        self.check("move", from)?;
        self.check("move", to)?;
        self.backend().rename(from, to).await
    }

    /// Deletes an object and says whether one was there. S3 does not tell: there it is always `true`. Where an answer was
    /// lost, a bucket may say `false` of an object that this very call has deleted.
    ///
    /// # Errors
    ///
    /// The store could not delete it. An object that is not there is no error.
    pub async fn delete(&self, path: &str) -> Result<bool, StoreError> {
        self.check("delete", path)?;
        self.backend().delete(path).await
    }

    /// Deletes an object by one request. Whoever repeats it makes sure that nobody has created the object again.
    pub(crate) async fn delete_once(&self, path: &str) -> Result<(), StoreError> {
        self.check("delete", path)?;
        self.backend().delete_once(path).await
    }

    /// Gives up what killed processes have left of uploads to a bucket, and says how many objects that were. Uploads
    /// to the same place do so by themselves; this is for those that nobody tries again. To be called while nothing
    /// runs: an upload that is under way fails its attempt.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn abort_stale_uploads(&self) -> Result<usize, StoreError> {
        self.backend().abort_stale_uploads().await
    }
}
