//! Keeping one's liveness: renewals in the background, until it is lost or no longer needed.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::participant::Shared;
use super::worker;
use crate::error::StoreError;
use crate::lease_protocol::{LeaseClock, LivenessRecord, Moment, ProcessId};

/// One life of this process in a workspace.
#[derive(Debug)]
pub(super) struct Liveness {
    pub(super) id: ProcessId,
    pulse: std::sync::Mutex<LeaseClock>,
    /// Says that it is over: lost, or left.
    over: watch::Sender<bool>,
    leaving: watch::Sender<bool>,
}

impl Liveness {
    /// Begins a life: its liveness is in the store.
    pub(super) async fn begin(shared: &Arc<Shared>) -> Result<Arc<Self>, StoreError> {
        let id = ProcessId::random();
        super::identity::live_participants().insert(id);
        let sent = shared.now();
        if let Err(error) = write(shared, id, 0).await {
            super::identity::live_participants().remove(&id);
            return Err(error);
        }
        let life = Arc::new(Liveness {
            id,
            pulse: std::sync::Mutex::new(LeaseClock::new(shared.ttl, sent)),
            over: watch::Sender::new(false),
            leaving: watch::Sender::new(false),
        });
        tokio::spawn(heartbeat_loop(Arc::clone(shared), Arc::clone(&life)));
        Ok(life)
    }

    /// Whether everything that was claimed in this life is lost.
    pub(super) fn is_lost(&self, now: Moment) -> bool {
        if *self.over.borrow() {
            return true;
        }
        let is_lost = self.pulse().is_lost(now);
        if is_lost {
            self.end();
        }
        is_lost
    }

    /// Waits until it is lost.
    pub(super) async fn lost(&self) {
        // The sender lives as long as `self`.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Nobody renews it any more.
    pub(super) fn end(&self) {
        super::identity::live_participants().remove(&self.id);
        self.over.send_replace(true);
        self.leaving.send_replace(true);
    }

    /// Stops renewing; waits for a renewal that is under way, which could come after what follows.
    pub(super) async fn leave(&self) {
        self.leaving.send_replace(true);
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    fn pulse(&self) -> std::sync::MutexGuard<'_, LeaseClock> {
        self.pulse
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn heartbeat_loop(shared: Arc<Shared>, life: Arc<Liveness>) {
    let mut due = life.pulse().due();
    let mut leaving = life.leaving.subscribe();
    loop {
        tokio::select! {
            biased;
            // The sender lives as long as `life`.
            _ = leaving.wait_for(|leaving| *leaving) => break,
            () = sleep_until(shared.instant(due)) => {}
        }
        let sent = shared.now();
        if life.is_lost(sent) {
            tracing::warn!(process = %life.id, "lost its claims: its liveness could not be renewed in time");
            break;
        }
        let beat = life.pulse().beat();
        let written = write(&shared, life.id, beat).await;
        let now = shared.now();
        due = match written {
            Ok(()) => {
                life.pulse().renewed(sent, now);
                life.pulse().due()
            }
            Err(error) => {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "failed to renew the liveness"
                );
                now + life.pulse().pause()
            }
        };
        // It is last_verified at in time, also while the store does not answer.
        due = due.min(life.pulse().lost_at());
    }
    life.end();
}

/// Writes the liveness object; gives up after a third of the ttl, since whoever waits longer may come too
/// late.
async fn write(shared: &Shared, id: ProcessId, counter: u64) -> Result<(), StoreError> {
    let record = LivenessRecord {
        process: id,
        counter,
        origin: super::identity::this_process().clone(),
        run: shared.run.clone(),
        since: SystemTime::now(),
    };
    let path = worker(id);
    let bytes = Bytes::from(serde_json::to_vec(&record).unwrap_or_default());
    let written = timeout(shared.ttl / 3, shared.workspace.replace(&path, bytes)).await;
    written.unwrap_or_else(|_| Err(shared.late("write", &path)))
}

impl Shared {
    /// Now, on this process's own clock.
    pub(super) fn now(&self) -> Moment {
        self.start.elapsed()
    }

    fn instant(&self, moment: Moment) -> Instant {
        self.start + moment
    }
}
