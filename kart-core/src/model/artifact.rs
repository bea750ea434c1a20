//! `Artifact<T>`: an output's handle.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::stored::{LoadError, Loader};
use super::stored_output::StoredOutput;
use super::type_change::TypeChanges;
use crate::error::Error;
use crate::format::File;
use crate::workspace::Reader;

/// A handle to a task's output, which loads nothing until asked: take a requirement as
/// `Artifact<T>` or `Vec<Artifact<T>>` to keep a large value, or a wide fan-in, out of memory.
///
/// # Examples
///
/// ```
/// use kart::{Artifact, Workspace, task};
///
/// #[task]
/// async fn part(n: u32) -> kart::Result<Vec<u32>> {
///     Ok(vec![n; 1000])
/// }
///
/// /// Has one part in memory at a time.
/// #[task]
/// async fn total(
///     #[requires((0..4).map(|n| Part { n }))] parts: Vec<Artifact<Vec<u32>>>,
/// ) -> kart::Result<u32> {
///     let mut total = 0;
///     for part in &parts {
///         total += part.load().await?.iter().sum::<u32>();
///     }
///     Ok(total)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kart::RunError> {
/// let workspace = Workspace::open("memory://")?;
/// assert_eq!(*kart::build(Total, &workspace).await?, 6000);
/// # Ok(())
/// # }
/// ```
pub struct Artifact<T> {
    handle: Handle,
    output: PhantomData<fn() -> T>,
}

/// Where an output is, and how it is decoded.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) output: StoredOutput,
    pub(crate) loader: Loader,
    /// The stable name of the task.
    pub(crate) name: &'static str,
    pub(crate) type_changes: Arc<TypeChanges>,
}

impl<T: Send + Sync + 'static> Artifact<T> {
    pub(crate) fn new(handle: Handle) -> Self {
        Artifact {
            handle,
            output: PhantomData,
        }
    }

    /// The value, read and decoded afresh.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if the object is gone, [`Error::Store`] if it cannot be read,
    /// [`Error::Decode`] if it is not what its format promises, [`Error::TypeChanged`] if it has a field that `T` does not
    /// have.
    pub async fn load(&self) -> Result<T, Error> {
        let StoredOutput {
            workspace,
            address,
            verifier,
            ..
        } = self.stored();
        let Handle {
            loader,
            type_changes,
            name,
            ..
        } = &self.handle;
        let loaded = loader.load(workspace, address, verifier).await;
        let loaded = loaded.map(|(output, _)| output);
        let failed = |error| self.stored().failed(error);
        let output = type_changes.check(name, &address.path, loaded);
        let output = output.map_err(failed)?;
        output
            .downcast()
            .ok()
            .and_then(Arc::into_inner)
            .ok_or_else(|| {
                let reason = "the value has another type than its task's output: a bug in kart";
                failed(LoadError::Decode(reason.into()))
            })
    }

    /// Reads the stored bytes.
    ///
    /// # Errors
    ///
    /// Those of [`StoredOutput::bytes`].
    pub async fn bytes(&self) -> Result<Bytes, Error> {
        self.stored().bytes().await
    }

    /// Reads the part of the stored bytes that lies in the range.
    ///
    /// # Errors
    ///
    /// Those of [`StoredOutput::bytes`].
    pub async fn range(&self, range: Range<u64>) -> Result<Bytes, Error> {
        self.stored().range(range).await
    }

    /// Returns the stored bytes as a file, for programs that want one: the object itself in a directory, which is not to be
    /// changed; a copy from a bucket, which is deleted when nobody has it any more.
    ///
    /// # Errors
    ///
    /// Those of [`StoredOutput::bytes`].
    pub async fn file(&self) -> Result<File, Error> {
        self.stored().file().await
    }

    /// Opens the stored bytes, to be read in bounded memory. A mismatch is an error of the reader at the end.
    ///
    /// # Errors
    ///
    /// Those of [`StoredOutput::bytes`].
    pub async fn reader(&self) -> Result<Reader, Error> {
        self.stored().reader().await
    }

    /// Returns how many bytes are stored.
    ///
    /// # Errors
    ///
    /// Those of [`StoredOutput::bytes`].
    pub async fn size(&self) -> Result<u64, Error> {
        self.stored().size().await
    }

    /// Returns where the object is: the workspace's location and the path.
    #[must_use]
    pub fn location(&self) -> String {
        self.stored().location()
    }

    /// Returns the object's path, relative to the workspace.
    #[must_use]
    pub fn path(&self) -> &str {
        self.stored().path()
    }

    /// Returns the output without its type.
    #[must_use]
    pub fn stored(&self) -> &StoredOutput {
        &self.handle.output
    }
}

impl<T> Clone for Artifact<T> {
    fn clone(&self) -> Self {
        Artifact {
            handle: self.handle.clone(),
            output: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Artifact<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Artifact")
            .field(&self.handle.output.path())
            .finish()
    }
}
