//! What bounds an expansion, and what others see of it meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::graph::describe;
use crate::model::{DynTask, StopToken};

/// How many tasks a graph may have by default.
pub(crate) const MAX_TASKS: usize = 10_000_000;

/// What ends an expansion that has no end of its own.
#[derive(Clone, Debug)]
pub(crate) struct ExpandLimits {
    /// How many tasks the graph may have, and how many one task may require.
    pub(crate) max_tasks: usize,
    pub(crate) stop: StopToken,
    pub(crate) deadline: Option<Instant>,
    pub(crate) progress: Arc<ExpandProgress>,
}

impl ExpandLimits {
    /// Whether the expansion is to end.
    pub(super) fn must_stop(&self) -> bool {
        let is_late = |deadline: Instant| deadline <= Instant::now();
        self.stop.is_stopping() || self.deadline.is_some_and(is_late)
    }
}

impl Default for ExpandLimits {
    fn default() -> Self {
        ExpandLimits {
            max_tasks: MAX_TASKS,
            stop: StopToken::new(),
            deadline: None,
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
