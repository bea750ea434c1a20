//! What a run would do, and why.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::graph::{Graph, node_id};
use super::info::TaskInfo;
use super::survey::{Status, check_outputs};
use crate::error::Error;
use crate::key::Key;
use crate::workspace::Workspace;

/// What a run would do, and why; nothing was written.
///
/// That of a run which goes on, of [`Event::Planned`](crate::Event::Planned), tells of its begin. Tasks that bodies ask
/// for later come to it as they are asked for, as [`Status::Missing`].
#[derive(Clone)]
pub struct Plan {
    graph: Arc<Graph>,
    needs: Arc<[Status]>,
    /// How long tasks may take, by their names.
    expected: Arc<HashMap<&'static str, Duration>>,
    reruns: Arc<[OpenRerun]>,
}

/// A rerun that an earlier run of the roots has begun and not finished: the next run resumes it, or drops it with
/// [`Runner::abandon_reruns`](crate::Runner::abandon_reruns).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenRerun {
    /// The tasks that it began with, for people.
    pub tasks: String,
    /// When it began.
    pub since: SystemTime,
    /// How many outputs are made for it.
    pub made: usize,
    /// How many outputs are to be made for it, with those that are.
    pub reached: usize,
}

/// One task of a [`Plan`].
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// The task.
    pub task: TaskInfo<'a>,
    /// Why it runs, or not.
    pub need: Status,
    /// How long it may take, by the run log.
    pub expected: Option<Duration>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("tasks", &self.len())
            .field("runs", &self.runs())
            .field("complete", &self.count(Status::Complete))
            .finish_non_exhaustive()
    }
}

impl Plan {
    pub(crate) fn new(
        graph: Arc<Graph>,
        needs: impl Into<Arc<[Status]>>,
        expected: HashMap<&'static str, Duration>,
    ) -> Self {
        Plan {
            graph,
            needs: needs.into(),
            expected: expected.into(),
            reruns: Arc::default(),
        }
    }

    pub(crate) fn with_reruns(self, reruns: Vec<OpenRerun>) -> Self {
        Plan {
            reruns: reruns.into(),
            ..self
        }
    }

    /// Returns the unfinished reruns of the roots, the oldest first. Those that the runner would begin are not among them.
    #[must_use]
    pub fn reruns(&self) -> &[OpenRerun] {
        &self.reruns
    }

    /// The same plan with the state of those tasks too that nothing missing needs: what of them is there.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub async fn look(self, workspace: &Workspace) -> Result<Self, Error> {
        let mut needs = self.needs.to_vec();
        let unasked = self
            .graph
            .ids()
            .filter(|id| needs[id.index()] == Status::NotNeeded);
        let found = check_outputs(&self.graph, unasked.collect(), workspace).await?;
        for (id, need) in found.statuses {
            needs[id.index()] = need;
        }
        Ok(Plan {
            needs: needs.into(),
            ..self
        })
    }

    /// How many tasks there are in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.graph.len()
    }

    /// Whether there is no task at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.graph.is_empty()
    }

    /// How many tasks have that need.
    #[must_use]
    pub fn count(&self, need: Status) -> usize {
        self.needs.iter().filter(|other| **other == need).count()
    }

    /// How many tasks would run.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.needs.iter().filter(|need| need.runs()).count()
    }

    /// All tasks, each once, in the order of their [places](TaskInfo::index). An external task that is missing is
    /// among them: nothing can run it.
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = Planned<'_>> {
        (0..self.len()).map(|index| self.task(index))
    }

    /// The task at that place.
    ///
    /// # Panics
    ///
    /// There is no such place.
    #[must_use]
    pub fn task(&self, index: usize) -> Planned<'_> {
        let task = TaskInfo::new(&self.graph, node_id(index));
        Planned {
            task,
            need: self.needs.get(index).copied().unwrap_or(Status::Missing),
            expected: self.expected.get(task.name()).copied(),
        }
    }

    /// The tasks that were asked for.
    pub fn roots(&self) -> impl Iterator<Item = Planned<'_>> {
        self.graph.roots.iter().map(|root| self.task(root.index()))
    }

    /// The task of that key.
    #[must_use]
    pub fn find(&self, key: Key) -> Option<Planned<'_>> {
        Some(self.task(self.graph.find(key)?.index()))
    }

    /// The chain of tasks that would run which takes longest, each required by the next, as far as the run log
    /// tells; tasks that it does not know take no time. And how long it takes.
    ///
    /// Linear in tasks and requirements.
    #[must_use]
    pub fn critical_path(&self) -> (Vec<Planned<'_>>, Duration) {
        let mut ends: Vec<Option<(Duration, Option<usize>)>> = vec![None; self.len()];
        let mut stack: Vec<(usize, bool)> = self
            .roots()
            .map(|root| (root.task.index(), false))
            .collect();
        while let Some((index, is_known)) = stack.pop() {
            let planned = self.task(index);
            if ends[index].is_some() || !planned.need.runs() {
                continue;
            }
            let requires = planned.task.requires();
            if !is_known {
                stack.push((index, true));
                stack.extend(requires.iter().map(|required| (required.index(), false)));
                continue;
            }
            let last = requires
                .iter()
                .filter_map(|required| Some((ends[required.index()]?.0, required.index())))
                .max();
            let end =
                last.map_or(Duration::ZERO, |(end, _)| end) + planned.expected.unwrap_or_default();
            ends[index] = Some((end, last.map(|(_, before)| before)));
        }
        let last = self
            .roots()
            .filter_map(|root| Some((ends[root.task.index()]?.0, root.task.index())));
        let Some((whole, last)) = last.max() else {
            return (Vec::new(), Duration::ZERO);
        };
        let before = |index: &usize| ends[*index].and_then(|(_, before)| before);
        let mut path: Vec<_> = std::iter::successors(Some(last), before)
            .map(|index| self.task(index))
            .collect();
        path.reverse();
        (path, whole)
    }
}
