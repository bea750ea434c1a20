//! Publishes an output: create-only where the path holds the key, by one replacing write elsewhere.

use std::io::{BufRead as _, BufReader};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::error::{BoxError, StoreError};
use crate::format::File;
use crate::model::{Erased, Stored};
use crate::plan::{Node, Status, pending};
use crate::run::message::Published;
use crate::workspace::{CommitGuard, CreateOutcome, Workspace, layout};

pub(crate) async fn publish(
    workspace: &Workspace,
    node: &Node,
    status: Status,
    guard: &CommitGuard,
    path: &str,
    output: Erased,
    stored: Stored,
) -> Result<Published, BoxError> {
    let is_keyed = node.task.spec().is_keyed();
    let bytes = stored.size()?;
    let hash = match &stored {
        Stored::Bytes(_, hash) => Some(*hash),
        Stored::File(_) => None,
    };
    if !is_keyed {
        replace_named(workspace, node, path, &stored, guard).await?;
    } else if status.replaces() {
        replace(workspace, path, &stored, guard).await?;
    } else if let Some(first) = create(workspace, node, path, &stored, guard).await? {
        return Ok(first);
    }
    // The file has moved to its place.
    let output = match &stored {
        Stored::File(_) if workspace.is_directory() => match workspace.fetch(path).await? {
            Some(file) => Arc::new(file),
            None => output,
        },
        _ => output,
    };
    Ok(Published {
        output: Some(output),
        bytes,
        hash,
        differed: false,
        worker: None,
    })
}

/// Creates an output; returns the one that was there first if its bytes differ.
async fn create(
    workspace: &Workspace,
    node: &Node,
    path: &str,
    stored: &Stored,
    guard: &CommitGuard,
) -> Result<Option<Published>, BoxError> {
    match stored {
        Stored::Bytes(encoded, _) => match workspace
            .create_guarded(path, encoded.clone(), guard)
            .await?
        {
            CreateOutcome::Exists(first) if first != encoded => Ok(Some(Published {
                bytes: first.len() as u64,
                hash: Some(blake3::hash(&first)),
                output: Some((node.task.decoder())(first)?),
                differed: true,
                worker: None,
            })),
            _ => Ok(None),
        },
        Stored::File(file) => {
            if workspace.create_file_guarded(path, file, guard).await? {
                return Ok(None);
            }
            let Some(first) = workspace.fetch(path).await? else {
                let location = workspace.display_url(path);
                return Err(format!("`{location}` was there and was deleted meanwhile").into());
            };
            Ok(Some(Published {
                bytes: first.size()?,
                hash: None,
                differed: !is_same(first.clone(), file.clone()).await?,
                output: Some(Arc::new(first)),
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

async fn replace(
    workspace: &Workspace,
    path: &str,
    stored: &Stored,
    guard: &CommitGuard,
) -> Result<(), StoreError> {
    match stored {
        Stored::Bytes(bytes, _) => workspace.replace_guarded(path, bytes.clone(), guard).await,
        Stored::File(file) => workspace.replace_file_guarded(path, file, guard).await,
    }
}

/// Replaces an output at a path without a key. Its sidecar says `pending` meanwhile, so a crash in between never leaves
/// what looks like a complete output.
async fn replace_named(
    workspace: &Workspace,
    node: &Node,
    path: &str,
    stored: &Stored,
    guard: &CommitGuard,
) -> Result<(), StoreError> {
    let sidecar = layout::sidecar(path);
    let pending = Bytes::from(pending(node.key));
    workspace.replace_guarded(&sidecar, pending, guard).await?;
    replace(workspace, path, stored, guard).await?;
    let done = Bytes::from(node.key.to_string());
    workspace.replace_guarded(&sidecar, done, guard).await
}
