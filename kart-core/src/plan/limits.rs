//! What bounds an expansion, and what others see of it meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::graph::describe;
use crate::error::{Error, interrupted};
use crate::model::{DynTask, StopToken};

/// How many tasks a graph may have by default.
pub(crate) const MAX_TASKS: usize = 10_000_000;

/// What ends an expansion that has no end of its own.
#[derive(Clone, Debug)]
pub(crate) struct ExpandLimits {
    /// How many tasks the graph may have, and how many one task may require.
    pub(crate) max_tasks: usize,
    pub(crate) stop: StopToken,
    pub(crate) progress: Arc<ExpandProgress>,
}

impl Default for ExpandLimits {
    fn default() -> Self {
        ExpandLimits {
            max_tasks: MAX_TASKS,
            stop: StopToken::new(),
            progress: Arc::default(),
        }
    }
}

/// How far an expansion is.
#[derive(Debug, Default)]
pub(crate) struct ExpandProgress {
    tasks: AtomicUsize,
    newest: Mutex<Option<Arc<dyn DynTask>>>,
}

/// Of so many tasks each is shown, of more every 256th.
const SHOWN_EACH: usize = 1024;

impl ExpandProgress {
    /// Notes that the graph has so many tasks now, and which is the newest.
    pub(super) fn note(&self, tasks: usize, newest: &Arc<dyn DynTask>) {
        self.tasks.store(tasks, Ordering::Relaxed);
        if tasks <= SHOWN_EACH || tasks.is_multiple_of(256) {
            let mut shown = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            *shown = Some(Arc::clone(newest));
        }
    }

    /// Returns how many tasks there are so far.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.load(Ordering::Relaxed)
    }

    /// Returns the newest task with its parameters, or one of the newest.
    pub(crate) fn newest(&self) -> Option<String> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = newest.clone();
        newest.map(|task| describe(task.as_ref()))
    }
}

/// An expansion that is this short comes to its end although it is to stop, so that the run can say what is left.
const SHORT_TASKS: usize = 1024;
const SHORT_TIME: Duration = Duration::from_millis(100);

/// How much of its limits an expansion has used.
pub(super) struct Meter<'l> {
    limits: &'l ExpandLimits,
    started: Instant,
    /// How many tasks have been named, again or not.
    named: usize,
    /// How many tasks the requirement that is being evaluated has named.
    within: Option<usize>,
}

impl<'l> Meter<'l> {
    pub(super) fn new(limits: &'l ExpandLimits) -> Self {
        Meter {
            limits,
            started: Instant::now(),
            named: 0,
            within: None,
        }
    }

    /// Begins a requirement.
    pub(super) fn begin(&mut self) {
        self.within = Some(0);
    }

    pub(super) fn end(&mut self) {
        self.within = None;
    }

    pub(super) fn is_within_requirement(&self) -> bool {
        self.within.is_some()
    }

    /// Counts a task that is named.
    ///
    /// # Errors
    ///
    /// The expansion is to stop, or the requirement names too many.
    pub(super) fn count(&mut self, task: &Arc<dyn DynTask>) -> Result<(), Error> {
        self.named += 1;
        self.within = self.within.map(|within| within + 1);
        let is_short = || self.named < SHORT_TASKS && self.started.elapsed() < SHORT_TIME;
        if self.limits.stop.is_stopping() && !is_short() {
            return Err(interrupted().into());
        }
        if self.within > Some(self.limits.max_tasks) {
            return Err(self.too_many(task));
        }
        Ok(())
    }

    /// Returns `true` if a graph of so many tasks may have one more.
    pub(super) fn has_room(&self, tasks: usize) -> bool {
        tasks < self.limits.max_tasks
    }

    pub(super) fn too_many(&self, newest: &Arc<dyn DynTask>) -> Error {
        Error::TooManyTasks {
            max_tasks: self.limits.max_tasks,
            newest: describe(newest.as_ref()),
        }
    }

    pub(super) fn note(&self, tasks: usize, newest: &Arc<dyn DynTask>) {
        self.limits.progress.note(tasks, newest);
    }
}
