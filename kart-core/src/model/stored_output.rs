//! `StoredOutput`: the one way to look at the output of a task, to read it and to delete it.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, ReadBuf};

use super::stored::{Fetched, LoadError};
use super::verify::{Verifier, hash_to_record};
use crate::error::{Error, StoreError};
use crate::format::File;
use crate::key::Key;
use crate::run_id::RunId;
use crate::workspace::{Maker, OutputAddress, OutputState, Provenance, Reader, Workspace};

/// The output of a task in a workspace, whether it is there or not: the one way to look at it, to read it and to delete it.
///
/// What another task has made at the same path is never taken for it, and what is read is verified.
#[derive(Clone, Debug)]
pub struct StoredOutput {
    pub(crate) workspace: Workspace,
    /// The task, as errors name it.
    pub(crate) task: Cow<'static, str>,
    pub(crate) address: OutputAddress,
    pub(crate) verifier: Arc<Verifier>,
}

impl StoredOutput {
    /// Returns the output at a path, which is to be that of the task of a key.
    #[must_use]
    pub fn at(workspace: &Workspace, path: &str, key: Key) -> Self {
        StoredOutput {
            workspace: workspace.clone(),
            task: format!("the task of the key {key}").into(),
            address: OutputAddress {
                path: path.into(),
                maker: Maker::Task(key),
            },
            verifier: Arc::default(),
        }
    }

    /// Returns the output at a path, whichever task has made it.
    #[must_use]
    pub fn of_any_task(workspace: &Workspace, path: &str) -> Self {
        StoredOutput {
            workspace: workspace.clone(),
            task: "some task".into(),
            address: OutputAddress {
                path: path.into(),
                maker: Maker::Anybody,
            },
            verifier: Arc::default(),
        }
    }

    /// Records again what the run log knows of the output, where a copy has lost what was recorded with it; returns whether
    /// it had.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store does not take it.
    pub async fn repair(&self) -> Result<bool, Error> {
        match self.verify().await {
            Ok(()) => {}
            Err(Error::Store(error)) => return Err(error.into()),
            Err(_) => return Ok(false),
        }
        Ok(self.workspace.repair(&self.address.path).await?)
    }

    /// Takes what lies there for the output of its task from now on, however it came there.
    pub(crate) async fn accept(&self, name: &str) -> Result<Provenance, Error> {
        let Maker::Task(key) = self.address.maker else {
            return Err(self.failed(LoadError::Missing));
        };
        match self.state().await? {
            OutputState::Missing => return Err(self.failed(LoadError::Missing)),
            OutputState::OtherKey { provenance, .. } => {
                return Err(self.failed(LoadError::OtherKey(Box::new(provenance))));
            }
            _ => {}
        }
        let path = &self.address.path;
        let file = self.workspace.fetch(path).await?;
        let file = file.ok_or_else(|| self.failed(LoadError::Missing))?;
        let hashed = async { Ok((file.size()?, hash_to_record(&file).await?)) };
        let (bytes, blake3) = hashed.await.map_err(|error| self.unread(error))?;
        let provenance = Provenance {
            blake3,
            run: Some(RunId::now()),
            ..Provenance::new(key, name, bytes)
        };
        self.workspace.record_provenance(path, &provenance).await?;
        // For a copy that loses it: the run log knows of no acceptance.
        self.workspace.record_elsewhere(path, &provenance).await?;
        Ok(provenance)
    }

    /// Returns what lies at the paths of outputs of one workspace, in their order.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store does not answer for one of them.
    pub async fn states(outputs: &[StoredOutput]) -> Result<Vec<OutputState>, Error> {
        let Some(first) = outputs.first() else {
            return Ok(Vec::new());
        };
        let addresses = outputs.iter().map(|output| output.address.clone());
        let addresses: Vec<_> = addresses.collect();
        Ok(first.workspace.output_states(&addresses).await?)
    }

    /// Reads all of the output and compares its hash with what was recorded; what has no record passes.
    ///
    /// # Errors
    ///
    /// Those of [`bytes`](Self::bytes).
    pub async fn verify(&self) -> Result<(), Error> {
        let mut reader = self.reader().await?;
        loop {
            let read = reader.fill_buf().await.map(<[u8]>::len);
            match read.map_err(|error| self.unread(error))? {
                0 => return Ok(()),
                length => reader.consume(length),
            }
        }
    }

    /// Returns the error of one of its readers as one that names the output.
    #[must_use]
    pub fn unread(&self, error: io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => Error::Store(StoreError {
                operation: "read",
                location: self.location(),
                hint: None,
                source: error.into(),
                transient: true,
            }),
        }
    }

    /// Returns what lies at the path of the output.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the store does not answer.
    pub async fn state(&self) -> Result<OutputState, Error> {
        let state = self.address.state(&self.workspace).await;
        state.map_err(|error| self.failed(error))
    }

    /// Reads the stored bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if there is no output, [`Error::OtherKey`], [`Error::Torn`] and [`Error::Mismatch`] if what is
    /// there is not what the task has made, [`Error::Store`] if it cannot be read.
    pub async fn bytes(&self) -> Result<Bytes, Error> {
        let fetched = self.address.read(&self.workspace, &self.verifier).await;
        let fetched = fetched.and_then(Fetched::verified);
        fetched.map_err(|error| self.failed(error))
    }

    /// Reads the part of the stored bytes that lies in the range; it is not verified but for the size of the whole.
    ///
    /// # Errors
    ///
    /// Those of [`bytes`](Self::bytes).
    pub async fn range(&self, range: Range<u64>) -> Result<Bytes, Error> {
        self.size().await?;
        let bytes = self.workspace.read_range(self.path(), range).await?;
        bytes.ok_or_else(|| self.failed(LoadError::Missing))
    }

    /// Opens the stored bytes, to be read in bounded memory. A mismatch is an error of the reader at the end.
    ///
    /// # Errors
    ///
    /// Those of [`bytes`](Self::bytes).
    pub async fn reader(&self) -> Result<Reader, Error> {
        let found = self.address.find(&self.workspace, &self.verifier).await;
        let readable = found.map_err(|error| self.failed(error))?;
        let reader = self.workspace.reader(self.path()).await?;
        let reader = reader.ok_or_else(|| self.failed(LoadError::Missing))?;
        let Some(recorded) = readable.recorded else {
            return Ok(reader);
        };
        Ok(Box::pin(VerifyingReader {
            reader,
            output: self.clone(),
            recorded,
            hasher: Box::default(),
        }))
    }

    /// Returns the stored bytes as a file, for programs that want one: the object itself in a directory, which is not to be
    /// changed; a copy from a bucket, which is deleted when nobody has it any more.
    ///
    /// # Errors
    ///
    /// Those of [`bytes`](Self::bytes).
    pub async fn file(&self) -> Result<File, Error> {
        let file = self.address.fetch(&self.workspace, &self.verifier).await;
        file.map_err(|error| self.failed(error))
    }

    /// Returns how many bytes are stored.
    ///
    /// # Errors
    ///
    /// Those of [`bytes`](Self::bytes).
    pub async fn size(&self) -> Result<u64, Error> {
        let found = self.address.find(&self.workspace, &self.verifier).await;
        let found = found.map_err(|error| self.failed(error))?;
        Ok(found.bytes)
    }

    /// Deletes the output; returns whether there was one of this task. What another task has made stays.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if it cannot be deleted.
    pub async fn remove(&self) -> Result<bool, Error> {
        let removed = self.address.remove(&self.workspace).await;
        removed.map_err(|error| self.failed(error))
    }

    /// Returns where the object is: the workspace's location and the path.
    #[must_use]
    pub fn location(&self) -> String {
        self.workspace.display_url(&self.address.path)
    }

    /// Returns the object's path, relative to the workspace.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.address.path
    }

    /// Returns the key of the task that has to have made it, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        match self.address.maker {
            Maker::Task(key) => Some(key),
            Maker::Anybody | Maker::External => None,
        }
    }

    pub(crate) fn failed(&self, error: LoadError) -> Error {
        error.of(self.task.clone().into_owned(), self.location())
    }
}

/// Verifies at its end what was read.
struct VerifyingReader {
    reader: Reader,
    output: StoredOutput,
    recorded: blake3::Hash,
    hasher: Box<blake3::Hasher>,
}

impl AsyncBufRead for VerifyingReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        let bytes = ready!(this.reader.as_mut().poll_fill_buf(cx))?;
        if bytes.is_empty()
            && let Err(error) = super::verify::compare(this.recorded, this.hasher.finalize())
        {
            let error = this.output.failed(error);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(bytes))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        // Ready at once: it has been filled.
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if let Poll::Ready(Ok(bytes)) = this.reader.as_mut().poll_fill_buf(&mut cx) {
            this.hasher.update(&bytes[..amount.min(bytes.len())]);
        }
        this.reader.as_mut().consume(amount);
    }
}

impl AsyncRead for VerifyingReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = bytes.len().min(buffer.remaining());
        buffer.put_slice(&bytes[..amount]);
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}
