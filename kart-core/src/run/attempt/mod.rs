//! One attempt of one task: claim it, load its requirements, run its body, encode, publish.

mod acquire;
pub(crate) mod body_clock;
pub(crate) mod body_threads;
mod inputs;
mod publish;
mod run_handle;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::{FutureExt as _, poll};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use self::acquire::{Acquired, acquire};
use self::inputs::LoadFailure;
use self::publish::{Output, encode};
use self::run_handle::RunHandle;
use super::errors::error_text::redacted;
use super::errors::unavailable::is_unavailable;
use super::executor::Executor;
use super::message::{AttemptEnd, AttemptJob, AttemptResult, Message, Published};
use super::remote::client;
use super::run_context::RunContext;
use super::task_lease::TaskLease;
use crate::error::{BoxError, chain, is_interrupted, panic_text, permanent};
use crate::model::{
    AttemptScope, Body, Call, Context, NodeId, Redactor, RunApi, SaveScope, StepStore, Stored,
};
use crate::plan::Status;
use crate::run_id::RunId;
use crate::workspace::{CommitGuard, Maker, Making, OutputAddress, Provenance};

/// The encoded output of a body.
struct Encoded {
    path: Arc<str>,
    stored: Stored,
    steps: Arc<StepStore>,
}

/// One attempt, with its lease.
struct Attempt<'a> {
    run: &'a Arc<RunContext>,
    node: NodeId,
    number: u32,
    status: Status,
    making: Making,
    /// The reruns that the output is made for.
    reruns: &'a [RunId],
    lease: &'a TaskLease,
    redactor: Arc<Redactor>,
    /// Whether the body runs on a thread of its own.
    is_on_thread: AtomicBool,
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
        _ => {
            match caught(async { Ok(acquire(run, node, job.status, &job.wanted_by).await?) }).await
            {
                Ok(Acquired::Held(lease)) => lease,
                Ok(Acquired::Complete(lease)) => {
                    lease.release(true).await;
                    return without(AttemptEnd::AlreadyComplete);
                }
                Ok(Acquired::Foreign(owner)) => return without(AttemptEnd::ClaimedByOther(*owner)),
                Ok(Acquired::Failed { attempts, error }) => {
                    let error = error.into();
                    return without(AttemptEnd::FailedByOther { attempts, error });
                }
                Err(error) => return without(failed(error)),
            }
        }
    };
    if run.leases.are_per_task() || !lease.is_empty() {
        run.send(Message::AttemptStarted(node, number));
    }
    let attempt = Attempt {
        run,
        node,
        number,
        status: job.status,
        making: job.making,
        reruns: &job.reruns,
        lease: &lease,
        redactor: Redactor::of(run.graph.node(node).task.as_ref()),
        is_on_thread: AtomicBool::new(false),
    };
    let made = attempt.make_unless_lost().await;
    let Some((end, elapsed)) = made else {
        return without(AttemptEnd::LeaseLost);
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

impl Attempt<'_> {
    /// Makes the attempt; gives `None` when the lease is lost before its end.
    async fn make_unless_lost(&self) -> Option<(AttemptEnd, Duration)> {
        let mut making = pin!(self.in_span());
        tokio::select! {
            biased;
            () = self.lease.lost() => {
                if self.is_on_thread.load(Ordering::Relaxed) {
                    // Nobody can stop it, and until it has ended this process does not run the task again.
                    making.await;
                }
                None
            }
            // A commit that was refused, or the body that made it, may have noticed the loss first.
            made = &mut making => Some(made).filter(|(end, _)| {
                matches!(end, AttemptEnd::Published(_)) || self.lease.is_held()
            }),
        }
    }

    /// Makes the attempt in a span, so that every line that the body logs names its task.
    async fn in_span(&self) -> (AttemptEnd, Duration) {
        let span = self.span();
        if span.is_disabled() {
            return self.make().await;
        }
        let (end, elapsed) = self.make().instrument(span.clone()).await;
        if let AttemptEnd::Failed(error) | AttemptEnd::Unavailable(error) = &end {
            span.record("error", chain(error.as_ref()));
            span.record("otel.status_code", "ERROR");
        }
        (end, elapsed)
    }

    fn span(&self) -> Span {
        let node = self.run.graph.node(self.node);
        info_span!(
            target: "kart",
            parent: &self.run.span,
            "task",
            task = node.task.spec().name,
            key = %node.key,
            // OpenTelemetry would turn other integers into texts.
            attempt = i64::from(self.number),
            error = Empty,
            otel.status_code = Empty,
        )
    }

    /// Makes the attempt, here or at a worker, and hides secrets in its error.
    async fn make(&self) -> (AttemptEnd, Duration) {
        let (run, node) = (self.run, self.run.graph.node(self.node));
        let discarded = run
            .fresh
            .discard(&run.workspace, self.node, node, self.making);
        let (end, elapsed) = match caught(async { Ok(discarded.await?) }).await {
            Err(error) => (failed(error), Duration::ZERO),
            Ok(()) => match &run.executor {
                Some(executor) => Box::pin(self.make_remote(executor.as_ref())).await,
                None => self.make_here().await,
            },
        };
        let redacted = |error| redacted(&self.redactor, error);
        let end = match end {
            AttemptEnd::Failed(error) => AttemptEnd::Failed(redacted(error)),
            AttemptEnd::Unavailable(error) => AttemptEnd::Unavailable(redacted(error)),
            AttemptEnd::InputVanished(input, status, error) => {
                AttemptEnd::InputVanished(input, status, redacted(error))
            }
            end => end,
        };
        (end, elapsed)
    }

    async fn make_remote(&self, executor: &dyn Executor) -> (AttemptEnd, Duration) {
        let started = Instant::now();
        let attempt = client::attempt(
            self.run,
            executor,
            self.node,
            self.number,
            self.status,
            self.making,
            self.reruns,
        );
        let (end, elapsed) = match caught(attempt).await {
            Ok(ended) => ended,
            Err(error) => (failed(error), None),
        };
        (end, elapsed.unwrap_or_else(|| started.elapsed()))
    }

    async fn make_here(&self) -> (AttemptEnd, Duration) {
        let started = Instant::now();
        let mut waited = Duration::ZERO;
        let guard = self.guard();
        let end = match caught(self.run_body(&guard, &mut waited)).await {
            Err(error) => failed(error),
            Ok(Err(end)) => end,
            Ok(Ok(encoded)) => caught(self.publish(encoded, &guard))
                .await
                .map_or_else(failed, AttemptEnd::Published),
        };
        (end, started.elapsed().saturating_sub(waited))
    }

    /// Returns the guard of the attempt: commits pass while the run may commit and the lease is held.
    fn guard(&self) -> CommitGuard {
        if self.lease.is_empty() {
            return self.run.guard.clone();
        }
        let lease = self.lease.clone();
        let is_held = move || lease.is_held();
        self.run.guard.child(Some(Arc::new(is_held)))
    }

    /// Loads the requirements, runs the body and encodes its output.
    async fn run_body(
        &self,
        guard: &CommitGuard,
        waited: &mut Duration,
    ) -> Result<Result<Encoded, AttemptEnd>, BoxError> {
        let run = self.run;
        let node = run.graph.node(self.node);
        let spec = node.task.spec();
        let path: Arc<str> = node.path()?.into();
        if spec.external {
            let location = run.workspace.display_url(&path);
            return Err(permanent(format!(
                "external input `{location}` is missing; create it and run again"
            ))
            .into());
        }
        let place = run.workspace.check_place(&path).await;
        place.map_err(permanent)?;
        let handle = Arc::new(RunHandle::new(run, self.node, spec.timeout));
        // The saves of the body end before its output is published.
        let saves = guard.child(None);
        let workspace = run.workspace.clone();
        let save_scope = SaveScope {
            key: node.key,
            making: self.making,
            path: Arc::clone(&path),
            code: spec.code,
        };
        let api = Arc::clone(&handle) as Arc<dyn RunApi>;
        let steps = StepStore::new(workspace, save_scope, saves.clone(), Arc::clone(&api));
        let steps = Arc::new(steps);
        let scope = AttemptScope::new(&run.stop, saves, run.grace, Arc::clone(&self.redactor));
        let context = Context::new(
            spec.name,
            node.key,
            Arc::clone(&path),
            self.number,
            &scope,
            Arc::clone(&steps),
            api,
        );
        let inputs = match run.load(node).await {
            Ok(inputs) => inputs,
            Err(LoadFailure::Vanished(input, status, error)) => {
                return Ok(Err(AttemptEnd::InputVanished(input, status, error.into())));
            }
            Err(LoadFailure::Failed(error)) => return Err(error),
        };
        let call = Call::new(inputs, Arc::clone(&run.resources), context);
        let body = Arc::clone(&node.task).run(call);
        let is_blocking = matches!(body, Body::Blocking(_));
        self.is_on_thread.store(is_blocking, Ordering::Relaxed);
        let made = handle.run(body, self.lease.lost(), || scope.expire()).await;
        self.is_on_thread.store(false, Ordering::Relaxed);
        *waited = handle.waited();
        scope.end().await;
        let output = match made {
            Ok(output) => output,
            Err(error) if is_interrupted(error.as_ref()) => {
                return Ok(Err(self.gave_up(&handle, guard, error)));
            }
            Err(error) => return run.end_unless_failed(node, error).map(Err),
        };
        let stored = encode(run, &node.task, &output).await.map_err(|error| {
            let error = chain(error.as_ref());
            permanent(format!("failed to encode the output: {error}"))
        })?;
        Ok(Ok(Encoded {
            path,
            stored,
            steps,
        }))
    }

    /// Returns how a body ended that returned `interrupted()`: failed, unless the run is stopping, its lease is lost, or one of
    /// its subtasks was interrupted.
    fn gave_up(&self, handle: &RunHandle, guard: &CommitGuard, error: BoxError) -> AttemptEnd {
        if self.run.stop.is_stopping() || !guard.is_open() || handle.was_interrupted() {
            return failed(error);
        }
        let error = chain(error.as_ref());
        AttemptEnd::Failed(
            format!("the body gave up as interrupted, and nothing asked it to stop: {error}")
                .into(),
        )
    }

    async fn ensure_held(&self) -> Result<(), BoxError> {
        for claim in self.lease.claims() {
            claim.ensure_held().await?;
        }
        if let Some(root) = self.run.leases.root() {
            root.ensure_held().await?;
        }
        Ok(())
    }

    async fn publish(&self, encoded: Encoded, guard: &CommitGuard) -> Result<Published, BoxError> {
        let run = self.run;
        let node = run.graph.node(self.node);
        let stored = &encoded.stored;
        let spec = node.task.spec();
        let provenance = Provenance {
            code: Some(spec.code.to_owned()),
            run: run.run_id,
            reruns: self.reruns.to_vec(),
            blake3: stored.hash().await?,
            ..Provenance::new(node.key, spec.name, stored.size()?)
        };
        let output = Output {
            address: OutputAddress {
                path: Arc::clone(&encoded.path),
                maker: Maker::Task(node.key),
            },
            stored,
            is_keyed: spec.is_keyed(),
            provenance: &provenance,
        };
        let mut publishing = pin!(self.publish_output(output, guard));
        let published = match poll!(publishing.as_mut()) {
            Poll::Ready(published) => published,
            Poll::Pending => {
                // If the body has failed, its result says so: nothing starts before the failure is known.
                run.send(Message::BodyFinished(self.node));
                publishing.await
            }
        }?;
        encoded.steps.clear().await;
        Ok(published)
    }
}

/// Returns how an attempt with this error ended. A failure of the store or the network is not the body's fault.
fn failed(error: BoxError) -> AttemptEnd {
    if is_unavailable(error.as_ref()) {
        AttemptEnd::Unavailable(error)
    } else if is_interrupted(error.as_ref()) {
        AttemptEnd::Stopped
    } else {
        AttemptEnd::Failed(error)
    }
}

/// Turns a panic of a body, or of a user's own format, into an error.
pub(crate) async fn caught<T>(
    step: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, BoxError> {
    let result = AssertUnwindSafe(step).catch_unwind().await;
    result.unwrap_or_else(|payload| Err(panic_text(payload.as_ref()).into()))
}
