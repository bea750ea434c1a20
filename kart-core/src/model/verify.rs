//! Verification: whether what is read is what was written.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::stored::LoadError;
use crate::error::StoreError;
use crate::format::File;
use crate::threads;
use crate::workspace::Workspace;

/// A larger file is not hashed.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Which outputs are verified when they are read: their size and their BLAKE3 hash are compared with what was recorded when
/// they were written.
///
/// An output that is shorter than what was written is never read, whatever this says. What is read in parts is not hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verify {
    /// Those of which a hash is known.
    #[default]
    Known,
    /// All: one without a hash is an error. External inputs have none.
    Always,
    /// None.
    Never,
}

/// Verifies the outputs that one run reads, or one handle.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(super) verify: Verify,
    max_file_bytes: u64,
    /// The paths of the files that were hashed.
    files: Mutex<HashSet<Arc<str>>>,
}

impl Default for Verifier {
    fn default() -> Self {
        Verifier::new(Verify::default())
    }
}

impl Verifier {
    pub(crate) fn new(verify: Verify) -> Self {
        Verifier {
            verify,
            max_file_bytes: MAX_FILE_BYTES,
            files: Mutex::default(),
        }
    }

    /// Verifies a file, once; one that is too large passes.
    pub(super) async fn verify_file(
        &self,
        path: &Arc<str>,
        file: &File,
        recorded: blake3::Hash,
    ) -> Result<(), LoadError> {
        let is_large = file.size().is_ok_and(|size| size > self.max_file_bytes);
        if is_large {
            tracing::debug!(path = path.as_ref(), "too large to be verified");
        }
        if is_large || self.lock().contains(path) {
            return Ok(());
        }
        let hashed = file.clone();
        let found = threads::run(move |_| hash(&hashed)).await;
        let found = found.map_err(|error| LoadError::Decode(error.into()))?;
        compare(
            recorded,
            found.map_err(|error| LoadError::Decode(error.into()))?,
        )?;
        self.lock().insert(Arc::clone(path));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the hash of what lies at a path, if it is not too large to be verified.
pub(crate) async fn hash_of_stored(
    workspace: &Workspace,
    path: &str,
    bytes: u64,
) -> Result<Option<blake3::Hash>, StoreError> {
    if bytes > MAX_FILE_BYTES {
        return Ok(None);
    }
    let Some(file) = workspace.fetch(path).await? else {
        return Ok(None);
    };
    // What cannot be read now has no hash.
    Ok(hash_to_record(&file).await.ok().flatten())
}

/// Returns the hash of a file that is not too large to be verified.
pub(super) async fn hash_to_record(file: &File) -> std::io::Result<Option<blake3::Hash>> {
    if file.size()? > MAX_FILE_BYTES {
        return Ok(None);
    }
    let file = file.clone();
    let hashed = threads::run(move |_| hash(&file)).await;
    hashed.map_err(std::io::Error::other)?.map(Some)
}

fn hash(file: &File) -> std::io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file.open()?)?;
    Ok(hasher.finalize())
}

pub(super) fn compare(recorded: blake3::Hash, found: blake3::Hash) -> Result<(), LoadError> {
    if found == recorded {
        return Ok(());
    }
    Err(LoadError::Mismatch {
        recorded: format!("BLAKE3 {}", recorded.to_hex()),
        found: found.to_hex().to_string(),
    })
}
