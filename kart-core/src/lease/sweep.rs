//! What processes leave that died in the wrong moment: a liveness object without claims, a claim on a key that
//! nobody wants any more because its output is there.

use std::collections::BTreeMap;

use super::participant::Shared;
use super::{Claimed, Participant, claim, identity};
use crate::error::StoreError;
use crate::key::Key;
use crate::lease_protocol::{ClaimRecord, LivenessRecord, ProcessId};

impl Participant {
    /// Removes what the dead have left; what cannot be removed stays.
    pub(super) async fn sweep(&self) {
        if let Err(error) = self.sweep_all().await {
            tracing::debug!(error = crate::error::chain(&error), "failed to sweep");
        }
    }

    async fn sweep_all(&self) -> Result<(), StoreError> {
        let shared = self.shared();
        let workspace = &shared.workspace;
        let mut highest: BTreeMap<Key, u64> = BTreeMap::new();
        for path in workspace.list("_kart/claims").await? {
            let mut names = path.split('/').skip(2);
            let key = names.next().and_then(|key| key.parse().ok());
            let generation = names.next().and_then(|number| number.parse::<u64>().ok());
            if let (Some(key), Some(generation)) = (key, generation) {
                let highest = highest.entry(key).or_default();
                *highest = generation.max(*highest);
            }
        }
        for (key, generation) in highest {
            if is_orphaned(shared, &claim(key, generation)).await? {
                self.clear(key).await?;
            }
        }
        for path in workspace.list("_kart/workers").await? {
            let id = path.rsplit('/').next().and_then(|id| id.parse().ok());
            if id.is_some_and(|id| identity::live_participants().contains(&id)) {
                continue;
            }
            let Some(text) = workspace.read(&path).await? else {
                continue;
            };
            let record = serde_json::from_slice::<LivenessRecord>(&text);
            if record.is_ok_and(|record| identity::has_exited(record.process, &record.origin)) {
                workspace.delete(&path).await?;
            }
        }
        Ok(())
    }

    /// Takes a key over from the dead and gives it back with all its generations: the lower ones first, while
    /// the highest is held, so that whoever comes meanwhile either waits or is alone.
    async fn clear(&self, key: Key) -> Result<(), StoreError> {
        if let Claimed::Won(held) = self.claim(key, "nothing: it sweeps").await? {
            for generation in 1..held.generation() {
                self.shared()
                    .workspace
                    .delete(&claim(key, generation))
                    .await?;
            }
            held.release(false).await;
        }
        Ok(())
    }
}

/// Whether a claim is of a process that is known to be gone, or that has no liveness.
async fn is_orphaned(shared: &Shared, path: &str) -> Result<bool, StoreError> {
    let Some(text) = shared.workspace.read(path).await? else {
        return Ok(false);
    };
    let Ok(record) = serde_json::from_slice::<ClaimRecord>(&text) else {
        return Ok(true);
    };
    let process: ProcessId = record.process;
    if identity::has_exited(process, &record.origin) {
        return Ok(true);
    }
    Ok(!shared.workspace.exists(&super::worker(process)).await?)
}
