//! Between an output and its object: bytes that a format encodes, or a file that is moved as it is.

use std::sync::Arc;

use bytes::Bytes;

use super::task::{DynTask, Erased};
use crate::error::{BoxError, StoreError, catch_panic};
use crate::format::File;
use crate::threads;
use crate::workspace::Workspace;

/// More bytes than that are encoded and decoded on a thread of their own: it takes longer than a millisecond.
pub(crate) const LARGE_BYTES: usize = 256 << 10;

/// An output as it is stored.
#[derive(Debug)]
pub(crate) enum Stored {
    Bytes(Bytes, blake3::Hash),
    File(File),
}

impl Stored {
    /// An output in the format of its task.
    ///
    /// # Errors
    ///
    /// The output has no form in it.
    pub(crate) fn of(task: &dyn DynTask, output: &Erased) -> Result<Self, BoxError> {
        if let Some(file) = output.downcast_ref::<File>()
            && task.is_file()
        {
            return Ok(Stored::File(file.clone()));
        }
        let bytes = task.encode(output)?;
        let hash = blake3::hash(&bytes);
        Ok(Stored::Bytes(bytes, hash))
    }

    /// The same on a thread of its own, for what takes long.
    pub(crate) async fn of_large(task: Arc<dyn DynTask>, output: Erased) -> Result<Self, BoxError> {
        blocking(move || Stored::of(task.as_ref(), &output)).await
    }

    /// How many bytes it has.
    pub(crate) fn size(&self) -> std::io::Result<u64> {
        match self {
            Stored::Bytes(bytes, _) => Ok(bytes.len() as u64),
            Stored::File(file) => file.size(),
        }
    }
}

/// How a stored output becomes a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loader {
    Decode(fn(Bytes) -> Result<Erased, BoxError>),
    File,
}

/// Decodes an object's bytes, on a thread of its own if there are many.
pub(crate) async fn decoded(
    decode: fn(Bytes) -> Result<Erased, BoxError>,
    bytes: Bytes,
) -> Result<Erased, BoxError> {
    if bytes.len() < LARGE_BYTES {
        return decode(bytes);
    }
    blocking(move || decode(bytes)).await
}

/// Runs what takes long on a thread of its own; a panic of a user's own format is an error.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BoxError> + Send + 'static,
) -> Result<T, BoxError> {
    threads::run(move |_| catch_panic(work)).await??
}

/// Why there is no value.
#[derive(Debug)]
pub(crate) enum LoadError {
    Missing,
    Store(StoreError),
    Decode(BoxError),
}

impl Loader {
    pub(crate) fn of(task: &dyn DynTask) -> Self {
        if task.is_file() {
            Loader::File
        } else {
            Loader::Decode(task.decoder())
        }
    }

    /// The value of an object, and how many bytes it has.
    pub(crate) async fn load(
        self,
        workspace: &Workspace,
        path: &str,
    ) -> Result<(Erased, usize), LoadError> {
        match self {
            Loader::Decode(decode) => {
                let bytes = workspace.read(path).await.map_err(LoadError::Store)?;
                let bytes = bytes.ok_or(LoadError::Missing)?;
                let size = bytes.len();
                let output = decoded(decode, bytes).await;
                let output = output.map_err(LoadError::Decode)?;
                Ok((output, size))
            }
            Loader::File => {
                let file = workspace.fetch(path).await.map_err(LoadError::Store)?;
                let file = file.ok_or(LoadError::Missing)?;
                let size = file.size().unwrap_or_default();
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                Ok((Arc::new(file), size))
            }
        }
    }
}

impl LoadError {
    /// The same with the task and the object that it is about.
    pub(crate) fn of(self, task: String, location: String) -> crate::Error {
        use crate::Error;
        match self {
            LoadError::Missing => Error::Missing { task, location },
            LoadError::Store(error) => error.into(),
            LoadError::Decode(source) => Error::Decode {
                task,
                location,
                source,
            },
        }
    }
}
