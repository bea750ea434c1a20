//! `Artifact<T>`: an output's handle.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncBufRead;

use super::stored::{Fetched, LoadError, Loader};
use super::type_change::TypeChanges;
use crate::error::Error;
use crate::format::File;
use crate::workspace::{OutputAddress, Workspace};

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

/// Where an output is, and how it is read.
#[derive(Clone)]
pub struct Handle {
    pub(crate) workspace: Workspace,
    pub(crate) task: &'static str,
    pub(crate) address: OutputAddress,
    pub(crate) loader: Loader,
    pub(crate) type_changes: Arc<TypeChanges>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("path", &self.address.path)
            .finish_non_exhaustive()
    }
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
        let handle = &self.handle;
        let loaded = handle.loader.load(&handle.workspace, &handle.address).await;
        let output = loaded.map(|(output, _)| output);
        let output = handle
            .type_changes
            .check(handle.task, &handle.address.path, output)
            .map_err(|error| self.failed(error))?;
        output
            .downcast()
            .ok()
            .and_then(Arc::into_inner)
            .ok_or_else(|| {
                let reason = "the value has another type than its task's output: a bug in kart";
                self.failed(LoadError::Decode(reason.into()))
            })
    }

    /// The stored bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if the object is gone, [`Error::Store`] if it cannot be read.
    pub async fn bytes(&self) -> Result<Bytes, Error> {
        let fetched = self.handle.address.read(&self.handle.workspace).await;
        let fetched = fetched.and_then(Fetched::verified);
        fetched.map_err(|error| self.failed(error))
    }

    /// The part of the stored bytes that lies in the range.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if the object is gone, [`Error::Store`] if it cannot be read.
    pub async fn range(&self, range: Range<u64>) -> Result<Bytes, Error> {
        self.size().await?;
        let handle = &self.handle;
        let bytes = handle.workspace.read_range(self.path(), range).await?;
        bytes.ok_or_else(|| self.missing())
    }

    /// The stored bytes as a file, for programs that want one: the object itself in a directory, which is not to
    /// be changed; a copy from a bucket, which is deleted when nobody has it any more.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if the object is gone, [`Error::Store`] if it cannot be read.
    pub async fn file(&self) -> Result<File, Error> {
        let file = self.handle.address.fetch(&self.handle.workspace).await;
        file.map_err(|error| self.failed(error))
    }

    /// The stored bytes as they come, in bounded memory.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if the object is gone, [`Error::Store`] if it cannot be opened.
    pub async fn reader(&self) -> Result<Pin<Box<dyn AsyncBufRead + Send>>, Error> {
        self.size().await?;
        let reader = self.handle.workspace.reader(self.path()).await?;
        reader.ok_or_else(|| self.missing())
    }

    /// How many bytes are stored.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if the object is gone, [`Error::Store`] if the store does not answer.
    pub async fn size(&self) -> Result<u64, Error> {
        let size = self.handle.address.size(&self.handle.workspace).await;
        size.map_err(|error| self.failed(error))
    }

    /// Where the object is: the workspace's location and the path.
    pub fn location(&self) -> String {
        self.handle.workspace.display_url(&self.handle.address.path)
    }

    /// The object's path, relative to the workspace.
    pub fn path(&self) -> &str {
        &self.handle.address.path
    }

    fn missing(&self) -> Error {
        self.failed(LoadError::Missing)
    }

    fn failed(&self, error: LoadError) -> Error {
        error.of(self.handle.task.to_owned(), self.location())
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
            .field(&self.handle.address.path)
            .finish()
    }
}
