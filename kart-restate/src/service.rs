//! What the engine calls on a worker.
//!
//! A handler that is started anew has to give what it gave before, or the engine and it disagree for ever; and an
//! attempt that is made twice never says the same. So the answer is written to the journal before it is given: what
//! is started anew after that gives the same, what is started anew before that is a new attempt, which finds the
//! output if there is one.

use std::sync::Arc;
use std::time::Duration;

use kart_core::{AttemptRequest, AttemptResponse, Worker};
use restate_sdk::prelude::*;

use crate::runs::{Detached, Host};

/// A handler says nothing while its body runs or waits for a free place, so that the engine must not take silence for
/// a sign. The connection tells by its pings that a worker is lost, and a task's own `timeout` that its body hangs.
const SILENCE: Duration = Duration::from_hours(24 * 365);
/// How long an invocation that was asked to make room may go on.
const ABORT: Duration = Duration::from_hours(24);
/// The pauses before an attempt that was lost with its worker is started anew.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// With those pauses about three quarters of an hour without any worker; what has cost so many workers their life is
/// ended with an error, and never paused: nobody would wait for it.
const STARTS: u64 = 100;

/// How the engine treats all services.
pub(crate) fn options() -> ServiceOptions {
    ServiceOptions::new()
        .inactivity_timeout(SILENCE)
        .abort_timeout(ABORT)
        // What has ended is for the workspace to say.
        .idempotency_retention(Duration::ZERO)
        .journal_retention(Duration::ZERO)
        .retry_policy_initial_interval(FIRST_PAUSE)
        .retry_policy_exponentiation_factor(2.0)
        .retry_policy_max_interval(LONGEST_PAUSE)
        .retry_policy_max_attempts(STARTS)
        .retry_policy_kill_on_max_attempts()
}

/// One task by its key, one run of it at a time.
pub(crate) struct Tasks(pub(crate) Arc<Worker>);

#[restate_sdk::object(name = "kart", client_visibility = "pub(crate)")]
impl Tasks {
    #[handler]
    async fn run(
        &self,
        context: ObjectContext<'_>,
        order: Json<AttemptRequest>,
    ) -> Result<Json<AttemptResponse>, HandlerError> {
        let Json(order) = order;
        let worker = &self.0;
        let attempt = || async move { finished(worker.attempt(&order).await).map(Json) };
        Ok(context.run(attempt).name("attempt").await?)
    }
}

/// Many small tasks in one invocation, each by itself.
pub(crate) struct Batches(pub(crate) Arc<Worker>);

#[restate_sdk::service(name = "kart-batch", client_visibility = "pub(crate)")]
impl Batches {
    #[handler]
    async fn run(
        &self,
        context: Context<'_>,
        orders: Json<Vec<AttemptRequest>>,
    ) -> Result<Json<Vec<AttemptResponse>>, HandlerError> {
        let Json(orders) = orders;
        let worker = &self.0;
        let attempts = || async move {
            let answers = worker.attempts(&orders).await.into_iter();
            let answers: Result<Vec<AttemptResponse>, _> = answers.map(finished).collect();
            answers.map(Json)
        };
        Ok(context.run(attempts).name("attempts").await?)
    }
}

/// Runs that nobody waits for, one of a root at a time.
pub(crate) struct Runs(pub(crate) Host);

#[restate_sdk::object(name = "kart-runs", client_visibility = "pub(crate)")]
impl Runs {
    /// It gives nothing, and so always the same.
    #[handler]
    async fn run(&self, _: ObjectContext<'_>, run: Json<Detached>) -> Result<(), HandlerError> {
        let Json(run) = run;
        Ok(self.0.host(run).await?)
    }
}

/// An attempt that was interrupted is no answer: the engine starts it on another worker.
fn finished(answer: AttemptResponse) -> Result<AttemptResponse, HandlerError> {
    match answer {
        AttemptResponse::Interrupted => Err("the worker is stopping".into()),
        answer => Ok(answer),
    }
}
