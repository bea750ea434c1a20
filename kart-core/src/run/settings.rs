//! The settings of a run: plain data that every part of the run may read.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::executor::Executor;
use crate::lease::TTL;
use crate::model::{OnTypeChange, Resources, StopToken, Verify};
use crate::plan::{MAX_TASKS, Selector};
use crate::report::Event;
use crate::run_id::RunId;
use crate::workspace::Workspace;

/// The default budget of the output cache, in encoded bytes.
const MEMORY_BUDGET: usize = 256 << 20;

/// The default grace period: container platforms give 10 seconds between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(8);

/// When to first tell how far a long plan is.
pub(crate) const FIRST_NEWS: Duration = Duration::from_secs(1);

/// Returns the pause between two of them that follows `pause`.
pub(crate) fn pause_after(pause: Duration) -> Duration {
    (pause * 2).min(Duration::from_secs(30))
}

pub(crate) type OnEvent = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// How runs on one workspace share or divide the work.
///
/// Outputs are safe in any case: one whose path holds its key never changes once it exists. Coordination avoids doing
/// work twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Coordination {
    /// One run of a root at a time. A second one in the same process waits for the first and uses its outputs. In another
    /// process it gets [`RunError::AlreadyRunning`](crate::RunError::AlreadyRunning) as soon as the holder's heartbeat
    /// shows that it is alive, or [waits](crate::Runner::wait). It takes over from a holder without a heartbeat for one
    /// [ttl](crate::Runner::ttl). Costs five requests for each run that has something to do.
    #[default]
    Exclusive,
    /// Any number of runs share the work: each task runs in one of them, and the others wait for its output. Costs three
    /// requests for each task that runs.
    Shared,
    /// No leases. For runs that are alone and want to save the requests, and for stores that do not support create-only
    /// writes.
    None,
}

/// What to do about complete outputs that other code made than today's, according to the run log: the function's
/// signature or body has changed since, and its `version` has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnCodeChange {
    /// Ignore them.
    Ignore,
    /// Report them, in the events and in the report.
    #[default]
    Warn,
    /// Make them again, and all that depends on them.
    Rerun,
}

/// The settings of one run.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) workspace: Workspace,
    pub(crate) workers: usize,
    pub(crate) limits: BTreeMap<String, u32>,
    pub(crate) resources: Resources,
    pub(crate) memory_budget: usize,
    pub(crate) max_tasks: usize,
    pub(crate) fail_fast: bool,
    pub(crate) deadline: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) stop: StopToken,
    /// The tasks to run again although their output exists.
    pub(crate) rerun: Option<Selector>,
    /// The names of the tasks that discard what they have saved.
    pub(crate) fresh: BTreeSet<String>,
    /// Whether to drop the unfinished reruns of the roots.
    pub(crate) abandons_reruns: bool,
    pub(crate) on_code_change: OnCodeChange,
    pub(crate) verify: Verify,
    pub(crate) on_type_change: OnTypeChange,
    pub(crate) run_log: bool,
    pub(crate) run_id: Option<RunId>,
    pub(crate) coordination: Coordination,
    pub(crate) ttl: Duration,
    pub(crate) wait: Duration,
    pub(crate) executor: Option<Arc<dyn Executor>>,
    pub(crate) on_event: Option<OnEvent>,
}

impl Settings {
    /// Returns the defaults.
    pub(crate) fn new(workspace: &Workspace) -> Self {
        Settings {
            workspace: workspace.clone(),
            workers: std::thread::available_parallelism().map_or(1, NonZero::get),
            limits: BTreeMap::new(),
            resources: Resources::default(),
            memory_budget: MEMORY_BUDGET,
            max_tasks: MAX_TASKS,
            fail_fast: false,
            deadline: None,
            grace: GRACE,
            stop: StopToken::new(),
            rerun: None,
            fresh: BTreeSet::new(),
            abandons_reruns: false,
            on_code_change: OnCodeChange::default(),
            verify: Verify::default(),
            on_type_change: OnTypeChange::default(),
            run_log: true,
            run_id: None,
            coordination: Coordination::default(),
            ttl: TTL,
            wait: Duration::ZERO,
            executor: None,
            on_event: None,
        }
    }
}
