//! One attempt of one task: load what it requires, run the body, encode, publish.

pub(crate) mod dependency_failed;
pub(crate) mod error_text;
mod inputs;
pub(crate) mod publish;
pub(crate) mod run_handle;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::{FutureExt as _, poll};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use crate::error::{BoxError, Error, panic_text, permanent};
use crate::lease::{Claim, Claimed, Owner, Participant};
use crate::model::{
    AttemptScope, Call, Context, DynTask, Erased, Host, LARGE_BYTES, NodeId, Redactor, Resources,
    StepStore, StopToken, Stored,
};
use crate::plan::{Graph, Status, ask, describe};
use crate::run::attempt::error_text::redacted;
use crate::run::attempt::publish::{Published, publish};
use crate::run::attempt::run_handle::RunHandle;
use crate::run::coordination::{Leases, TaskLease};
use crate::run::mailbox::{Mailbox, Message};
use crate::run::output_cache::OutputCache;
use crate::run::remote::executor::Executor;
use crate::run::runner::Runner;
use crate::workspace::{CommitGuard, Workspace};

/// What every attempt of a run works with.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) graph: Arc<Graph>,
    pub(crate) workspace: Workspace,
    pub(crate) resources: Arc<Resources>,
    pub(crate) outputs: OutputCache,
    /// What bodies are told that the run is stopping by.
    pub(crate) stop: StopToken,
    pub(crate) grace: Duration,
    /// Where attempts say what happens.
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) asks: AtomicU64,
    /// The kinds of tasks whose last output was large.
    pub(crate) large: Mutex<HashSet<&'static str>>,
    pub(crate) ownership: Leases,
    /// Where attempts are made, if not here.
    pub(crate) executor: Option<Arc<dyn Executor>>,
    /// Whether an output that was made elsewhere has been seen here.
    pub(crate) sees_outputs: AtomicBool,
    /// The span in which the run was started.
    pub(crate) span: Span,
}

impl RunContext {
    pub(crate) fn new(runner: &Runner, graph: &Arc<Graph>, ownership: &Leases) -> Arc<Self> {
        Arc::new(RunContext {
            graph: Arc::clone(graph),
            workspace: runner.workspace.clone(),
            resources: Arc::new(runner.resources.clone()),
            outputs: OutputCache::new(runner.memory_budget),
            stop: StopToken::new(),
            grace: runner.grace,
            mailbox: Arc::default(),
            asks: AtomicU64::new(0),
            large: Mutex::default(),
            ownership: ownership.clone(),
            executor: runner.executor.clone(),
            sees_outputs: AtomicBool::new(false),
            span: Span::current(),
        })
    }
}

/// An attempt that is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptJob {
    pub(crate) node: NodeId,
    pub(crate) need: Status,
    /// Which one it is, from 1.
    pub(crate) number: u32,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) struct AttemptResult {
    pub(crate) node: NodeId,
    pub(crate) number: u32,
    /// Without the time that the body waited for tasks that it asked for.
    pub(crate) elapsed: Duration,
    pub(crate) end: AttemptEnd,
}

/// What a body has made.
struct Made {
    output: Erased,
    stored: Stored,
    steps: Arc<StepStore>,
}

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum AttemptEnd {
    Published(Published),
    Failed(BoxError),
    /// Its output is there: another process made it meanwhile.
    AlreadyComplete,
    /// Another process has the task.
    ClaimedByOther(Owner),
    /// It was cut off, because this process has lost its claim.
    LeaseLost,
}

/// Makes an attempt, under a claim of its own where each task is claimed; never panics.
pub(crate) async fn attempt(run_context: &Arc<RunContext>, work: AttemptJob) -> AttemptResult {
    match &run_context.ownership {
        Leases::PerTask(member) => run_context.claimed_attempt(member, work).await,
        Leases::Roots(claims) => run_context.attempt(work, claims.first()).await,
        Leases::Nothing => run_context.attempt(work, None).await,
    }
}

/// Claims a task; what is won is looked for once more.
async fn hold(
    run_context: &RunContext,
    member: &Participant,
    id: NodeId,
    need: Status,
) -> Result<TaskLease, Error> {
    let node = run_context.graph.node(id);
    let claim = match member
        .claim(node.key, &describe(node.task.as_ref()))
        .await?
    {
        Claimed::Won(claim) => claim,
        Claimed::Held(owner) => return Ok(TaskLease::ClaimedByOther(owner)),
    };
    if need.replaces() {
        return Ok(TaskLease::Held(claim));
    }
    let found = ask(&run_context.graph, vec![id], &run_context.workspace).await;
    match found {
        Ok(needs) if needs.iter().all(|(_, need)| need.is_complete()) => {
            Ok(TaskLease::AlreadyComplete(claim))
        }
        Ok(_) => Ok(TaskLease::Held(claim)),
        Err(error) => {
            claim.release(false).await;
            Err(error)
        }
    }
}

impl RunContext {
    async fn claimed_attempt(
        self: &Arc<Self>,
        member: &Participant,
        work: AttemptJob,
    ) -> AttemptResult {
        let without = |end| AttemptResult {
            node: work.node,
            number: work.number,
            elapsed: Duration::ZERO,
            end,
        };
        match hold(self, member, work.node, work.need).await {
            Ok(TaskLease::Held(claim)) => {
                self.say(Message::AttemptStarted(work.node, work.number));
                let attempted = tokio::select! {
                    biased;
                    () = claim.lost() => return without(AttemptEnd::LeaseLost),
                    attempted = self.attempt(work, Some(&claim)) => attempted,
                };
                let is_done = matches!(attempted.end, AttemptEnd::Published(_));
                claim.release(is_done).await;
                attempted
            }
            Ok(TaskLease::AlreadyComplete(claim)) => {
                claim.release(true).await;
                without(AttemptEnd::AlreadyComplete)
            }
            Ok(TaskLease::ClaimedByOther(owner)) => without(AttemptEnd::ClaimedByOther(owner)),
            Err(error) => without(AttemptEnd::Failed(error.into())),
        }
    }

    async fn attempt(self: &Arc<Self>, work: AttemptJob, claim: Option<&Claim>) -> AttemptResult {
        let span = self.span(work);
        if span.is_disabled() {
            return self.attempt_in_span(work, claim).await;
        }
        let attempting = self.attempt_in_span(work, claim);
        let attempted = attempting.instrument(span.clone()).await;
        if let AttemptEnd::Failed(error) = &attempted.end {
            span.record("error", crate::error::chain(error.as_ref()));
            span.record("otel.status_code", "ERROR");
        }
        attempted
    }

    /// What a body logs is logged within it, and so says of which task it is.
    fn span(&self, work: AttemptJob) -> Span {
        let node = self.graph.node(work.node);
        info_span!(
            target: "kart",
            parent: &self.span,
            "task",
            task = node.task.spec().name,
            key = %node.key,
            // Of other integers OpenTelemetry would make texts.
            attempt = i64::from(work.number),
            error = Empty,
            otel.status_code = Empty,
        )
    }

    async fn attempt_in_span(
        self: &Arc<Self>,
        work: AttemptJob,
        claim: Option<&Claim>,
    ) -> AttemptResult {
        let redactor = Redactor::of(self.graph.node(work.node).task.as_ref());
        let mut attempted = match &self.executor {
            Some(executor) => Box::pin(self.order(executor.as_ref(), work)).await,
            None => self.attempt_here(work, claim, &redactor).await,
        };
        if let AttemptEnd::Failed(error) = attempted.end {
            attempted.end = AttemptEnd::Failed(redacted(&redactor, error));
        }
        attempted
    }

    async fn attempt_here(
        self: &Arc<Self>,
        work: AttemptJob,
        claim: Option<&Claim>,
        redactor: &Arc<Redactor>,
    ) -> AttemptResult {
        let started = Instant::now();
        let mut waited = Duration::ZERO;
        let made = caught(self.make(work, redactor, &mut waited)).await;
        let end = match made {
            Ok(made) => caught(self.publish(work, made, claim)).await,
            Err(error) => Err(error),
        };
        AttemptResult {
            node: work.node,
            number: work.number,
            elapsed: started.elapsed().saturating_sub(waited),
            end: end.map_or_else(AttemptEnd::Failed, AttemptEnd::Published),
        }
    }

    async fn publish(
        &self,
        work: AttemptJob,
        made: Made,
        claim: Option<&Claim>,
    ) -> Result<Published, BoxError> {
        let node = self.graph.node(work.node);
        let mut publishing = pin!(publish(
            &self.workspace,
            node,
            work.need,
            claim,
            made.output,
            made.stored
        ));
        let published = match poll!(publishing.as_mut()) {
            Poll::Ready(published) => published,
            Poll::Pending => {
                // A failed one's end is told with its failure, so that nothing starts before that is known.
                self.say(Message::BodyFinished(work.node));
                publishing.await
            }
        }?;
        made.steps.clear().await;
        Ok(published)
    }
}

/// A panic of a body, or of a user's own format, as an error.
pub(crate) async fn caught<T>(
    step: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    let result = AssertUnwindSafe(step).catch_unwind().await;
    result.unwrap_or_else(|payload| Err(panic_text(payload.as_ref()).into()))
}

impl RunContext {
    pub(crate) fn say(&self, step: Message) {
        self.mailbox.send(step);
    }

    /// A number for something that a body asks for.
    pub(crate) fn next_ask(&self) -> u64 {
        self.asks.fetch_add(1, Ordering::Relaxed)
    }

    /// Loads what the task requires, runs its body and encodes what it returned.
    async fn make(
        self: &Arc<Self>,
        work: AttemptJob,
        redactor: &Arc<Redactor>,
        waited: &mut Duration,
    ) -> Result<Made, BoxError> {
        let node = self.graph.node(work.node);
        let spec = node.task.spec();
        let path = node.path()?;
        if spec.external {
            let location = self.workspace.locate(&path);
            return Err(permanent(format!(
                "`{location}` is made by something else, and it is not there: put it there, then run again"
            ))
            .into());
        }
        let line = Arc::new(RunHandle::new(self, work.node));
        let guard = CommitGuard::open();
        let steps = StepStore::new(self.workspace.clone(), node.key, guard.clone());
        let steps = Arc::new(steps);
        let scope = AttemptScope::new(&self.stop, guard, self.grace, Arc::clone(redactor));
        let context = Context::new(
            spec.name,
            node.key,
            path.into(),
            work.number,
            &scope,
            Arc::clone(&steps),
            Arc::clone(&line) as Arc<dyn Host>,
        );
        let inputs = self.load(node).await?;
        let call = Call::new(inputs, Arc::clone(&self.resources), context);
        let body = Arc::clone(&node.task).run(call);
        let output;
        (output, *waited) = line.run(body, spec.timeout).await;
        scope.end().await;
        let output = output?;
        let stored = self.encode(&node.task, &output).await.map_err(|error| {
            let error = crate::error::chain(error.as_ref());
            permanent(format!("failed to encode the output: {error}"))
        })?;
        Ok(Made {
            output,
            stored,
            steps,
        })
    }

    /// Encodes on a thread of its own what is large, as far as the last output of that kind tells.
    async fn encode(&self, task: &Arc<dyn DynTask>, output: &Erased) -> Result<Stored, BoxError> {
        let name = task.spec().name;
        let large = || self.large.lock().unwrap_or_else(PoisonError::into_inner);
        let was_large = large().contains(name);
        let stored = if was_large {
            Stored::of_large(Arc::clone(task), Arc::clone(output)).await?
        } else {
            Stored::of(task.as_ref(), output)?
        };
        let is_large = stored.size()? >= LARGE_BYTES as u64;
        if is_large && !was_large {
            large().insert(name);
        } else if was_large && !is_large {
            large().remove(name);
        }
        Ok(stored)
    }
}
