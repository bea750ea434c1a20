//! Publishes an output: create-only where the path holds the key, by one replacing write elsewhere.

use std::io::{BufRead as _, BufReader};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::error::{BoxError, Error};
use crate::format::{File, UnknownFields};
use crate::model::{Erased, Stored};
use crate::plan::{Node, Status, describe};
use crate::run::message::Published;
use crate::workspace::{CommitGuard, Content, Mode, Provenance, Publication, Workspace};

/// An output to be published.
pub(super) struct Output<'a> {
    pub(super) node: &'a Node,
    pub(super) status: Status,
    pub(super) path: &'a str,
    pub(super) value: Erased,
    pub(super) stored: &'a Stored,
    pub(super) provenance: &'a Provenance,
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
    if !is_written && let Some(first) = other(workspace, output.node, path, stored).await? {
        return Ok(first);
    }
    // The file has moved to its place.
    let value = match stored {
        Stored::File(_) if workspace.is_directory() => match workspace.fetch(path).await? {
            Some(file) => Arc::new(file),
            None => output.value,
        },
        _ => output.value,
    };
    Ok(Published {
        output: Some(value),
        bytes: output.provenance.bytes,
        hash: output.provenance.blake3,
        differed: false,
        worker: None,
    })
}

/// Returns the output that was there first if its bytes differ.
async fn other(
    workspace: &Workspace,
    node: &Node,
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
            let (bytes, hash) = (first.len() as u64, blake3::hash(&first));
            let mut unknown = UnknownFields::default();
            let output = node.task.decoder()(first, &mut unknown)?;
            if let Some(field) = unknown.iter().next() {
                let error = Error::TypeChanged {
                    task: describe(node.task.as_ref()),
                    location: workspace.display_url(path),
                    field: field.to_owned(),
                };
                return Err(error.into());
            }
            Ok(Some(Published {
                bytes,
                hash: Some(hash),
                output: Some(output),
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
