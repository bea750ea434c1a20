//! What a body holds while it runs: a worker, and units of the named limits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::model::{NodeId, TaskSpec};

/// Among ready tasks the greatest goes first: by priority, then by how long a chain of tasks waits
/// on it, then by lot where processes share the work, then in the order of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ready {
    pub(crate) priority: i32,
    pub(crate) depth: u32,
    /// Another for each process that shares the work, so that they don't all begin with the same.
    pub(crate) tie_breaker: u32,
    pub(crate) node: Reverse<NodeId>,
}

#[derive(Debug)]
struct Limit {
    name: String,
    free: i64,
    /// Ready tasks that need more than is free, each with its units.
    parked: BinaryHeap<(Ready, i64)>,
}

/// Workers and limits that are free. Less than nothing is free while a body goes on that could not
/// wait for its turn.
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

    /// The first limit of which a task needs more than is free.
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

    /// Gives back what a task holds: the parked tasks for which there is enough now.
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

    /// Sets a ready task aside until there is more of the limit that it lacks.
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

    /// What a task was made ready for and cannot use, because it lacks `lacking` too, goes to those
    /// that wait for it. A task moves to a limit that it lacks, so this comes to an end.
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

    /// Makes those parked tasks ready for which there is enough of the limit.
    fn unpark(&mut self, at: usize, ready: &mut Vec<Ready>) {
        let limit = &mut self.limits[at];
        let mut free = limit.free;
        while let Some((_, wanted)) = limit.parked.peek().filter(|(_, wanted)| *wanted <= free) {
            free -= wanted;
            ready.extend(limit.parked.pop().map(|(task, _)| task));
        }
    }
}
