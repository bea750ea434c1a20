//! This process's own liveness: a heartbeat in the background, until its leases are lost or no longer needed.

use std::collections::HashMap;
use std::future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::shared::{Shared, json};
use crate::error::StoreError;
use crate::lease_protocol::{LeaseClock, LivenessRecord, ProcessId};
use crate::workspace::layout;

/// The liveness of this process under one id. All claims made under it are lost together.
#[derive(Debug)]
pub(super) struct Liveness {
    pub(super) id: ProcessId,
    shared: Arc<Shared>,
    clock: Mutex<LeaseClock>,
    /// Set when the heartbeat has ended: the leases are lost, or the process has left.
    is_over: watch::Sender<bool>,
    is_leaving: watch::Sender<bool>,
    /// Counts the claims that were released.
    released: watch::Sender<u64>,
    heartbeat: Mutex<Option<JoinHandle<()>>>,
}

impl Liveness {
    /// Writes a first heartbeat under a new id, and keeps it up in the background.
    pub(super) async fn start(shared: &Arc<Shared>) -> Result<Arc<Self>, StoreError> {
        let id = ProcessId::random();
        let liveness = Arc::new(Liveness {
            id,
            shared: Arc::clone(shared),
            clock: Mutex::new(LeaseClock::new(shared.ttl, shared.now())),
            is_over: watch::Sender::new(false),
            is_leaving: watch::Sender::new(false),
            released: watch::Sender::new(0),
            heartbeat: Mutex::default(),
        });
        live_participants().insert(id, Arc::downgrade(&liveness));
        liveness.write(0).await?;
        *liveness.heartbeat() = Some(spawn(heartbeat_loop(Arc::clone(&liveness))));
        Ok(liveness)
    }

    /// Returns whether all leases under this id are lost.
    pub(super) fn is_lost(&self) -> bool {
        if *self.is_over.borrow() {
            return true;
        }
        let is_lost = self.clock().is_lost(self.shared.now());
        if is_lost {
            self.end();
        }
        is_lost
    }

    /// Waits until it is lost.
    pub(super) async fn lost(&self) {
        // The sender lives as long as `self`.
        let _ = self.is_over.subscribe().wait_for(|over| *over).await;
    }

    /// Ends the heartbeat.
    pub(super) fn end(&self) {
        live_participants().remove(&self.id);
        self.is_over.send_replace(true);
        self.is_leaving.send_replace(true);
        self.released();
    }

    /// Says that a claim is free, to others of this process that wait for it.
    pub(super) fn released(&self) {
        self.released
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Stops the heartbeat. Waits for one that is under way, which could arrive after what follows, and until the heartbeat
    /// has let go of the workspace: a process that exits before leaves its temporary files.
    pub(super) async fn leave(&self) {
        let was_over = self.is_leaving.send_replace(true);
        let heartbeat = self.heartbeat().take();
        if let Some(heartbeat) = heartbeat.filter(|_| !was_over) {
            // It does not panic, and nobody aborts it.
            let _ = heartbeat.await;
        }
    }

    /// What its liveness object holds.
    pub(super) fn record(&self, counter: u64) -> Bytes {
        json(&LivenessRecord {
            process: self.id,
            counter,
            origin: self.shared.identity.as_ref().clone(),
            run: self.shared.run.clone(),
            since: SystemTime::now(),
            waits: self.shared.waits().clone(),
        })
    }

    async fn write(&self, counter: u64) -> Result<(), StoreError> {
        let path = layout::heartbeat(self.id);
        let write = self.shared.workspace.replace(&path, self.record(counter));
        self.shared.in_time("write", &path, write).await
    }

    fn heartbeat(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.heartbeat
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn clock(&self) -> MutexGuard<'_, LeaseClock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Liveness {
    fn drop(&mut self) {
        live_participants().remove(&self.id);
    }
}

async fn heartbeat_loop(liveness: Arc<Liveness>) {
    let shared = &liveness.shared;
    let mut due = liveness.clock().due();
    let mut is_leaving = liveness.is_leaving.subscribe();
    loop {
        tokio::select! {
            biased;
            // The sender lives as long as `liveness`.
            _ = is_leaving.wait_for(|leaving| *leaving) => break,
            () = sleep_until(shared.instant(due)) => {}
        }
        let sent = shared.now();
        if liveness.is_lost() {
            tracing::warn!(process = %liveness.id, "lease lost: heartbeat late");
            break;
        }
        let counter = liveness.clock().next_heartbeat();
        let written = liveness.write(counter).await;
        let now = shared.now();
        due = match written {
            Ok(()) => {
                liveness.clock().renewed(sent, now);
                liveness.clock().due()
            }
            Err(error) => {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "failed to write the heartbeat"
                );
                now.saturating_add(liveness.clock().pause())
            }
        };
        // It notices the loss in time, also while the store does not answer.
        due = due.min(liveness.clock().lost_at());
    }
    liveness.end();
}

/// Runs the heartbeat where nothing else can starve it: on a thread of its own. On a runtime of one thread it
/// stays there, so that a paused clock drives it.
fn spawn(heartbeat: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    static OWN: OnceLock<Option<Handle>> = OnceLock::new();
    let current = Handle::current();
    let runtime = match current.runtime_flavor() {
        RuntimeFlavor::CurrentThread => Some(&current),
        _ => OWN
            .get_or_init(|| {
                let started = start_runtime();
                let failed =
                    |error| tracing::warn!(%error, "failed to start the heartbeat's thread");
                started.map_err(failed).ok()
            })
            .as_ref(),
    };
    runtime.unwrap_or(&current).spawn(heartbeat)
}

/// Starts a runtime on a thread of its own that lives as long as the process: connections that the heartbeat
/// opens stay usable.
fn start_runtime() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("kart-heartbeat".to_owned())
        .spawn(move || runtime.block_on(future::pending::<()>()))?;
    Ok(handle)
}

type LiveParticipants = HashMap<ProcessId, Weak<Liveness>>;

/// The ids under which this process takes part in workspaces: one for each run that claims something.
fn live_participants() -> MutexGuard<'static, LiveParticipants> {
    static LIVE: OnceLock<Mutex<LiveParticipants>> = OnceLock::new();
    let live = LIVE.get_or_init(Mutex::default);
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Finds a live participant of this process.
fn find(id: ProcessId) -> Option<Arc<Liveness>> {
    let found = live_participants().get(&id).and_then(Weak::upgrade);
    found.filter(|liveness| !liveness.is_lost())
}

/// Returns whether a participant of this process is alive.
pub(super) fn is_live(id: ProcessId) -> bool {
    find(id).is_some()
}

/// Reports each release of a claim by one participant of this process.
#[derive(Debug)]
pub(crate) struct Releases {
    process: ProcessId,
    changes: watch::Receiver<u64>,
}

impl Releases {
    /// Returns the releases from now on of a participant of this process, while it is alive.
    pub(super) fn of(process: ProcessId) -> Option<Self> {
        let changes = find(process)?.released.subscribe();
        Some(Releases { process, changes })
    }

    /// Returns whether both are of one participant.
    pub(crate) fn is_of(&self, other: &Releases) -> bool {
        self.process == other.process
    }

    /// Waits for the next release, or for the end of the participant.
    pub(crate) async fn next(&mut self) {
        // An error says that the participant is gone.
        let _ = self.changes.changed().await;
    }
}
