//! The store as one process sees it: every request takes its time and may meet a fault, and a process that was
//! killed is neither heard nor answered any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::{Error, Result};
use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::faults::Kind;
use super::objects::{Objects, Sent};
use super::roll::Roll;
use super::world::World;
use crate::Workspace;

/// Whether requests of a process get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Up,
    /// It stands still: neither its requests nor the answers get through for a while.
    Paused,
    Dead,
}

/// What happens to a process at one of its requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trap {
    /// Which request, from now on.
    pub(super) at: u64,
    /// Whether it happens after the request has taken effect.
    pub(super) after: bool,
}

#[derive(Clone)]
pub(super) struct Front(Arc<Inner>);

struct Inner {
    world: Arc<World>,
    life: usize,
    seed: u64,
    requests: AtomicU64,
    mode: Mutex<Mode>,
    changed: Notify,
    trap: Mutex<Option<Trap>>,
    sprung: Notify,
}

impl Front {
    pub(super) fn new(world: &Arc<World>, life: usize) -> Self {
        Front(Arc::new(Inner {
            world: Arc::clone(world),
            life,
            seed: world.seed_of(life),
            requests: AtomicU64::new(0),
            mode: Mutex::new(Mode::Up),
            changed: Notify::new(),
            trap: Mutex::default(),
            sprung: Notify::new(),
        }))
    }

    /// The store as a workspace; what a process knows of others it knows in one workspace.
    pub(super) fn workspace(&self) -> Workspace {
        Workspace::from_store(Arc::new(self.clone()), "")
    }

    pub(super) fn world(&self) -> &Arc<World> {
        &self.0.world
    }

    pub(super) fn life(&self) -> usize {
        self.0.life
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.0.mode.lock().unwrap() = mode;
        self.0.changed.notify_waiters();
    }

    /// Waits while the process stands still; for ever once it is dead.
    pub(super) async fn up(&self) {
        while *self.0.mode.lock().unwrap() != Mode::Up {
            self.0.changed.notified().await;
        }
    }

    pub(super) fn set_trap(&self, trap: Option<Trap>) {
        *self.0.trap.lock().unwrap() = trap;
    }

    /// Waits until the process has come to its trap.
    pub(super) async fn sprung(&self) {
        self.0.sprung.notified().await;
    }

    /// Springs the trap that is set for this request; the process stands still until it is known what for.
    async fn step(&self, after: bool) {
        let is_due = {
            let mut trap = self.0.trap.lock().unwrap();
            match trap.as_mut() {
                Some(due) if due.after == after && due.at == 0 => trap.take().is_some(),
                Some(due) if due.after == after => {
                    due.at -= 1;
                    false
                }
                _ => false,
            }
        };
        if is_due {
            self.set(Mode::Paused);
            self.0.sprung.notify_one();
        }
        self.up().await;
    }

    /// Sends a request; gives with its answer whether the body of it is cut off. Notes how long it fails.
    pub(super) async fn request<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        effect: impl FnOnce(&mut Objects, Request) -> Result<T> + Send + 'static,
    ) -> Result<(T, bool)> {
        let world = &self.0.world;
        let sent = world.now();
        let answer = self.send(operation, path, effect).await;
        let has_failed = matches!(&answer, Ok((_, true)) | Err(Error::Generic { .. }));
        let (request, now) = ((self.life(), operation, path.to_owned()), world.now());
        world.notes().answered(request, (sent, now), has_failed);
        answer
    }

    async fn send<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        effect: impl FnOnce(&mut Objects, Request) -> Result<T> + Send + 'static,
    ) -> Result<(T, bool)> {
        let world = &self.0.world;
        self.step(false).await;
        let sent = Sent {
            by: self.life(),
            at: world.now(),
        };
        let number = self.0.requests.fetch_add(1, Ordering::Relaxed);
        let roll = Roll::new(self.0.seed, number, world, operation);
        world.request(sent, operation, path, &roll);
        for _ in 0..roll.yields {
            yield_now().await;
        }
        sleep(roll.way).await;
        if roll.is_refused {
            return Err(refusal());
        }
        if roll.has(Kind::LostBefore) {
            return Err(lost());
        }
        let request = Request {
            sent,
            hidden: roll.hidden,
        };
        let answer = if let Some(late) = roll.late {
            let (answer, answered) = oneshot::channel();
            let arriving = world.arriving();
            tokio::spawn(async move {
                sleep(late).await;
                // Whoever sent it may have given up long ago.
                let _ = answer.send(arriving.apply(request, effect));
            });
            answered.await.unwrap_or_else(|_| Err(lost()))
        } else {
            self.up().await;
            world.apply(request, effect)
        };
        self.step(true).await;
        sleep(roll.back).await;
        self.up().await;
        if roll.has(Kind::LostAfter) {
            return Err(lost());
        }
        Ok((answer?, roll.has(Kind::Truncated)))
    }
}

/// A request that has come to the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) sent: Sent,
    /// For how long listings do not show what it writes.
    pub(super) hidden: Duration,
}

fn lost() -> Error {
    Error::Generic {
        store: "simulated",
        source: "error sending request: connection reset by peer".into(),
    }
}

fn refusal() -> Error {
    Error::Generic {
        store: "simulated",
        source: "Server returned non-2xx status code: 503 Service Unavailable: SlowDown".into(),
    }
}
