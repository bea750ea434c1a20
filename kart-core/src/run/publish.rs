//! Committing an output: create-only where the path holds the key, in one step elsewhere.

use bytes::Bytes;

use crate::error::{BoxError, StoreError};
use crate::model::Erased;
use crate::own::Claim;
use crate::plan::{Need, Node, companion, pending};
use crate::workspace::{Commit, Workspace};

/// An output that is in the workspace.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) output: Erased,
    pub(super) bytes: usize,
    pub(super) hash: blake3::Hash,
    /// Whether other bytes had been published first; they are the output now.
    pub(super) differed: bool,
}

pub(super) async fn publish(
    workspace: &Workspace,
    node: &Node,
    need: Need,
    claim: Option<&Claim>,
    output: Erased,
    encoded: Bytes,
) -> Result<Published, BoxError> {
    let path = node.path()?;
    let bytes = encoded.len();
    let hash = blake3::hash(&encoded);
    let replaces = !node.task.spec().is_keyed() || need.replaces();
    if replaces && let Some(claim) = claim {
        // Create-only writes need no claim: they change nothing that is there.
        claim.guard().await?;
    }
    if !node.task.spec().is_keyed() {
        replace_named(workspace, node, &path, encoded).await?;
    } else if need.replaces() {
        workspace.replace(&path, encoded).await?;
    } else if let Commit::Exists(first) = workspace.create(&path, encoded.clone()).await?
        && first != encoded
    {
        return Ok(Published {
            bytes: first.len(),
            hash: blake3::hash(&first),
            output: (node.task.decoder())(first)?,
            differed: true,
        });
    }
    Ok(Published {
        output,
        bytes,
        hash,
        differed: false,
    })
}

/// The companion says `pending` while the output is written, so that a crash in between is never
/// taken for a finished output.
async fn replace_named(
    workspace: &Workspace,
    node: &Node,
    path: &str,
    encoded: Bytes,
) -> Result<(), StoreError> {
    let companion = companion(path);
    let pending = Bytes::from(pending(node.key));
    workspace.replace(&companion, pending).await?;
    workspace.replace(path, encoded).await?;
    let done = Bytes::from(node.key.to_string());
    workspace.replace(&companion, done).await
}
