//! What a participant shares with its heartbeat and its claims: where it works, the time, and the requests of
//! the protocol.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};

use crate::error::StoreError;
use crate::key::Key;
use crate::lease_protocol::{
    ClaimRecord, FailureDetector, Health, LivenessRecord, Moment, Nonce, Observation, ProcessId,
    ProcessIdentity, WaitRecord,
};
use crate::workspace::{Workspace, layout};

/// What this process has observed of the others in one workspace. All its runs share it, so that a holder that
/// one run has seen silent for a `ttl` is taken over by the next at once.
#[derive(Debug)]
pub(super) struct Peers {
    start: Instant,
    detector: Mutex<FailureDetector>,
    /// Tells liveness objects of different bytes apart.
    hasher: RandomState,
}

impl Default for Peers {
    fn default() -> Self {
        Peers {
            start: Instant::now(),
            detector: Mutex::default(),
            hasher: RandomState::new(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) workspace: Workspace,
    pub(super) ttl: Duration,
    pub(super) run: String,
    pub(super) identity: Arc<ProcessIdentity>,
    /// What is written with each heartbeat.
    waits: Mutex<Vec<WaitRecord>>,
    peers: Arc<Peers>,
}

/// An instant that never comes; what tokio uses.
const NEVER: Duration = Duration::from_hours(24 * 365 * 30);

impl Shared {
    pub(super) fn new(
        workspace: &Workspace,
        ttl: Duration,
        run: String,
        identity: ProcessIdentity,
    ) -> Self {
        Shared {
            workspace: workspace.clone(),
            ttl,
            run,
            identity: Arc::new(identity),
            waits: Mutex::default(),
            peers: workspace.extension(),
        }
    }

    pub(super) fn waits(&self) -> MutexGuard<'_, Vec<WaitRecord>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the present moment on this process's own clock.
    pub(super) fn now(&self) -> Moment {
        self.peers.start.elapsed()
    }

    pub(super) fn instant(&self, moment: Moment) -> Instant {
        let instant = self.peers.start.checked_add(moment);
        instant.unwrap_or_else(|| Instant::now() + NEVER)
    }

    /// Waits for a write that has an effect on leases. It fails after a third of the `ttl`: whoever waits longer
    /// may come too late.
    pub(super) async fn in_time<T>(
        &self,
        operation: &'static str,
        path: &str,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = timeout(self.ttl / 3, request).await;
        answer.unwrap_or_else(|_| Err(self.late(operation, path)))
    }

    pub(super) async fn create(
        &self,
        path: &str,
        record: &ClaimRecord,
    ) -> Result<bool, StoreError> {
        let create = self.workspace.try_create(path, json(record));
        self.in_time("write", path, create).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<bool, StoreError> {
        let delete = self.workspace.delete(path);
        self.in_time("delete", path, delete).await
    }

    /// Deletes a claim of this process. After a request without an answer it looks whether the claim is still there: another
    /// process may have created it anew, and hold the key.
    pub(super) async fn delete_claim(&self, path: &str, nonce: Nonce) -> Result<(), StoreError> {
        let delete = async {
            loop {
                match self.workspace.delete_once(path).await {
                    Err(error) if error.is_transient() => {}
                    answer => return answer,
                }
                sleep((self.ttl / 36).mul_f64(fastrand::f64())).await;
                let found = self.workspace.read(path).await?;
                let found = found.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                if found.is_none_or(|found: ClaimRecord| found.nonce != nonce) {
                    return Ok(());
                }
            }
        };
        self.in_time("delete", path, delete).await
    }

    pub(super) async fn read(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let read = timeout(self.ttl, self.workspace.read(path)).await;
        read.unwrap_or_else(|_| Err(self.late("read", path)))
    }

    pub(super) async fn generations(&self, key: Key) -> Result<Vec<u64>, StoreError> {
        let path = layout::claims(key);
        let listed = timeout(self.ttl, self.workspace.list(&path)).await;
        let listed = listed.unwrap_or_else(|_| Err(self.late("list", &path)))?;
        let generation = |path: &String| path.rsplit('/').next()?.parse().ok();
        Ok(listed.iter().filter_map(generation).collect())
    }

    /// Looks at the heartbeat of another process. `is_running` says that it is a process of this machine that has
    /// not exited: then its own time stamp may show, by the same clock, that its heartbeat is recent.
    pub(super) async fn observe(
        &self,
        process: ProcessId,
        is_running: bool,
    ) -> Result<Health, StoreError> {
        let sent = self.now();
        let read = self.read(&layout::heartbeat(process)).await?;
        let answered = self.now();
        let found = match &read {
            Some(bytes) => Observation::Heartbeat(self.peers.hasher.hash_one(bytes)),
            None => Observation::Gone,
        };
        let mut detector = self
            .peers
            .detector
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let health = detector.observe(process, self.ttl, sent, answered, found);
        drop(detector);
        let is_recent = || {
            let record: LivenessRecord = serde_json::from_slice(&read.unwrap_or_default()).ok()?;
            SystemTime::now().duration_since(record.since).ok()
        };
        if health == Health::Unknown
            && is_running
            && is_recent().is_some_and(|age| age < self.ttl / 2)
        {
            return Ok(Health::Alive);
        }
        Ok(health)
    }

    fn late(&self, operation: &'static str, path: &str) -> StoreError {
        StoreError {
            operation,
            location: self.workspace.display_url(path),
            hint: None,
            transient: true,
            source: "the store did not answer in time".into(),
        }
    }
}

pub(super) fn json(record: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(record).unwrap_or_default())
}
