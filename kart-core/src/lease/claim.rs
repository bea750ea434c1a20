//! A claim that this run has won.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::time::Instant;

use super::heartbeat::Liveness;
use super::shared::{Shared, json};
use crate::error::{BoxError, StoreError, interrupted};
use crate::key::Key;
use crate::lease_protocol::{ClaimRecord, FailureRecord};
use crate::workspace::layout;

/// A lease on one key, until this process loses it.
#[derive(Debug)]
pub(crate) struct Claim {
    shared: Arc<Shared>,
    liveness: Arc<Liveness>,
    key: Key,
    generation: u64,
    record: ClaimRecord,
    /// When the store last confirmed it, by two clocks.
    last_verified: Mutex<(Instant, SystemTime)>,
}

impl Claim {
    pub(super) fn new(
        shared: &Arc<Shared>,
        liveness: Arc<Liveness>,
        key: Key,
        generation: u64,
        record: ClaimRecord,
    ) -> Self {
        Claim {
            shared: Arc::clone(shared),
            liveness,
            key,
            generation,
            record,
            last_verified: Mutex::new((Instant::now(), SystemTime::now())),
        }
    }

    #[cfg(test)]
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Waits until the lease is lost, which may never happen.
    pub(crate) async fn lost(&self) {
        self.liveness.lost().await;
    }

    /// Returns whether this run holds the lease, as far as it knows without asking the store.
    pub(crate) fn is_held(&self) -> bool {
        !self.liveness.is_lost()
    }

    /// Makes sure, before a commit that overwrites an object, that this run still holds the lease. It asks the
    /// store when the last check was long ago by any clock: one clock may have stood still with its machine.
    ///
    /// # Errors
    ///
    /// The lease is lost, or the store did not answer.
    pub(crate) async fn ensure_held(&self) -> Result<(), BoxError> {
        let (at, wall) = *self.last_verified();
        let recently = self.shared.ttl / 3;
        let is_recent = at.elapsed() < recently && wall.elapsed().is_ok_and(|time| time < recently);
        if !is_recent && self.verify().await? {
            *self.last_verified() = (Instant::now(), SystemTime::now());
        } else if !is_recent {
            self.liveness.end();
        }
        if self.is_held() {
            Ok(())
        } else {
            Err(interrupted().into())
        }
    }

    fn last_verified(&self) -> MutexGuard<'_, (Instant, SystemTime)> {
        self.last_verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the store whether this run still holds the lease.
    async fn verify(&self) -> Result<bool, StoreError> {
        let generations = self.shared.generations(self.key).await?;
        if generations.iter().max() != Some(&self.generation) {
            return Ok(false);
        }
        let read = self
            .shared
            .read(&layout::claim(self.key, self.generation))
            .await?;
        let record = read.and_then(|bytes| serde_json::from_slice::<ClaimRecord>(&bytes).ok());
        Ok(record.is_some_and(|record| record.nonce == self.record.nonce) && self.is_held())
    }

    /// Releases the key, unless the lease is lost. When the work is done, older generations go too: nobody runs
    /// again what has an output.
    pub(crate) async fn release(&self, is_done: bool) {
        let first = if is_done { 1 } else { self.generation };
        for generation in (first..=self.generation).rev() {
            if !self.is_held() {
                return;
            }
            let path = layout::claim(self.key, generation);
            let deleted = if generation == self.generation {
                self.shared.delete_claim(&path, self.record.nonce).await
            } else {
                self.shared.delete(&path).await.map(drop)
            };
            if let Err(error) = deleted {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "failed to release a claim"
                );
            }
        }
        self.liveness.released();
    }

    /// Releases the key with all generations up to `highest`, which dead processes have left. The first one becomes its own
    /// before its own is deleted, and goes last: whenever this process ends, what is left says who held the key, and a slow
    /// contender for the next generation sees that the one below has changed.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub(crate) async fn clear(&self, highest: u64) -> Result<(), StoreError> {
        let path = |generation| layout::claim(self.key, generation);
        // A late request may have left a generation above one that was free.
        for generation in 2..=highest.max(self.generation) {
            if generation != self.generation && self.is_held() {
                self.shared.delete(&path(generation)).await?;
            }
        }
        if self.generation > 1 && self.is_held() {
            let first = path(1);
            let write = self.shared.workspace.replace(&first, json(&self.record));
            self.shared.in_time("write", &first, write).await?;
            if self.is_held() {
                let own = path(self.generation);
                self.shared.delete_claim(&own, self.record.nonce).await?;
            }
        }
        if self.is_held() {
            self.shared
                .delete_claim(&path(1), self.record.nonce)
                .await?;
        }
        self.liveness.released();
        Ok(())
    }

    /// Keeps the key, and says in the claim that the work failed for good. Other processes that share the work do
    /// not try it again, until the last of them has left.
    ///
    /// # Errors
    ///
    /// The lease is lost, or the store did not answer.
    pub(crate) async fn fail(&self, attempts: u32, error: &str) -> Result<(), BoxError> {
        self.ensure_held().await?;
        let mut record = self.record.clone();
        let error = error.to_owned();
        record.failed = Some(FailureRecord { attempts, error });
        let path = layout::claim(self.key, self.generation);
        let write = self.shared.workspace.replace(&path, json(&record));
        self.shared.in_time("write", &path, write).await?;
        self.liveness.released();
        Ok(())
    }

    /// Makes the wall clock say that the last check was long ago, as after a suspend of the machine.
    #[cfg(test)]
    pub(super) fn suspend(&self, time: std::time::Duration) {
        let mut last_verified = self.last_verified();
        last_verified.1 -= time;
    }
}
