//! Packing old runs: many in one object, so that a start lists few.

use super::read::Listing;
use crate::error::StoreError;
use crate::run_id::RunId;
use crate::workspace::{Workspace, layout};

/// More unpacked runs than that are packed.
pub(super) const UNPACKED: usize = 64;
/// More runs than that are packed at the ends of later runs.
const AT_ONCE: usize = 256;
/// A pack is closed when it has so much.
const PACK_BYTES: usize = 32 << 20;

/// Packs the oldest runs, up to the newest half of what may stay, once there are more. What is packed is deleted after
/// its pack is there; two processes that pack at once both keep every line.
pub(super) async fn pack(workspace: &Workspace, current: RunId) -> Result<(), StoreError> {
    let listing = Listing::of(workspace).await?;
    // Newer ones may be under way.
    let old: Vec<_> = listing
        .runs
        .into_iter()
        .filter(|(run, _)| *run < current)
        .collect();
    if old.len() <= UNPACKED {
        return Ok(());
    }
    let count = (old.len() - UNPACKED / 2).min(AT_ONCE);
    let mut text = Vec::new();
    let mut packed = Vec::new();
    for (run, listed) in old.into_iter().take(count) {
        let segments: Vec<String> = listed.segments.into_iter().map(|(_, path)| path).collect();
        for segment in workspace.read_many(segments.clone()).await {
            text.extend_from_slice(&segment?.unwrap_or_default());
        }
        packed.push((run, segments));
        if text.len() >= PACK_BYTES {
            write(
                workspace,
                std::mem::take(&mut text),
                std::mem::take(&mut packed),
            )
            .await?;
        }
    }
    write(workspace, text, packed).await
}

async fn write(
    workspace: &Workspace,
    text: Vec<u8>,
    packed: Vec<(RunId, Vec<String>)>,
) -> Result<(), StoreError> {
    let (Some((first, _)), Some((last, _))) = (packed.first(), packed.last()) else {
        return Ok(());
    };
    let path = layout::run_pack(*first, *last);
    workspace.create(&path, text.into()).await?;
    for (run, segments) in packed {
        for segment in segments {
            workspace.delete(&segment).await?;
        }
        workspace.delete(&layout::run_digest(run)).await?;
    }
    Ok(())
}
