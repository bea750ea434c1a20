//! A run as one of all that work in a workspace.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use super::heartbeat::Liveness;
use super::identity::{self, Local};
use super::shared::Shared;
use super::{Claim, Owner, path_key};
use crate::error::StoreError;
use crate::key::Key;
use crate::lease_protocol::{
    Acquire, Action, ClaimRecord, FailureRecord, Health, Nonce, ProcessId, ProcessIdentity,
    Request, Response, Won,
};
use crate::workspace::{Workspace, layout};

/// One run among all that work in a workspace. It writes nothing before its first claim.
#[derive(Debug)]
pub(crate) struct Participant {
    shared: Arc<Shared>,
    /// Whether to look, on leaving, for what dead processes have left.
    sweeps: AtomicBool,
    /// Held while a liveness starts, so that there is one at a time.
    liveness: tokio::sync::Mutex<Option<Arc<Liveness>>>,
    /// Which process this run has seen hold which key.
    seen: Mutex<HashSet<(Key, ProcessId)>>,
}

/// The result of a try to claim a key.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// This run holds the key. It checks the output once more before it runs anything.
    Won(Claim),
    /// Another process holds it.
    Held(Owner),
    /// The work failed for good at another process that shares it.
    Failed {
        owner: Owner,
        attempts: u32,
        error: String,
    },
}

/// What a contender does about work that failed for good at another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnFailure {
    Report,
    /// Treats the claim like any other.
    Ignore,
}

impl Participant {
    pub(crate) fn new(workspace: &Workspace, ttl: Duration, run: String) -> Self {
        let identity = identity::of_run(&run);
        Self::with_identity(workspace, ttl, run, identity)
    }

    /// A participant that stands for a process of that identity.
    pub(super) fn with_identity(
        workspace: &Workspace,
        ttl: Duration,
        run: String,
        identity: ProcessIdentity,
    ) -> Self {
        Participant {
            shared: Arc::new(Shared::new(workspace, ttl, run, identity)),
            // In a directory a sweep costs next to nothing.
            sweeps: AtomicBool::new(workspace.is_directory()),
            liveness: tokio::sync::Mutex::default(),
            seen: Mutex::default(),
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Makes it look, on leaving, for what dead processes have left.
    pub(crate) fn sweeps(&self) {
        self.sweeps.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_sweeping(&self) -> bool {
        self.sweeps.load(Ordering::Relaxed)
    }

    /// The liveness that claims are made under: a new one at first, and after a loss.
    async fn liveness(&self) -> Result<Arc<Liveness>, StoreError> {
        let mut liveness = self.liveness.lock().await;
        if let Some(liveness) = liveness.as_ref().filter(|liveness| !liveness.is_lost()) {
            return Ok(Arc::clone(liveness));
        }
        let started = Liveness::start(&self.shared).await?;
        *liveness = Some(Arc::clone(&started));
        Ok(started)
    }

    /// The id of this run, if it has claimed anything.
    pub(super) async fn id(&self) -> Option<ProcessId> {
        let liveness = self.liveness.lock().await;
        liveness.as_ref().map(|liveness| liveness.id)
    }

    /// Tries once to claim a key that processes share the work on. It takes over from dead holders, and waits for
    /// nobody. `what` is for people.
    ///
    /// # Errors
    ///
    /// The store did not answer, or does not support create-only writes.
    pub(crate) async fn claim(&self, key: Key, what: &str) -> Result<Claimed, StoreError> {
        self.claim_with(key, what, OnFailure::Report).await
    }

    /// Like [`claim`](Self::claim), but tries work again that failed for good elsewhere, once its holder is gone.
    ///
    /// # Errors
    ///
    /// Those of [`claim`](Self::claim).
    pub(crate) async fn claim_anew(&self, key: Key, what: &str) -> Result<Claimed, StoreError> {
        self.claim_with(key, what, OnFailure::Ignore).await
    }

    /// Claims a path without a key, so that runs of different roots that write it take turns.
    ///
    /// # Errors
    ///
    /// Those of [`claim`](Self::claim).
    pub(crate) async fn claim_path(&self, path: &str) -> Result<Claimed, StoreError> {
        self.claim_anew(path_key(path), path).await
    }

    async fn claim_with(
        &self,
        key: Key,
        what: &str,
        on_failure: OnFailure,
    ) -> Result<Claimed, StoreError> {
        let liveness = self.liveness().await?;
        let workspace = &self.shared.workspace;
        // The liveness exists, so that creating it must fail.
        let (path, record) = (layout::heartbeat(liveness.id), liveness.record(0));
        let (claimed, is_supported) = tokio::join!(
            self.acquire(liveness, key, what, on_failure),
            workspace.supports_create_only(&path, record)
        );
        match (claimed?, is_supported) {
            (claimed, Ok(true)) => Ok(claimed),
            (claimed, unsupported) => {
                if let Claimed::Won(claim) = claimed {
                    claim.release(false).await;
                }
                unsupported?;
                Err(StoreError {
                    operation: "claim",
                    location: workspace.location().to_owned(),
                    hint: Some("run one process at a time, with `Coordination::None`".to_owned()),
                    transient: false,
                    source: "the store does not support create-only writes: it overwrote an object"
                        .into(),
                })
            }
        }
    }

    async fn acquire(
        &self,
        liveness: Arc<Liveness>,
        key: Key,
        what: &str,
        on_failure: OnFailure,
    ) -> Result<Claimed, StoreError> {
        let shared = &self.shared;
        let mut acquire = Acquire::new(liveness.id, Nonce::random());
        let record = ClaimRecord {
            process: liveness.id,
            nonce: acquire.nonce(),
            origin: shared.identity.as_ref().clone(),
            run: shared.run.clone(),
            since: SystemTime::now(),
            what: what.to_owned(),
            failed: None,
        };
        let mut request = Acquire::START;
        let mut holder: Option<ClaimRecord> = None;
        let mut failure = None;
        loop {
            let response = match request {
                Request::Create(generation) => {
                    match shared
                        .create(&layout::claim(key, generation), &record)
                        .await
                    {
                        Ok(true) => Response::Created,
                        Ok(false) => Response::NotCreated,
                        Err(error) => {
                            failure = Some(error);
                            Response::NotCreated
                        }
                    }
                }
                Request::List => Response::Generations(shared.generations(key).await?),
                Request::Read(generation) => {
                    let read = shared.read(&layout::claim(key, generation)).await?;
                    match read.map(|bytes| serde_json::from_slice::<ClaimRecord>(&bytes)) {
                        None => Response::NoClaim,
                        Some(Err(_)) => Response::Unreadable,
                        Some(Ok(claim)) => {
                            let response = self.read(key, &claim, on_failure);
                            holder = Some(claim);
                            response
                        }
                    }
                }
                Request::Look(process) => {
                    Response::Health(self.health(process, holder.as_ref()).await?)
                }
                Request::Delete(generation) => {
                    // Nobody was taken over after all.
                    holder = None;
                    let path = layout::claim(key, generation);
                    match shared.delete_claim(&path, record.nonce).await {
                        Ok(()) => Response::Deleted,
                        Err(error) => {
                            failure = Some(error);
                            Response::NotDeleted
                        }
                    }
                }
            };
            let health = match acquire.next(&response) {
                Action::Request(next) => {
                    request = next;
                    continue;
                }
                Action::Won(Won { generation, .. }) => {
                    let claim = Claim::new(shared, Arc::clone(&liveness), key, generation, record);
                    if let Some(from) = holder.filter(|from| from.process != liveness.id) {
                        self.took_over(from, what).await;
                    }
                    return Ok(Claimed::Won(claim));
                }
                Action::Held { health, .. } => health,
                Action::Failed { .. } => {
                    let failed = holder.as_mut().and_then(|holder| holder.failed.take());
                    if let (Some(holder), Some(failed)) = (holder, failed) {
                        let FailureRecord { attempts, error } = failed;
                        let owner = Owner::new(holder, Health::Alive, &shared.identity);
                        return Ok(Claimed::Failed {
                            owner,
                            attempts,
                            error,
                        });
                    }
                    return Err(failure.unwrap_or_else(|| self.contended(key)));
                }
                Action::Contended => {
                    return Err(failure.unwrap_or_else(|| self.contended(key)));
                }
            };
            return match holder {
                Some(holder) => Ok(Claimed::Held(Owner::new(holder, health, &shared.identity))),
                None => Err(failure.unwrap_or_else(|| self.contended(key))),
            };
        }
    }

    /// What the claim of the highest generation says.
    fn read(&self, key: Key, claim: &ClaimRecord, on_failure: OnFailure) -> Response {
        let by = claim.process;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if claim.failed.is_none() {
            seen.insert((key, by));
        } else if on_failure == OnFailure::Report {
            let was_seen = seen.contains(&(key, by));
            return Response::Failed { by, was_seen };
        }
        Response::Claim(by, claim.nonce)
    }

    pub(super) async fn health(
        &self,
        process: ProcessId,
        holder: Option<&ClaimRecord>,
    ) -> Result<Health, StoreError> {
        let local = holder.map_or(Local::Unknown, |holder| {
            identity::look(&self.shared.identity, process, &holder.origin)
        });
        match local {
            Local::ThisProcess => Ok(Health::Alive),
            Local::Exited => Ok(Health::Dead),
            Local::Running => self.shared.observe(process, true).await,
            Local::Unknown => self.shared.observe(process, false).await,
        }
    }

    fn contended(&self, key: Key) -> StoreError {
        StoreError {
            operation: "claim",
            location: self.shared.workspace.display_url(&layout::claims(key)),
            hint: Some("run again".to_owned()),
            transient: true,
            source: "gave up: the claim is contended".into(),
        }
    }

    async fn took_over(&self, from: ClaimRecord, what: &str) {
        let process = from.process;
        tracing::info!(%what, from = %Owner::new(from, Health::Dead, &self.shared.identity), "took over");
        self.sweeps();
        // It is dead: others that wait for it need not look for long.
        let _ = self.shared.delete(&layout::heartbeat(process)).await;
    }

    /// Ends the liveness at once, without a word to the store: the run is dropped.
    pub(crate) fn abandon(&self) {
        if let Ok(mut liveness) = self.liveness.try_lock()
            && let Some(liveness) = liveness.take()
        {
            liveness.end();
        }
    }

    /// Looks for what dead processes have left although this run has claimed nothing: nobody else may ever have to do
    /// with it.
    pub(crate) async fn sweep_unclaimed(&self) {
        let is_alive = self.liveness.lock().await.is_some();
        if !is_alive && self.sweeps.load(Ordering::Relaxed) {
            let _ = timeout(self.shared.ttl, self.sweep()).await;
        }
    }

    /// Leaves gracefully: others can take at once whatever this run still claims.
    pub(crate) async fn leave(&self) {
        let is_alive = self.liveness.lock().await.is_some();
        if is_alive && self.sweeps.load(Ordering::Relaxed) {
            // What is not swept in time stays for others.
            let _ = timeout(self.shared.ttl, self.sweep()).await;
        }
        let Some(liveness) = self.liveness.lock().await.take() else {
            return;
        };
        let was_lost = liveness.is_lost();
        liveness.leave().await;
        if !was_lost {
            let path = layout::heartbeat(liveness.id);
            if let Err(error) = self.shared.delete(&path).await {
                tracing::warn!(error = crate::error::chain(&error), "failed to leave");
            }
        }
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        // Without a graceful end the claims stay. Others find out that their heartbeat has ended.
        if let Some(liveness) = self.liveness.get_mut().take() {
            liveness.end();
        }
    }
}
