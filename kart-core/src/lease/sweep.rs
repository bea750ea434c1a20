//! What processes leave that died at a bad moment: a liveness object without claims, a claim on a key that
//! nobody wants any more because its output exists. And the claims on work that failed for good, which stay as
//! long as other processes share that work.

use std::collections::BTreeMap;

use super::{Claimed, Participant, identity};
use crate::error::StoreError;
use crate::key::Key;
use crate::lease_protocol::{ClaimRecord, Health, LivenessRecord, ProcessId};
use crate::workspace::layout;

impl Participant {
    /// Deletes what dead processes have left; what cannot be deleted stays.
    pub(super) async fn sweep(&self) {
        if let Err(error) = self.sweep_all().await {
            tracing::debug!(error = crate::error::chain(&error), "failed to sweep");
        }
    }

    async fn sweep_all(&self) -> Result<(), StoreError> {
        let workspace = &self.shared().workspace;
        let mut highest: BTreeMap<Key, u64> = BTreeMap::new();
        let (claims, liveness) = tokio::join!(
            workspace.list(layout::CLAIMS),
            workspace.list(layout::HEARTBEATS)
        );
        for path in claims? {
            if let Some((key, generation)) = layout::claim_at(&path) {
                let highest = highest.entry(key).or_default();
                *highest = generation.max(*highest);
            }
        }
        let is_alone = self.sweep_liveness(liveness?).await?;
        for (key, generation) in highest {
            if self.is_orphaned(key, generation, is_alone).await? {
                self.clear(key, generation).await?;
            }
        }
        Ok(())
    }

    /// Deletes the liveness objects of dead processes; returns whether no other process is left.
    async fn sweep_liveness(&self, found: Vec<String>) -> Result<bool, StoreError> {
        let shared = self.shared();
        let own = self.id().await;
        let mut is_alone = true;
        for path in found {
            let Some(id) = layout::heartbeat_at(&path).filter(|id| own != Some(*id)) else {
                continue;
            };
            let Some(text) = shared.workspace.read(&path).await? else {
                continue;
            };
            let record = serde_json::from_slice::<LivenessRecord>(&text);
            let has_exited = record
                .is_ok_and(|record| identity::has_exited(&shared.identity, id, &record.origin));
            if has_exited || shared.observe(id, false).await? == Health::Dead {
                shared.workspace.delete(&path).await?;
            } else {
                is_alone = false;
            }
        }
        Ok(is_alone)
    }

    /// Takes a key over from a dead process and releases all its generations.
    async fn clear(&self, key: Key, orphaned: u64) -> Result<(), StoreError> {
        if let Claimed::Won(claim) = self.claim_anew(key, "nothing: it sweeps").await? {
            claim.clear(orphaned).await?;
        }
        Ok(())
    }

    /// Returns whether a claim is of a process that has exited or has no liveness, or says that the work failed
    /// for good while no other process is left to read it.
    async fn is_orphaned(
        &self,
        key: Key,
        generation: u64,
        is_alone: bool,
    ) -> Result<bool, StoreError> {
        let workspace = &self.shared().workspace;
        let Some(text) = workspace.read(&layout::claim(key, generation)).await? else {
            return Ok(false);
        };
        let Ok(record) = serde_json::from_slice::<ClaimRecord>(&text) else {
            return Ok(true);
        };
        let process: ProcessId = record.process;
        if record.failed.is_some() && !is_alone {
            return Ok(false);
        }
        if record.failed.is_some() && self.id().await == Some(process) {
            return Ok(true);
        }
        if identity::has_exited(&self.shared().identity, process, &record.origin) {
            return Ok(true);
        }
        Ok(!workspace.exists(&layout::heartbeat(process)).await?)
    }
}
