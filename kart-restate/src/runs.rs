//! Runs that are left to the workers: one hosts the run, and another goes on where it is lost. Such a run is like any
//! other that orders by the engine; what it has ordered and what it has complete are found again by all who go on.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

use kart_core::{
    AnyTask, BoxError, Coordination, Counts, OnCodeChange, OnTypeChange, RunError, Runner,
    StopToken, chain, permanent, registry,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::batch::Batch;
use crate::engine::Connect;
use crate::error::RestateError;

/// The claim of a host that was lost has lapsed by then.
const SUCCESSION: Duration = Duration::from_mins(10);

/// How a run that is left to the workers goes about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ways {
    /// How many tasks are under way at once.
    pub workers: usize,
    /// The units that all workers together share.
    pub limits: BTreeMap<String, u32>,
    /// Whether the first failure keeps everything else from starting.
    pub fail_fast: bool,
    /// How it and other runs keep out of each other's way.
    #[serde(default)]
    pub coordination: Coordination,
    /// What to do about outputs that other code made.
    #[serde(default)]
    pub on_code_change: OnCodeChange,
    /// What to do about outputs with fields that their type does not have.
    #[serde(default)]
    pub on_type_change: OnTypeChange,
    /// How long a host may be silent before others take over; as the host has it unless said otherwise.
    pub ttl: Option<Duration>,
    /// When the run stops in good order, whoever hosts it then.
    pub deadline: Option<SystemTime>,
}

impl Ways {
    /// With so many tasks under way, and nothing else.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Ways {
            workers,
            limits: BTreeMap::new(),
            fail_fast: false,
            coordination: Coordination::default(),
            on_code_change: OnCodeChange::default(),
            on_type_change: OnTypeChange::default(),
            ttl: None,
            deadline: None,
        }
    }

    /// The runner of a host, which goes about a run like that.
    fn of_host(self, runner: Runner) -> Runner {
        let runner = runner
            .coordination(self.coordination)
            .on_code_change(self.on_code_change)
            .on_type_change(self.on_type_change)
            .workers(self.workers)
            .limits(self.limits)
            .fail_fast(self.fail_fast)
            // The host's own is none of the run's affair.
            .deadline(self.deadline.map_or(Duration::MAX, left))
            .wait(SUCCESSION);
        match self.ttl {
            Some(ttl) => runner.ttl(ttl),
            None => runner,
        }
    }
}

fn left(deadline: SystemTime) -> Duration {
    let left = deadline.duration_since(SystemTime::now());
    left.unwrap_or_default()
}

/// A run that is left to the workers, as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Detached {
    pub(crate) roots: Vec<Json>,
    pub(crate) workspace: String,
    pub(crate) build: String,
    pub(crate) url: String,
    pub(crate) batch: Option<Batch>,
    pub(crate) ways: Ways,
}

/// What a worker hosts runs with.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) runner: Runner,
    pub(crate) stop: StopToken,
    /// The ingress as it is reached from here, if that is another way than that of who asked.
    pub(crate) url: Option<String>,
    pub(crate) token: Option<String>,
}

impl Host {
    /// Hosts a run to its end. How it went is in the log of runs, and in that of the worker.
    ///
    /// # Errors
    ///
    /// Why it is not at its end, and has to be gone on with, here or by another.
    pub(crate) async fn host(&self, run: Detached) -> Result<(), BoxError> {
        let names: Vec<&str> = run
            .roots
            .iter()
            .filter_map(|root| root["task"].as_str())
            .collect();
        let roots = names.join(", ");
        let deadline = run.ways.deadline;
        tracing::info!(target: "kart", roots, "hosting a run");
        match self.run(run).await {
            Ok(counts) => tracing::info!(target: "kart", roots, %counts, "the run has ended"),
            Err(error) if deadline.is_some_and(|deadline| left(deadline).is_zero()) => {
                let reason = chain(error.as_ref());
                tracing::warn!(target: "kart", roots, reason, "the run has stopped at its deadline");
            }
            Err(error) if is_over(error.as_ref()) => {
                let error = chain(error.as_ref());
                tracing::error!(target: "kart", roots, error, "the run has failed");
            }
            Err(error) => {
                let reason = chain(error.as_ref());
                tracing::warn!(target: "kart", roots, reason, "the run has not ended: it is to be gone on with");
                return Err(error);
            }
        }
        Ok(())
    }

    async fn run(&self, run: Detached) -> Result<Counts, BoxError> {
        let workspace = self.runner.workspace();
        if !workspace.is_same_place(&run.workspace) {
            let (here, there) = (workspace.location(), &run.workspace);
            let reason = format!("the run is of {there}, and this worker works in {here}");
            return Err(permanent(reason).into());
        }
        let build = registry::fingerprint();
        if build != run.build {
            let there = &run.build;
            let reason = format!("the run is of build {there}, this worker of build {build}");
            return Err(permanent(format!("{reason}; run both from one build")).into());
        }
        let roots: Result<Vec<AnyTask>, _> =
            run.roots.into_iter().map(AnyTask::from_json).collect();
        let roots = roots.map_err(permanent)?;
        let mut connect = Connect::new(self.url.clone().unwrap_or(run.url));
        connect.token.clone_from(&self.token);
        connect.batch = run.batch;
        let stop = StopToken::new();
        let runner = self.runner.clone().stop(&stop);
        let runner = run.ways.of_host(runner).executor(connect.connect().await?);
        // Also where the engine has ended it, which drops this future, the run ends in good order and leaves its claim.
        let _stopped = StopsWhenDropped(stop.clone());
        let mut run = tokio::spawn(async move { runner.run_all(roots).await });
        let report = tokio::select! {
            report = &mut run => report,
            () = self.stop.stopped() => {
                stop.stop();
                run.await
            }
        };
        Ok(report??.counts())
    }
}

struct StopsWhenDropped(StopToken);

impl Drop for StopsWhenDropped {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Whether a host could do nothing more.
fn is_over(error: &(dyn StdError + 'static)) -> bool {
    match error.downcast_ref::<RunError>() {
        Some(
            RunError::Interrupted(_)
            | RunError::AlreadyRunning(_)
            | RunError::Store(_)
            | RunError::Runtime(_),
        ) => false,
        Some(_) => true,
        None => !error.is::<RestateError>(),
    }
}
