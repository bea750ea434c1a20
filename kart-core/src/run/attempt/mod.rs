//! One attempt of one task: hold it, load what it requires, run its body, encode, publish.

pub(crate) mod body_clock;
pub(crate) mod body_threads;
pub(crate) mod dependency_failed;
pub(crate) mod error_text;
mod inputs;
mod publish;
mod run_handle;
pub(crate) mod task_lease;

use std::any::Any;
use std::error::Error as StdError;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::{FutureExt as _, poll};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use self::inputs::LoadFailure;
use self::run_handle::RunHandle;
use self::task_lease::{Acquired, TaskLease};
use super::message::{AttemptEnd, AttemptJob, AttemptResult, Message, Published};
use super::remote::client;
use super::run_context::RunContext;
use crate::error::{BoxError, Error, StoreError, causes, chain, is_interrupted, permanent};
use crate::model::{Call, Context, DynTask, Erased, LARGE_BYTES, NodeId, RunApi, Saved, Stored};
use crate::plan::Status;
use crate::workspace::CommitGuard;

/// What a body has made.
struct Encoded {
    output: Erased,
    stored: Stored,
    saved: Arc<Saved>,
}

/// An attempt that is over may not save or publish anything.
struct CloseOnDrop(CommitGuard);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Makes an attempt; never panics.
pub(crate) async fn attempt(run: &Arc<RunContext>, job: AttemptJob) -> AttemptResult {
    let (node, number) = (job.node, job.number);
    let result = |elapsed, end, lease| AttemptResult {
        node,
        number,
        elapsed,
        end,
        lease,
    };
    let without = |end| result(Duration::ZERO, end, None);
    let lease = match job.lease {
        Some(lease) if lease.is_held() => lease,
        _ => match caught(async { Ok(TaskLease::acquire(run, node, job.status).await?) }).await {
            Ok(Acquired::Held(lease)) => lease,
            Ok(Acquired::Complete(lease)) => {
                lease.release(true).await;
                return without(AttemptEnd::AlreadyComplete);
            }
            Ok(Acquired::Foreign(owner)) => return without(AttemptEnd::ClaimedByOther(owner)),
            Ok(Acquired::Failed { attempts, error }) => {
                let error = error.into();
                return without(AttemptEnd::FailedByOther { attempts, error });
            }
            Err(error) => return without(failed(error)),
        },
    };
    if run.leases.are_per_task() {
        run.send(Message::AttemptStarted(node, number));
    }
    let (end, elapsed) = tokio::select! {
        biased;
        () = lease.lost() => return without(AttemptEnd::LeaseLost),
        made = in_span(run, node, number, job.status, &lease) => made,
    };
    let lease = match &end {
        AttemptEnd::Failed(_) if !lease.is_empty() => Some(lease),
        end => {
            lease.release(matches!(end, AttemptEnd::Published(_))).await;
            None
        }
    };
    result(elapsed, end, lease)
}

/// What a body logs is logged within the span of its attempt, and so says of which task it is.
async fn in_span(
    run: &Arc<RunContext>,
    id: NodeId,
    number: u32,
    status: Status,
    lease: &TaskLease,
) -> (AttemptEnd, Duration) {
    let span = span(run, id, number);
    if span.is_disabled() {
        return here_or_remote(run, id, number, status, lease).await;
    }
    let making = here_or_remote(run, id, number, status, lease);
    let (end, elapsed) = making.instrument(span.clone()).await;
    if let AttemptEnd::Failed(error) | AttemptEnd::Unavailable(error) = &end {
        span.record("error", chain(error.as_ref()));
        span.record("otel.status_code", "ERROR");
    }
    (end, elapsed)
}

fn span(run: &RunContext, id: NodeId, number: u32) -> Span {
    let node = run.graph.node(id);
    info_span!(
        target: "kart",
        parent: &run.span,
        "task",
        task = node.task.spec().name,
        key = %node.key,
        // Of other integers OpenTelemetry would make texts.
        attempt = i64::from(number),
        error = Empty,
        otel.status_code = Empty,
    )
}

async fn here_or_remote(
    run: &Arc<RunContext>,
    id: NodeId,
    number: u32,
    status: Status,
    lease: &TaskLease,
) -> (AttemptEnd, Duration) {
    if let Some(executor) = &run.executor {
        let started = Instant::now();
        let attempt = client::attempt(run, executor.as_ref(), id, number, status);
        let (end, elapsed) = match Box::pin(caught(attempt)).await {
            Ok(ended) => ended,
            Err(error) => (failed(error), None),
        };
        return (end, elapsed.unwrap_or_else(|| started.elapsed()));
    }
    let started = Instant::now();
    let guard = guard(run, lease);
    let _over = CloseOnDrop(guard.clone());
    let mut waited = Duration::ZERO;
    let end = match caught(make(run, id, number, &guard, &mut waited)).await {
        Err(error) => failed(error),
        Ok(Err(end)) => end,
        Ok(Ok(encoded)) => {
            let publishing = publish(run, id, status, encoded, lease, &guard);
            caught(publishing)
                .await
                .map_or_else(failed, AttemptEnd::Published)
        }
    };
    (end, started.elapsed().saturating_sub(waited))
}

/// Commits pass as long as the run goes on, the attempt is not over, and what it holds is not lost.
fn guard(run: &RunContext, lease: &TaskLease) -> CommitGuard {
    let root = run.leases.root();
    if lease.is_empty() && root.is_none() {
        return run.guard.child(None);
    }
    let lease = lease.clone();
    let is_held = move || lease.is_held() && root.as_ref().is_none_or(|claim| claim.is_held());
    run.guard.child(Some(Arc::new(is_held)))
}

/// How an attempt with this error ended: what the store or the network did is not the body's fault.
fn failed(error: BoxError) -> AttemptEnd {
    if is_unavailable(error.as_ref()) {
        AttemptEnd::Unavailable(error)
    } else if is_interrupted(error.as_ref()) {
        AttemptEnd::Stopped
    } else {
        AttemptEnd::Failed(error)
    }
}

fn is_unavailable(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| {
        let error = match cause.downcast_ref() {
            Some(Error::Store(error)) => Some(error),
            _ => cause.downcast_ref::<StoreError>(),
        };
        error.is_some_and(StoreError::is_transient)
    })
}

/// A panic of a body, or of a user's own format, as an error.
pub(crate) async fn caught<T>(
    step: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    let result = AssertUnwindSafe(step).catch_unwind().await;
    result.unwrap_or_else(|payload| Err(panic_text(payload.as_ref())))
}

pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> BoxError {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    format!("panicked: {message}").into()
}

/// Loads what the task requires, runs its body and encodes what it returned.
async fn make(
    run: &Arc<RunContext>,
    id: NodeId,
    number: u32,
    guard: &CommitGuard,
    waited: &mut Duration,
) -> Result<Result<Encoded, AttemptEnd>, BoxError> {
    let node = run.graph.node(id);
    let spec = node.task.spec();
    let path = node.path()?;
    if spec.external {
        let location = run.workspace.locate(&path);
        return Err(permanent(format!(
            "external input `{location}` is missing; create it and run again"
        ))
        .into());
    }
    let handle = Arc::new(RunHandle::new(run, id, spec.timeout));
    let saved = Arc::new(Saved::new(run.workspace.clone(), node.key));
    let stop = run.stop.clone();
    let context = Context::new(
        spec.name,
        node.key,
        path.into(),
        number,
        stop.clone(),
        Arc::clone(&saved),
        Arc::clone(&handle) as Arc<dyn RunApi>,
    );
    let inputs = match run.load(node).await {
        Ok(inputs) => inputs,
        Err(LoadFailure::Vanished(input, error)) => {
            return Ok(Err(AttemptEnd::InputVanished(input, error.into())));
        }
        Err(LoadFailure::Failed(error)) => return Err(error),
    };
    let call = Call::new(inputs, Arc::clone(&run.resources), context);
    let body = Arc::clone(&node.task).run(call);
    let made = handle.run(body, || guard.close()).await;
    *waited = handle.waited();
    let output = match made {
        Ok(output) => output,
        Err(error) if is_interrupted(error.as_ref()) => {
            return Ok(Err(interrupted(run, &handle, error)));
        }
        Err(error) => return Err(error),
    };
    let stored = encode(run, &node.task, &output).await.map_err(|error| {
        let error = chain(error.as_ref());
        permanent(format!("failed to encode the output: {error}"))
    })?;
    Ok(Ok(Encoded {
        output,
        stored,
        saved,
    }))
}

/// A body gives up when it is told to stop, or when one of its subtasks was interrupted; otherwise it has failed.
fn interrupted(run: &RunContext, handle: &RunHandle, error: BoxError) -> AttemptEnd {
    if run.stop.is_stopping() || handle.was_interrupted() {
        return failed(error);
    }
    let error = chain(error.as_ref());
    AttemptEnd::Failed(
        format!("the body gave up as interrupted, and nothing asked it to stop: {error}").into(),
    )
}

/// Encodes on a thread of its own what is large, as far as the last output of that kind tells.
async fn encode(
    run: &RunContext,
    task: &Arc<dyn DynTask>,
    output: &Erased,
) -> Result<Stored, BoxError> {
    let name = task.spec().name;
    let large = || run.large.lock().unwrap_or_else(PoisonError::into_inner);
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

async fn publish(
    run: &RunContext,
    id: NodeId,
    status: Status,
    encoded: Encoded,
    lease: &TaskLease,
    guard: &CommitGuard,
) -> Result<Published, BoxError> {
    let node = run.graph.node(id);
    if !node.task.spec().is_keyed() || status.replaces() {
        // Create-only writes need no lease: they change nothing that is there.
        for claim in lease.claims() {
            claim.ensure_held().await?;
        }
        if let Some(root) = run.leases.root() {
            root.ensure_held().await?;
        }
    }
    let mut publishing = pin!(publish::publish(
        &run.workspace,
        node,
        status,
        guard,
        encoded.output,
        encoded.stored
    ));
    let published = match poll!(publishing.as_mut()) {
        Poll::Ready(published) => published,
        Poll::Pending => {
            // A failed one's end is sent with its failure, so that nothing starts before that is known.
            run.send(Message::BodyFinished(id));
            publishing.await
        }
    }?;
    encoded.saved.clear().await;
    Ok(published)
}
