//! Threads for the bodies of plain functions.
//!
//! A body has a thread of its own from its beginning to its end, also while it waits for subtasks, so that no number of
//! bodies keeps others, the store or the heartbeat from theirs. How many bodies run at once is the scheduler's decision.
//! A thread that has nothing to do waits a while for the next body.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Span;

use crate::error::{BoxError, panic_text};
use crate::model::{BlockingBody, Erased};

/// How long a thread waits for another body.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Pool {
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    idle: usize,
}

static POOL: Pool = Pool {
    queue: Mutex::new(Queue {
        jobs: VecDeque::new(),
        idle: 0,
    }),
    work: Condvar::new(),
};

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit(&'static self, job: Job) -> std::io::Result<()> {
        let mut queue = self.lock();
        if queue.idle > queue.jobs.len() {
            queue.jobs.push_back(job);
            drop(queue);
            self.work.notify_one();
            return Ok(());
        }
        drop(queue);
        let builder = thread::Builder::new().name("kart-body".to_owned());
        builder.spawn(move || self.serve(job)).map(drop)
    }

    fn serve(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            job();
            let mut queue = self.lock();
            queue.idle += 1;
            let has_none = |queue: &mut Queue| queue.jobs.is_empty();
            let waited = self.work.wait_timeout_while(queue, KEEP_ALIVE, has_none);
            (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
            next = queue.jobs.pop_front();
        }
    }
}

/// Runs a body to its end, whether the result is awaited or not.
///
/// # Errors
///
/// What the body failed with, its panic, or that there is no thread for it.
pub(crate) async fn run(body: BlockingBody, awake: Arc<KeepAwake>) -> Result<Erased, BoxError> {
    let (reply, result) = oneshot::channel();
    let (runtime, span) = (Handle::current(), Span::current());
    let is_awake = awake.hold();
    let job = move || {
        let _runtime = runtime.enter();
        let result = catch_unwind(AssertUnwindSafe(|| span.in_scope(body)));
        let result = result.unwrap_or_else(|payload| Err(panic_text(payload.as_ref()).into()));
        // Nobody may be interested any more.
        let _ = reply.send(result);
        drop(is_awake);
    };
    POOL.submit(Box::new(job))
        .map_err(|error| format!("failed to start a thread for the body: {error}"))?;
    let result = result.await;
    result.unwrap_or_else(|_| Err("the body's thread ended without a result".into()))
}

/// Keeps a paused clock of the runtime from advancing by itself while bodies compute on threads of their own, as it does
/// for the runtime's own blocking work.
#[derive(Debug, Default)]
pub(crate) struct KeepAwake(Mutex<Awake>);

#[derive(Debug, Default)]
struct Awake {
    bodies: usize,
    /// Dropped, it ends the blocking work that stands for all bodies.
    work: Option<mpsc::Sender<()>>,
}

/// A body that computes.
pub(crate) struct Computing(Arc<KeepAwake>);

impl KeepAwake {
    fn hold(self: &Arc<Self>) -> Computing {
        self.enter();
        Computing(Arc::clone(self))
    }

    /// A body computes from now on.
    pub(crate) fn enter(&self) {
        let mut awake = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        awake.bodies += 1;
        if awake.work.is_none() {
            let (work, end) = mpsc::channel::<()>();
            tokio::task::spawn_blocking(move || end.recv());
            awake.work = Some(work);
        }
    }

    /// A body waits, or has ended.
    pub(crate) fn leave(&self) {
        let mut awake = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        awake.bodies = awake.bodies.saturating_sub(1);
        if awake.bodies == 0 {
            awake.work = None;
        }
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        self.0.leave();
    }
}
