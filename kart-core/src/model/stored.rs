//! Between an output and its object: bytes that a format encodes, or a file that is moved as it is.

use std::sync::Arc;

use bytes::Bytes;

use super::task::{Decoder, DynTask, Erased};
use super::verify::{Verifier, Verify, compare, hash_to_record};
use crate::error::{BoxError, Error, StoreError, catch_panic};
use crate::format::{File, UnknownFields};
use crate::threads;
use crate::workspace::{Maker, OutputAddress, OutputState, Provenance, Workspace};

/// More bytes than that are encoded and decoded on a thread of their own: it takes longer than a millisecond.
pub(crate) const LARGE_BYTES: usize = 256 << 10;

/// An output as it is stored.
#[derive(Clone, Debug)]
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
            file.ensure_regular()?;
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

    /// Returns the hash of the bytes; a very large file has none.
    pub(crate) async fn hash(&self) -> std::io::Result<Option<blake3::Hash>> {
        match self {
            Stored::Bytes(_, hash) => Ok(Some(*hash)),
            Stored::File(file) => hash_to_record(file).await,
        }
    }

    /// Returns the value of an output of this process, which needs no verification.
    pub(crate) async fn value(self, task: &dyn DynTask) -> Result<Erased, LoadError> {
        match self {
            Stored::Bytes(bytes, _) => {
                let fetched = Fetched {
                    bytes,
                    recorded: None,
                    is_own: true,
                };
                fetched.decode(task.decoder()).await
            }
            Stored::File(file) => Ok(Arc::new(file)),
        }
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
    Decode(Decoder),
    File,
}

/// The bytes of an output of the right task.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) bytes: Bytes,
    /// The hash that was recorded with them.
    recorded: Option<blake3::Hash>,
    /// Whether kart has written them.
    is_own: bool,
}

impl Fetched {
    /// Verifies and decodes the bytes, on a thread of its own if there are many.
    pub(crate) async fn decode(self, decode: Decoder) -> Result<Erased, LoadError> {
        if self.bytes.len() < LARGE_BYTES {
            return self.decode_here(decode);
        }
        let decoded = threads::run(move |_| self.decode_here(decode)).await;
        decoded.map_err(|error| LoadError::Decode(error.into()))?
    }

    fn decode_here(self, decode: Decoder) -> Result<Erased, LoadError> {
        self.verify()?;
        let mut unknown = UnknownFields::default();
        let decoded = catch_panic(|| decode(self.bytes, &mut unknown));
        let decoded = decoded.map_err(|panic| LoadError::Decode(panic.into()))?;
        let output = decoded.map_err(LoadError::Decode)?;
        match unknown.iter().next() {
            Some(field) if self.is_own => Err(LoadError::TypeChanged {
                field: field.to_owned(),
                output,
            }),
            _ => Ok(output),
        }
    }

    /// Returns the bytes, which are those that were written.
    pub(crate) fn verified(self) -> Result<Bytes, LoadError> {
        self.verify()?;
        Ok(self.bytes)
    }

    fn verify(&self) -> Result<(), LoadError> {
        match self.recorded {
            Some(recorded) => compare(recorded, blake3::hash(&self.bytes)),
            None => Ok(()),
        }
    }
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
    /// A run was cut off while it wrote the output.
    Pending,
    OtherKey(Box<Provenance>),
    Torn {
        recorded: u64,
        found: u64,
    },
    Mismatch {
        recorded: String,
        found: String,
    },
    /// No hash is known of it, and it has to be verified.
    Unverified,
    Store(StoreError),
    Decode(BoxError),
    /// The type of the output has changed since.
    TypeChanged {
        /// A stored field that it does not have.
        field: String,
        /// The output without it.
        output: Erased,
    },
}

impl OutputAddress {
    /// Reads outputs, in the order of their addresses. Each has an error of its own.
    pub(crate) async fn read_many(
        addresses: &[OutputAddress],
        workspace: &Workspace,
        verifier: &Verifier,
    ) -> Vec<Result<Fetched, LoadError>> {
        let read = workspace.read_outputs(addresses).await;
        let read = addresses.iter().zip(read);
        let fetched = |(address, read): (&OutputAddress, Result<(Bytes, OutputState), _>)| {
            let (bytes, state) = read.map_err(LoadError::Store)?;
            Ok(Fetched {
                bytes,
                recorded: address.check(&state, verifier.verify)?.recorded,
                is_own: state.provenance().is_some(),
            })
        };
        read.map(fetched).collect()
    }

    pub(crate) async fn read(
        &self,
        workspace: &Workspace,
        verifier: &Verifier,
    ) -> Result<Fetched, LoadError> {
        let read = OutputAddress::read_many(std::slice::from_ref(self), workspace, verifier).await;
        read.into_iter().next().unwrap_or(Err(LoadError::Missing))
    }

    pub(crate) async fn state(&self, workspace: &Workspace) -> Result<OutputState, LoadError> {
        let states = workspace.output_states(std::slice::from_ref(self)).await;
        let state = states.map_err(LoadError::Store)?.pop();
        Ok(state.unwrap_or(OutputState::Missing))
    }

    /// Looks up the output, which is to be read.
    pub(crate) async fn find(
        &self,
        workspace: &Workspace,
        verifier: &Verifier,
    ) -> Result<Readable, LoadError> {
        let state = self.state(workspace).await?;
        self.check(&state, verifier.verify)
    }

    pub(crate) async fn fetch(
        &self,
        workspace: &Workspace,
        verifier: &Verifier,
    ) -> Result<File, LoadError> {
        let readable = self.find(workspace, verifier).await?;
        let file = workspace.fetch(&self.path).await;
        let file = file.map_err(LoadError::Store)?.ok_or(LoadError::Missing)?;
        if let Some(recorded) = readable.recorded {
            verifier.verify_file(&self.path, &file, recorded).await?;
        }
        Ok(file)
    }

    /// Deletes the output; returns whether there was one of this task.
    pub(crate) async fn remove(&self, workspace: &Workspace) -> Result<bool, LoadError> {
        match self.state(workspace).await? {
            OutputState::Missing | OutputState::OtherKey { .. } => return Ok(false),
            _ => {}
        }
        let removed = workspace.delete_output(&self.path).await;
        removed.map_err(LoadError::Store)
    }

    /// Returns what there is to read.
    ///
    /// # Errors
    ///
    /// The output is not what the task has made.
    fn check(&self, state: &OutputState, verify: Verify) -> Result<Readable, LoadError> {
        let (bytes, recorded) = match state {
            OutputState::Missing => return Err(LoadError::Missing),
            OutputState::Unfinished => return Err(LoadError::Pending),
            OutputState::OtherKey { provenance, .. } => {
                return Err(LoadError::OtherKey(Box::new(provenance.clone())));
            }
            OutputState::Torn { bytes, provenance } => {
                return Err(LoadError::Torn {
                    recorded: provenance.bytes,
                    found: *bytes,
                });
            }
            OutputState::Changed { bytes, provenance } if verify != Verify::Never => {
                return Err(LoadError::Mismatch {
                    recorded: format!("{} bytes", provenance.bytes),
                    found: bytes.to_string(),
                });
            }
            OutputState::Changed { bytes, .. } | OutputState::Unrecorded { bytes } => {
                (*bytes, None)
            }
            OutputState::Complete { bytes, provenance } => (*bytes, provenance.blake3),
        };
        let recorded = match verify {
            Verify::Never => None,
            Verify::Always if recorded.is_none() && self.maker != Maker::External => {
                return Err(LoadError::Unverified);
            }
            Verify::Known | Verify::Always => recorded,
        };
        Ok(Readable { bytes, recorded })
    }
}

/// An output that is there to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Readable {
    pub(crate) bytes: u64,
    /// The hash to verify it by.
    pub(crate) recorded: Option<blake3::Hash>,
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
        address: &OutputAddress,
        verifier: &Verifier,
    ) -> Result<(Erased, usize), LoadError> {
        match self {
            Loader::Decode(decode) => {
                let fetched = address.read(workspace, verifier).await?;
                let size = fetched.bytes.len();
                Ok((fetched.decode(decode).await?, size))
            }
            Loader::File => {
                let file = address.fetch(workspace, verifier).await?;
                let size = file.size().unwrap_or_default();
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                Ok((Arc::new(file), size))
            }
        }
    }
}

impl LoadError {
    /// Returns whether the task has to run (again) to have an output.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(
            self,
            LoadError::Missing | LoadError::Pending | LoadError::Torn { .. }
        )
    }

    /// The same with the task and the object that it is about.
    pub(crate) fn of(self, task: String, location: String) -> Error {
        match self {
            LoadError::Missing | LoadError::Pending => Error::Missing { task, location },
            LoadError::OtherKey(made) => Error::OtherKey {
                task,
                location,
                made_by: format!("{} with the key {}", made.task, made.key),
            },
            LoadError::Torn { recorded, found } => Error::Torn {
                task,
                location,
                recorded,
                found,
            },
            LoadError::Mismatch { recorded, found } => Error::Mismatch {
                task,
                location,
                recorded,
                found,
            },
            LoadError::Unverified => Error::Unverified { task, location },
            LoadError::Store(error) => error.into(),
            LoadError::TypeChanged { field, .. } => Error::TypeChanged {
                task,
                location,
                field,
            },
            LoadError::Decode(source) => Error::Decode {
                task,
                location,
                source,
            },
        }
    }
}
