//! Encodes and publishes an output: create-only where the path holds the key, by one replacing write elsewhere.

use std::io::{BufRead as _, BufReader};
use std::sync::{Arc, PoisonError};

use tokio::task::spawn_blocking;

use crate::error::BoxError;
use crate::format::File;
use crate::model::{DynTask, Erased, LARGE_BYTES, Stored};
use crate::plan::{Node, Status};
use crate::run::message::Published;
use crate::run::run_context::RunContext;
use crate::workspace::{CommitGuard, Content, Mode, Provenance, Publication, Workspace};

/// An output to be published.
pub(super) struct Output<'a> {
    pub(super) node: &'a Node,
    pub(super) status: Status,
    pub(super) path: &'a str,
    pub(super) stored: &'a Stored,
    pub(super) provenance: &'a Provenance,
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

pub(super) async fn publish(
    workspace: &Workspace,
    output: Output<'_>,
    guard: &CommitGuard,
) -> Result<Published, BoxError> {
    let Output { path, stored, .. } = output;
    let is_keyed = output.node.task.spec().is_keyed();
    let is_new = is_keyed && !output.status.overwrites();
    let publication = Publication {
        path,
        content: match stored {
            Stored::Bytes(bytes, _) => Content::Bytes(bytes.clone()),
            Stored::File(file) => Content::File(file),
        },
        mode: if is_new { Mode::Create } else { Mode::Replace },
        is_keyed,
        provenance: output.provenance,
    };
    let is_written = workspace.publish(publication, guard).await?;
    if !is_written && let Some(first) = other(workspace, path, stored).await? {
        return Ok(first);
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
