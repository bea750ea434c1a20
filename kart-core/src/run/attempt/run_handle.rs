//! A body's handle to its run: requests subtasks, reports progress, and releases the worker while the body waits.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::body_clock::BodyClock;
use super::body_threads;
use super::inputs::LoadFailure;
use crate::error::{BoxError, Error, interrupted, is_interrupted};
use crate::model::{AsyncBody, BlockingBody, Body, DynTask, Erased, NodeId, OutputFuture, RunApi};
use crate::plan::describe;
use crate::run::message::{Message, ProgressNow, SubtaskRequest, SubtaskResult};
use crate::run::run_context::RunContext;
use crate::threads;

/// The shortest interval between two progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// How often the output of a subtask may vanish between its end and its being loaded.
const VANISHED_OUTPUTS: u32 = 2;

/// One attempt's handle to the run.
#[derive(Debug)]
pub(crate) struct RunHandle {
    run: Arc<RunContext>,
    node: NodeId,
    clock: BodyClock,
    /// The tokio task that polls the body.
    polled_in: Option<tokio::task::Id>,
    /// Whether the body got its worker back while it waits for more.
    holds_worker: AtomicBool,
    /// Whether a subtask was answered with an interruption.
    was_interrupted: AtomicBool,
    is_on_thread: AtomicBool,
    /// Keeps a paused clock from advancing while the body computes on its thread.
    clock_hold: Mutex<Option<mpsc::Sender<()>>>,
    progress: Mutex<Progress>,
}

/// The progress of the body, and whether it was sent.
#[derive(Debug, Default)]
struct Progress {
    now: ProgressNow,
    sent: Option<Instant>,
    is_new: bool,
}

impl RunHandle {
    /// Returns a handle for the attempt that is being polled.
    pub(crate) fn new(run: &Arc<RunContext>, node: NodeId, limit: Option<Duration>) -> Self {
        RunHandle {
            run: Arc::clone(run),
            node,
            clock: BodyClock::new(limit),
            polled_in: tokio::task::try_id(),
            holds_worker: AtomicBool::new(false),
            was_interrupted: AtomicBool::new(false),
            is_on_thread: AtomicBool::new(false),
            clock_hold: Mutex::default(),
            progress: Mutex::default(),
        }
    }

    /// Returns how long the body has waited for subtasks.
    pub(crate) fn waited(&self) -> Duration {
        self.clock.waited()
    }

    /// Returns whether a subtask of the body was interrupted.
    pub(crate) fn was_interrupted(&self) -> bool {
        self.was_interrupted.load(Ordering::SeqCst)
    }

    /// Runs the body to its end or its timeout. For a body on a thread it calls `stop` at the timeout, and when `lost` ends,
    /// and then waits for the thread.
    pub(crate) async fn run(
        &self,
        body: Body,
        lost: impl Future<Output = ()>,
        stop: impl FnOnce(),
    ) -> Result<Erased, BoxError> {
        self.clock.start();
        let result = match body {
            Body::Async(body) => self.run_async(body).await,
            Body::Blocking(body) => self.run_blocking(body, lost, stop).await,
        };
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.is_new {
            self.send_progress(&mut progress);
        }
        drop(progress);
        result
    }

    async fn run_async(&self, mut body: AsyncBody) -> Result<Erased, BoxError> {
        let mut expired = pin!(self.clock.expired());
        let result = poll_fn(|cx| {
            if let Poll::Ready(result) = body.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            self.release_worker();
            expired.as_mut().poll(cx).map(|()| None)
        })
        .await;
        let Some(result) = result else {
            return Err(self.timed_out());
        };
        if let Some(limit) = self.clock.limit()
            && self.clock.computed() > limit
        {
            tracing::warn!(
                task = describe(self.run.graph.node(self.node).task.as_ref()),
                timeout = ?limit,
                elapsed = ?self.clock.computed(),
                "the body blocked its thread past its timeout: it could not be stopped; make it a plain `fn`"
            );
        }
        result
    }

    /// Runs a body on a thread of its own. A thread cannot be stopped from outside: after the timeout the attempt lasts, and
    /// holds its worker and limits, until the body has ended.
    async fn run_blocking(
        &self,
        body: BlockingBody,
        lost: impl Future<Output = ()>,
        stop: impl FnOnce(),
    ) -> Result<Erased, BoxError> {
        self.is_on_thread
            .store(!threads::are_simulated(), Ordering::SeqCst);
        self.hold_clock(true);
        let mut thread = pin!(body_threads::run(body));
        let error = tokio::select! {
            biased;
            result = &mut thread => {
                self.hold_clock(false);
                return result;
            }
            () = lost => interrupted().into(),
            () = self.clock.expired() => self.timed_out(),
        };
        stop();
        tracing::warn!(
            task = describe(self.run.graph.node(self.node).task.as_ref()),
            timeout = ?self.clock.limit(),
            "the body is past its timeout or its lease and still runs: its worker and limits are held until it ends"
        );
        let _ = thread.await;
        self.hold_clock(false);
        Err(error)
    }

    fn hold_clock(&self, computes: bool) {
        if self.is_on_thread.load(Ordering::SeqCst) {
            let mut hold = self
                .clock_hold
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *hold = computes.then(threads::hold_clock).flatten();
        }
    }

    fn timed_out(&self) -> BoxError {
        let limit = self.clock.limit().unwrap_or_default();
        format!("timed out after {limit:?}, the task's `timeout`").into()
    }

    /// Returns the output of a task, which the run makes if it is missing.
    async fn output(&self, task: Arc<dyn DynTask>) -> Result<Erased, Error> {
        let mut vanished = 0;
        loop {
            let output = self.request(Arc::clone(&task)).await?;
            match self.run.output(output.node).await {
                Err(LoadFailure::Vanished(node, status, _)) if vanished < VANISHED_OUTPUTS => {
                    vanished += 1;
                    self.run.send(Message::OutputVanished(node, status));
                }
                loaded => return loaded.map_err(LoadFailure::into_error),
            }
        }
    }

    /// Requests a subtask, and waits for the answer.
    async fn request(&self, task: Arc<dyn DynTask>) -> SubtaskResult {
        let (reply, answer) = oneshot::channel();
        let mut wait = Wait::new(self);
        self.holds_worker.store(false, Ordering::SeqCst);
        self.run.send(Message::SubtaskRequested(SubtaskRequest {
            id: wait.id,
            by: self.node,
            task,
            reply,
        }));
        // A run that is over drops the reply channel.
        let answer = answer.await.unwrap_or_else(|_| Err(interrupted().into()));
        wait.is_answered = true;
        self.holds_worker.store(true, Ordering::SeqCst);
        drop(wait);
        if tokio::task::try_id() != self.polled_in {
            self.release_worker();
        }
        if let Err(error) = &answer
            && is_interrupted(error)
        {
            self.was_interrupted.store(true, Ordering::SeqCst);
        }
        answer
    }

    /// Releases the worker if the body waits for more.
    fn release_worker(&self) {
        if self.clock.is_waiting() && self.holds_worker.swap(false, Ordering::SeqCst) {
            self.run.send(Message::BodyBlocked(self.node));
        }
    }

    /// Notes the progress of the body, and sends it unless it did so a moment ago.
    fn note(&self, change: impl FnOnce(&mut ProgressNow)) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut progress.now);
        progress.is_new = true;
        let is_due = |sent: Instant| sent.elapsed() >= PROGRESS_INTERVAL;
        if progress.sent.is_none_or(is_due) {
            self.send_progress(&mut progress);
        }
    }

    fn send_progress(&self, progress: &mut Progress) {
        progress.sent = Some(Instant::now());
        progress.is_new = false;
        self.run
            .send(Message::Progress(self.node, progress.now.clone()));
    }
}

impl RunApi for RunHandle {
    fn get(&self, task: Arc<dyn DynTask>) -> OutputFuture<'_> {
        Box::pin(self.output(task))
    }

    fn progress(&self, done: u64, total: u64) {
        self.note(|now| (now.done, now.total) = (done, total));
    }

    fn message(&self, message: String) {
        self.note(|now| now.message = Some(message));
    }

    fn resumes_stale_state(&self) {
        self.run.send(Message::StaleState(self.node));
    }
}

/// A wait of a body for an answer. Dropped without one, it cancels the request.
struct Wait<'a> {
    handle: &'a RunHandle,
    id: u64,
    is_answered: bool,
}

impl<'a> Wait<'a> {
    fn new(handle: &'a RunHandle) -> Self {
        if handle.clock.wait() {
            handle.hold_clock(false);
        }
        Wait {
            handle,
            id: handle.run.next_subtask(),
            is_answered: false,
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let handle = self.handle;
        if handle.clock.resume() {
            handle.hold_clock(true);
        }
        if !self.is_answered {
            handle.run.send(Message::SubtaskCancelled {
                by: handle.node,
                id: self.id,
            });
        }
    }
}
