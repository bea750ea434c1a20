//! Encodes and publishes an output: create-only, unless it takes the place of what lies there.

use std::io::{BufRead as _, BufReader};
use std::sync::{Arc, PoisonError};

use tokio::task::spawn_blocking;

use super::Attempt;
use crate::error::BoxError;
use crate::format::File;
use crate::model::{DynTask, Erased, LARGE_BYTES, Stored};
use crate::run::message::{Message, Published};
use crate::run::run_context::RunContext;
use crate::workspace::{
    CommitGuard, Content, Mode, OutputAddress, OutputState, Provenance, Publication, Workspace,
};

/// An output to be published.
pub(super) struct Output<'a> {
    pub(super) address: OutputAddress,
    pub(super) stored: &'a Stored,
    pub(super) is_keyed: bool,
    pub(super) provenance: &'a Provenance,
}

impl Output<'_> {
    fn with(&self, mode: Mode) -> Publication<'_> {
        Publication {
            path: &self.address.path,
            content: match self.stored {
                Stored::Bytes(bytes, _) => Content::Bytes(bytes.clone()),
                Stored::File(file) => Content::File(file),
            },
            mode,
            is_keyed: self.is_keyed,
            provenance: self.provenance,
        }
    }
}

/// Encodes an output, on a thread of its own if the last output of that task name was large.
pub(super) async fn encode(
    run: &RunContext,
    task: &Arc<dyn DynTask>,
    output: &Erased,
) -> Result<Stored, BoxError> {
    let name = task.spec().name;
    let large = || run.large.lock().unwrap_or_else(PoisonError::into_inner);
    let was_large = large().contains(name);
    let stored = if was_large {
        Stored::of_large(Arc::clone(task), Arc::clone(output)).await?
    } else {
        Stored::of(task.as_ref(), output)?
    };
    let is_large = stored.size()? >= LARGE_BYTES as u64;
    if is_large && !was_large {
        large().insert(name);
    } else if was_large && !is_large {
        large().remove(name);
    }
    Ok(stored)
}

impl Attempt<'_> {
    /// Publishes an output, unless another process has published one for this task since it was looked up.
    pub(super) async fn publish_output(
        &self,
        output: Output<'_>,
        guard: &CommitGuard,
    ) -> Result<Published, BoxError> {
        let workspace = &self.run.workspace;
        let (path, stored) = (&output.address.path, output.stored);
        let mut replaces = self.status.overwrites();
        if !replaces && !workspace.publish(output.with(Mode::Create), guard).await? {
            replaces = !self.is_made(&output).await?;
            if !replaces && let Some(first) = other(workspace, path, stored).await? {
                return Ok(first);
            }
        }
        if replaces {
            // Create-only writes need no lease: they change nothing that exists.
            self.ensure_held().await?;
            workspace.publish(output.with(Mode::Replace), guard).await?;
        }
        // The file has moved to its place.
        let stored = match stored {
            Stored::File(_) if workspace.is_directory() => {
                let file = workspace.fetch(path).await?;
                file.map_or_else(|| stored.clone(), Stored::File)
            }
            stored => stored.clone(),
        };
        Ok(Published {
            stored: Some(stored),
            bytes: output.provenance.bytes,
            hash: output.provenance.blake3,
            differed: false,
            worker: None,
        })
    }

    /// Returns whether what has come to the path of an output meanwhile is an output of this task.
    async fn is_made(&self, output: &Output<'_>) -> Result<bool, BoxError> {
        if output.is_keyed {
            return Ok(true);
        }
        let address = std::slice::from_ref(&output.address);
        let found = self.run.workspace.output_states(address).await?.pop();
        let is_made = found.as_ref().is_some_and(OutputState::is_complete);
        if let Some(OutputState::OtherKey { provenance, .. }) = found {
            self.run.send(Message::Replaces(self.node, provenance));
        }
        Ok(is_made)
    }
}

/// Returns the output that was there first if its bytes differ.
async fn other(
    workspace: &Workspace,
    path: &str,
    stored: &Stored,
) -> Result<Option<Published>, BoxError> {
    let deleted = || {
        let location = workspace.display_url(path);
        format!("`{location}` was there and was deleted meanwhile")
    };
    match stored {
        Stored::Bytes(encoded, _) => {
            let first = workspace.read(path).await?.ok_or_else(deleted)?;
            if first == encoded {
                return Ok(None);
            }
            let hash = blake3::hash(&first);
            Ok(Some(Published {
                bytes: first.len() as u64,
                hash: Some(hash),
                stored: Some(Stored::Bytes(first, hash)),
                differed: true,
                worker: None,
            }))
        }
        Stored::File(file) => {
            let first = workspace.fetch(path).await?.ok_or_else(deleted)?;
            Ok(Some(Published {
                bytes: first.size()?,
                hash: None,
                differed: !is_same(first.clone(), file.clone()).await?,
                stored: Some(Stored::File(first)),
                worker: None,
            }))
        }
    }
}

/// Returns whether two files have the same bytes.
async fn is_same(one: File, other: File) -> std::io::Result<bool> {
    let compare = move || {
        if one.size()? != other.size()? {
            return Ok(false);
        }
        let mut one = BufReader::new(one.open()?);
        let mut other = BufReader::new(other.open()?);
        loop {
            let (left, right) = (one.fill_buf()?, other.fill_buf()?);
            let length = left.len().min(right.len());
            if length == 0 || left[..length] != right[..length] {
                return Ok(left.len() == right.len() && length == 0);
            }
            one.consume(length);
            other.consume(length);
        }
    };
    spawn_blocking(compare).await?
}
