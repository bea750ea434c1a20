//! A body's line to its run: by it the body asks for tasks, and gives its worker back while it waits.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::error::{BoxError, Error, interrupted};
use crate::model::{Attempt, DynTask, Erased, Getting, Host, NodeId};
use crate::run::attempt::RunContext;
use crate::run::event_loop::subtask_waits::SubtaskRequest;
use crate::run::mailbox::{Message, ProgressNow};

/// One attempt's line to the run.
#[derive(Debug)]
pub(crate) struct RunHandle {
    run_context: Arc<RunContext>,
    node: NodeId,
    /// The runtime's task in which the body is polled.
    polled_in: Option<tokio::task::Id>,
    /// How many tasks the body waits for.
    waiting: AtomicUsize,
    /// Whether the body has been given its worker back while it waits for more.
    holds_worker: AtomicBool,
    progress: Mutex<Progress>,
}

/// Watchers are told no more often.
const TELLING: Duration = Duration::from_millis(100);

/// How far the body is, and whether that has been told.
#[derive(Debug, Default)]
struct Progress {
    now: ProgressNow,
    told: Option<Instant>,
    is_new: bool,
}

impl RunHandle {
    /// For the attempt that is being polled.
    pub(crate) fn new(run_context: &Arc<RunContext>, node: NodeId) -> Self {
        RunHandle {
            run_context: Arc::clone(run_context),
            node,
            polled_in: tokio::task::try_id(),
            waiting: AtomicUsize::new(0),
            holds_worker: AtomicBool::new(false),
            progress: Mutex::default(),
        }
    }

    /// The output of a task that the run makes if it is not there.
    async fn output(&self, task: Arc<dyn DynTask>) -> Result<Erased, Error> {
        let (reply, answer) = oneshot::channel();
        let mut wait = Wait {
            line: self,
            id: self.run_context.next_ask(),
            is_answered: false,
        };
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.holds_worker.store(false, Ordering::SeqCst);
        self.run_context
            .say(Message::SubtaskRequested(SubtaskRequest {
                id: wait.id,
                by: self.node,
                task,
                reply,
            }));
        // A run that is over answers nobody.
        let answer = answer.await.unwrap_or_else(|_| Err(interrupted().into()));
        wait.is_answered = true;
        self.holds_worker.store(true, Ordering::SeqCst);
        drop(wait);
        if tokio::task::try_id() != self.polled_in {
            self.park();
        }
        let expected = answer?;
        self.run_context.output(expected.node).await
    }

    /// Notes how far the body is, and tells it unless that was done a moment ago.
    fn note(&self, change: impl FnOnce(&mut ProgressNow)) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut progress.now);
        progress.is_new = true;
        if progress.told.is_none_or(|told| told.elapsed() >= TELLING) {
            self.tell_now(&mut progress);
        }
    }

    fn tell_now(&self, progress: &mut Progress) {
        progress.told = Some(Instant::now());
        progress.is_new = false;
        self.run_context
            .say(Message::Progress(self.node, progress.now.clone()));
    }

    /// Gives the worker back if the body waits for more.
    fn park(&self) {
        if self.is_waiting() && self.holds_worker.swap(false, Ordering::SeqCst) {
            self.run_context.say(Message::BodyBlocked(self.node));
        }
    }

    fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Runs the body; gives how long it waited for tasks that it asked for, which does not count
    /// towards its time limit.
    pub(crate) async fn run(
        &self,
        body: Attempt,
        limit: Option<Duration>,
    ) -> (Result<Erased, BoxError>, Duration) {
        let mut body = body;
        let mut waited = Duration::ZERO;
        let mut waiting_since = None;
        let mut timer = limit.map(|limit| Box::pin(sleep(limit)));
        let result = poll_fn(|cx| {
            if let Poll::Ready(result) = body.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            self.park();
            if self.is_waiting() {
                waiting_since.get_or_insert_with(Instant::now);
                return Poll::Pending;
            }
            if let Some(since) = waiting_since.take() {
                let elapsed = since.elapsed();
                waited += elapsed;
                if let Some(timer) = &mut timer {
                    let deadline = timer.deadline() + elapsed;
                    timer.as_mut().reset(deadline);
                }
            }
            let (Some(timer), Some(limit)) = (&mut timer, limit) else {
                return Poll::Pending;
            };
            timer
                .as_mut()
                .poll(cx)
                .map(|()| Err(format!("timed out after {limit:?}, the task's `timeout`").into()))
        })
        .await;
        if let Some(since) = waiting_since {
            waited += since.elapsed();
        }
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.is_new {
            self.tell_now(&mut progress);
        }
        drop(progress);
        (result, waited)
    }
}

impl Host for RunHandle {
    fn get(&self, task: Arc<dyn DynTask>) -> Getting<'_> {
        Box::pin(self.output(task))
    }

    fn progress(&self, done: u64, total: u64) {
        self.note(|now| (now.done, now.total) = (done, total));
    }

    fn message(&self, message: String) {
        self.note(|now| now.message = Some(message));
    }
}

/// Somebody who waits for an answer; dropped without one, it withdraws.
struct Wait<'a> {
    line: &'a RunHandle,
    id: u64,
    is_answered: bool,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.line.waiting.fetch_sub(1, Ordering::SeqCst);
        if !self.is_answered {
            self.line.run_context.say(Message::SubtaskCancelled {
                by: self.line.node,
                ask: self.id,
            });
        }
    }
}
