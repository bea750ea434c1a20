//! A run as a member of those that work in a workspace.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::heartbeat::Liveness;
use super::{Owner, claim, claims, identity, worker};
use crate::error::{BoxError, StoreError, interrupted};
use crate::key::Key;
use crate::lease_protocol::{
    Acquire, Action, ClaimRecord, FailureDetector, Nonce, Observation, ProcessId, Request,
    Response, Won,
};
use crate::workspace::Workspace;

/// What the member, its claims and its heart share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) workspace: Workspace,
    pub(super) ttl: Duration,
    pub(super) run: String,
    pub(super) start: Instant,
    watch: Mutex<FailureDetector>,
    /// Tells liveness objects of different bytes apart.
    hasher: RandomState,
}

/// One run among all that work in a workspace. It writes nothing before its first claim.
#[derive(Debug)]
pub(crate) struct Participant {
    shared: Arc<Shared>,
    /// Whether there is reason to look for what the dead have left.
    sweeps: AtomicBool,
    /// Held while a life begins, so that there is one at a time.
    life: tokio::sync::Mutex<Option<Arc<Liveness>>>,
}

/// What came of a try to claim a key.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// It is this run's: its output is to be asked for once more before anything runs.
    Won(Claim),
    /// Somebody who is alive has it.
    Held(Owner),
}

/// A key that this run holds, as long as it has not lost.
#[derive(Debug)]
pub(crate) struct Claim {
    shared: Arc<Shared>,
    life: Arc<Liveness>,
    key: Key,
    won: Won,
    last_verified: Mutex<(Instant, SystemTime)>,
}

impl Participant {
    pub(crate) fn new(workspace: &Workspace, ttl: Duration, run: String) -> Self {
        Participant {
            shared: Arc::new(Shared {
                workspace: workspace.clone(),
                ttl,
                run,
                start: Instant::now(),
                watch: Mutex::new(FailureDetector::new(ttl)),
                hasher: RandomState::new(),
            }),
            // In a directory it costs next to nothing.
            sweeps: AtomicBool::new(workspace.is_directory()),
            life: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// From now on it looks, when it leaves, for what the dead have left.
    pub(crate) fn sweeps(&self) {
        self.sweeps.store(true, Ordering::Relaxed);
    }

    /// The life that claims are made in: a new one where there was none, or where it was lost.
    async fn life(&self) -> Result<Arc<Liveness>, StoreError> {
        let mut life = self.life.lock().await;
        if let Some(life) = life.as_ref()
            && !life.is_lost(self.shared.now())
        {
            return Ok(Arc::clone(life));
        }
        let begun = Liveness::begin(&self.shared).await?;
        *life = Some(Arc::clone(&begun));
        Ok(begun)
    }

    /// Tries once to claim a key; takes over from the dead, and waits for nobody. `what` is for people.
    ///
    /// # Errors
    ///
    /// The store did not answer, or does not honour create-only writes.
    pub(crate) async fn claim(&self, key: Key, what: &str) -> Result<Claimed, StoreError> {
        let life = self.life().await?;
        let workspace = &self.shared.workspace;
        let alive = worker(life.id);
        // The liveness is there, so that to create it must fail.
        let (claimed, honours) = tokio::join!(
            self.acquire(life, key, what),
            workspace.honours_create(&alive)
        );
        match (claimed?, honours) {
            (claimed, Ok(true)) => Ok(claimed),
            (claimed, refused) => {
                if let Claimed::Won(claim) = claimed {
                    claim.release(false).await;
                }
                refused?;
                Err(StoreError {
                    operation: "claim",
                    location: workspace.location().to_owned(),
                    advice: Some(
                        "let one process at a time run this_process, and ask for `Coordination::None`".to_owned(),
                    ),
                    source: "the store does not honour create-only writes: it wrote over an object that was there".into(),
                    transient: false,
                })
            }
        }
    }

    async fn acquire(
        &self,
        life: Arc<Liveness>,
        key: Key,
        what: &str,
    ) -> Result<Claimed, StoreError> {
        let shared = &self.shared;
        let mut contest = Acquire::new(life.id, Nonce::random());
        let mut ask = Acquire::START;
        let mut holder = None;
        let mut failure = None;
        loop {
            let answer = match ask {
                Request::Create(generation) => {
                    let record = ClaimRecord {
                        process: life.id,
                        nonce: contest.nonce(),
                        origin: identity::this_process().clone(),
                        run: shared.run.clone(),
                        since: SystemTime::now(),
                        what: what.to_owned(),
                    };
                    match shared.create(&claim(key, generation), &record).await {
                        Ok(true) => Response::Created,
                        Ok(false) => Response::NotCreated,
                        Err(error) => {
                            failure = Some(error);
                            Response::NotCreated
                        }
                    }
                }
                Request::List => Response::Generations(shared.generations(key).await?),
                Request::Read(generation) => match shared.read(&claim(key, generation)).await? {
                    None => Response::NoClaim,
                    Some(bytes) => match serde_json::from_slice::<ClaimRecord>(&bytes) {
                        Ok(record) => {
                            let answer = Response::Claim(record.process, record.nonce);
                            holder = Some(record);
                            answer
                        }
                        Err(_) => Response::Unreadable,
                    },
                },
                Request::Look(process) => {
                    Response::Dead(shared.is_dead(process, holder.as_ref()).await?)
                }
            };
            match contest.next(&answer) {
                Action::Request(next) => ask = next,
                Action::Won(won) => {
                    let claim = Claim {
                        shared: Arc::clone(shared),
                        life,
                        key,
                        won,
                        last_verified: Mutex::new((Instant::now(), SystemTime::now())),
                    };
                    if let Some(from) = holder {
                        self.took_over(&claim, from, what).await;
                    }
                    return Ok(Claimed::Won(claim));
                }
                Action::Held { .. } => break,
                Action::Contended => {
                    holder = None;
                    break;
                }
            }
        }
        match (holder, failure) {
            (Some(record), _) => Ok(Claimed::Held(Owner::new(record))),
            (None, Some(error)) => Err(error),
            (None, None) => Err(StoreError {
                operation: "claim",
                location: shared.workspace.locate(&claims(key)),
                advice: Some("run again".to_owned()),
                source: "the claims changed with every look".into(),
                transient: true,
            }),
        }
    }

    async fn took_over(&self, claim: &Claim, from: ClaimRecord, what: &str) {
        if from.process == claim.life.id {
            return;
        }
        tracing::info!(%what, from = %Owner::new(from.clone()), "took over");
        self.sweeps();
        // It is dead; whoever else waits for it need not look for long.
        let _ = self.shared.workspace.delete(&worker(from.process)).await;
    }

    /// Leaves in good order: whatever is still claimed in this life is free for others at once.
    pub(crate) async fn leave(&self) {
        let is_alive = self.life.lock().await.is_some();
        if is_alive && self.sweeps.load(Ordering::Relaxed) {
            self.sweep().await;
        }
        let Some(life) = self.life.lock().await.take() else {
            return;
        };
        let was_lost = life.is_lost(self.shared.now());
        life.leave().await;
        if !was_lost {
            let path = worker(life.id);
            if let Err(error) = self.shared.workspace.delete(&path).await {
                tracing::warn!(error = crate::error::chain(&error), "failed to leave");
            }
        }
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        // Without an orderly end the claims stay; others find out that nobody renews this life.
        if let Some(life) = self.life.get_mut().take() {
            life.end();
        }
    }
}

impl Claim {
    pub(super) fn generation(&self) -> u64 {
        self.won.generation
    }

    /// Waits until it is lost, which may be for ever.
    pub(crate) async fn lost(&self) {
        self.life.lost().await;
    }

    /// Whether it is this run's still, as far as can be told without asking the store.
    pub(crate) fn is_held(&self) -> bool {
        !self.life.is_lost(self.shared.now())
    }

    /// Makes sure, before a commit that writes over what is there, that it is this run's still. The store is
    /// asked when the last time was long ago by any clock: one clock may have stood still with its machine.
    ///
    /// # Errors
    ///
    /// It is lost, or the store did not answer.
    pub(crate) async fn ensure_held(&self) -> Result<(), BoxError> {
        let (at, wall) = *self
            .last_verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let recently = self.shared.ttl / 3;
        let is_recent = at.elapsed() < recently && wall.elapsed().is_ok_and(|time| time < recently);
        if !is_recent && self.check().await? {
            let mut last_verified = self
                .last_verified
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *last_verified = (Instant::now(), SystemTime::now());
        } else if !is_recent {
            self.life.end();
        }
        if self.is_held() {
            Ok(())
        } else {
            Err(interrupted().into())
        }
    }

    /// Asks the store whether it is this run's still.
    async fn check(&self) -> Result<bool, StoreError> {
        let generations = self.shared.generations(self.key).await?;
        if generations.iter().max() != Some(&self.won.generation) {
            return Ok(false);
        }
        let record = self
            .shared
            .read(&claim(self.key, self.won.generation))
            .await?;
        let record = record.and_then(|bytes| serde_json::from_slice::<ClaimRecord>(&bytes).ok());
        Ok(record.is_some_and(|record| record.nonce == self.won.nonce) && self.is_held())
    }

    /// Gives it back; what was lost is not touched. When the work is done, the generations before go too:
    /// nobody runs again what has an output.
    pub(crate) async fn release(&self, is_done: bool) {
        let first = if is_done { 1 } else { self.won.generation };
        for generation in (first..=self.won.generation).rev() {
            if !self.is_held() {
                return;
            }
            let path = claim(self.key, generation);
            if let Err(error) = self.shared.workspace.delete(&path).await {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "failed to give a claim back"
                );
            }
        }
    }
}

impl Shared {
    fn watch(&self) -> MutexGuard<'_, FailureDetector> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn create(&self, path: &str, record: &ClaimRecord) -> Result<bool, StoreError> {
        let bytes = Bytes::from(serde_json::to_vec(record).unwrap_or_default());
        let created = timeout(self.ttl / 3, self.workspace.try_create(path, bytes)).await;
        created.unwrap_or_else(|_| Err(self.late("write", path)))
    }

    async fn read(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let read = timeout(self.ttl, self.workspace.read(path)).await;
        read.unwrap_or_else(|_| Err(self.late("read", path)))
    }

    async fn generations(&self, key: Key) -> Result<Vec<u64>, StoreError> {
        let path = claims(key);
        let listed = timeout(self.ttl, self.workspace.list(&path)).await;
        let listed = listed.unwrap_or_else(|_| Err(self.late("list", &path)))?;
        let generation = |path: &String| path.rsplit('/').next()?.parse().ok();
        Ok(listed.iter().filter_map(generation).collect())
    }

    async fn is_dead(
        &self,
        process: ProcessId,
        holder: Option<&ClaimRecord>,
    ) -> Result<bool, StoreError> {
        if holder.is_some_and(|holder| identity::has_exited(process, &holder.origin)) {
            return Ok(true);
        }
        let asked = self.now();
        let seen = match self.read(&worker(process)).await? {
            Some(bytes) => Observation::Heartbeat(self.hasher.hash_one(&bytes)),
            None => Observation::Gone,
        };
        let answered = self.now();
        Ok(self.watch().is_dead(process, asked, answered, seen))
    }

    pub(super) fn late(&self, operation: &'static str, path: &str) -> StoreError {
        StoreError {
            operation,
            location: self.workspace.locate(path),
            advice: None,
            source: "the store did not answer in time".into(),
            transient: true,
        }
    }
}
