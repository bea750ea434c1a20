//! Committing an output: create-only where the path holds the key, in one step elsewhere.

use std::io::{BufRead as _, BufReader};
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::error::{BoxError, StoreError};
use crate::format::File;
use crate::lease::Claim;
use crate::model::{Erased, Stored};
use crate::plan::{Node, Status, companion, pending};
use crate::workspace::{Commit, Workspace};

/// An output that is in the workspace.
#[derive(Debug)]
pub(crate) struct Published {
    /// What was made in this process.
    pub(crate) output: Option<Erased>,
    pub(crate) bytes: u64,
    /// Not of files: they are not read again.
    pub(crate) hash: Option<blake3::Hash>,
    /// Whether another output had been published first; it is the output now.
    pub(crate) differed: bool,
    /// Who made it, if not this process.
    pub(crate) worker: Option<Box<str>>,
}

pub(crate) async fn publish(
    workspace: &Workspace,
    node: &Node,
    need: Status,
    claim: Option<&Claim>,
    output: Erased,
    stored: Stored,
) -> Result<Published, BoxError> {
    let path = node.path()?;
    let is_keyed = node.task.spec().is_keyed();
    if let Some(claim) = claim
        && (!is_keyed || need.replaces())
    {
        // Create-only writes need no claim: they change nothing that is there.
        claim.ensure_held().await?;
    }
    let bytes = stored.size()?;
    let hash = match &stored {
        Stored::Bytes(_, hash) => Some(*hash),
        Stored::File(_) => None,
    };
    if !is_keyed {
        replace_named(workspace, node, &path, &stored).await?;
    } else if need.replaces() {
        replace(workspace, &path, &stored).await?;
    } else if let Some(first) = create(workspace, node, &path, &stored).await? {
        return Ok(first);
    }
    // A file has been moved to its place.
    let output = match &stored {
        Stored::File(_) if workspace.is_directory() => match workspace.fetch(&path).await? {
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

/// Publishes what is not there yet; gives another output that was there first.
async fn create(
    workspace: &Workspace,
    node: &Node,
    path: &str,
    stored: &Stored,
) -> Result<Option<Published>, BoxError> {
    match stored {
        Stored::Bytes(encoded, _) => match workspace.create(path, encoded.clone()).await? {
            Commit::Exists(first) if first != encoded => Ok(Some(Published {
                bytes: first.len() as u64,
                hash: Some(blake3::hash(&first)),
                output: Some((node.task.decoder())(first)?),
                differed: true,
                worker: None,
            })),
            _ => Ok(None),
        },
        Stored::File(file) => {
            if workspace.create_file(path, file).await? {
                return Ok(None);
            }
            let Some(first) = workspace.fetch(path).await? else {
                let location = workspace.locate(path);
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

/// Whether two files have the same bytes.
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

async fn replace(workspace: &Workspace, path: &str, stored: &Stored) -> Result<(), StoreError> {
    match stored {
        Stored::Bytes(bytes, _) => workspace.replace(path, bytes.clone()).await,
        Stored::File(file) => workspace.replace_file(path, file).await,
    }
}

/// The companion says `pending` while the output is written, so that a crash in between is never
/// taken for a finished output.
async fn replace_named(
    workspace: &Workspace,
    node: &Node,
    path: &str,
    stored: &Stored,
) -> Result<(), StoreError> {
    let companion = companion(path);
    let pending = Bytes::from(pending(node.key));
    workspace.replace(&companion, pending).await?;
    replace(workspace, path, stored).await?;
    let done = Bytes::from(node.key.to_string());
    workspace.replace(&companion, done).await
}
