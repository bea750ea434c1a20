//! Slots: the workers and the units of named limits that bodies hold while they run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::model::{NodeId, TaskSpec};

/// An entry of the ready queue, the greatest first: by priority, then by the length of the longest chain that waits for
/// it, then by the tie-breaker, then in the order of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ready {
    pub(crate) priority: i32,
    pub(crate) depth: u32,
    /// Different for each process that shares the work, so they do not all start with the same task.
    pub(crate) tie_breaker: u32,
    pub(crate) node: Reverse<NodeId>,
}

#[derive(Debug)]
struct Limit {
    name: String,
    free: i64,
    /// Ready tasks that need more units than are free, each with its units.
    parked: BinaryHeap<(Ready, i64)>,
}

/// The free workers and limits. Negative while a body runs that resumed over the limits.
#[derive(Debug)]
pub(crate) struct Slots {
    free_workers: i64,
    limits: Vec<Limit>,
}

impl Slots {
    pub(crate) fn new(workers: usize, limits: &BTreeMap<String, u32>) -> Self {
        let limits = limits.iter().map(|(name, &free)| Limit {
            name: name.clone(),
            free: i64::from(free),
            parked: BinaryHeap::new(),
        });
        Slots {
            free_workers: i64::try_from(workers).unwrap_or(i64::MAX),
            limits: limits.collect(),
        }
    }

    pub(crate) fn has_worker(&self) -> bool {
        self.free_workers > 0
    }

    /// Returns the first limit of which a task needs more than is free.
    pub(crate) fn missing_limit(&self, spec: &TaskSpec) -> Option<usize> {
        spec.uses.iter().find_map(|&(name, units)| {
            self.limits
                .iter()
                .position(|limit| limit.name == name && limit.free < i64::from(units))
        })
    }

    pub(crate) fn take(&mut self, spec: &TaskSpec) {
        self.free_workers -= 1;
        for &(name, units) in spec.uses {
            if let Some(at) = self.position(name) {
                self.limits[at].free -= i64::from(units);
            }
        }
    }

    /// Frees what a task holds, and returns the parked tasks for which there is enough now.
    pub(crate) fn release(&mut self, spec: &TaskSpec) -> Vec<Ready> {
        self.free_workers += 1;
        let mut ready = Vec::new();
        for &(name, units) in spec.uses {
            if let Some(at) = self.position(name) {
                self.limits[at].free += i64::from(units);
                self.unpark(at, &mut ready);
            }
        }
        ready
    }

    /// Parks a ready task at the limit that it lacks, and returns tasks that its other limits can wake.
    pub(crate) fn park(
        &mut self,
        task: Ready,
        spec: &TaskSpec,
        missing_limit: usize,
    ) -> Vec<Ready> {
        let units = spec
            .uses
            .iter()
            .find(|(name, _)| *name == self.limits[missing_limit].name)
            .map_or(0, |(_, units)| i64::from(*units));
        self.limits[missing_limit].parked.push((task, units));
        self.wake_waiters(spec, Some(missing_limit))
    }

    /// Returns the tasks to wake at the limits of a task that cannot use them, because it lacks `missing_limit`. Each of
    /// them moves to a limit that it lacks itself, so this ends.
    pub(crate) fn wake_waiters(
        &mut self,
        spec: &TaskSpec,
        missing_limit: Option<usize>,
    ) -> Vec<Ready> {
        let mut ready = Vec::new();
        for &(name, _) in spec.uses {
            if let Some(at) = self.position(name).filter(|&at| Some(at) != missing_limit) {
                self.unpark(at, &mut ready);
            }
        }
        ready
    }

    pub(crate) fn forget_parked(&mut self) {
        for limit in &mut self.limits {
            limit.parked.clear();
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.limits.iter().position(|limit| limit.name == name)
    }

    /// Wakes the parked tasks for which there is enough of a limit.
    fn unpark(&mut self, at: usize, ready: &mut Vec<Ready>) {
        let limit = &mut self.limits[at];
        let mut free = limit.free;
        while let Some((_, wanted)) = limit.parked.peek().filter(|(_, wanted)| *wanted <= free) {
            free -= wanted;
            ready.extend(limit.parked.pop().map(|(task, _)| task));
        }
    }
}
