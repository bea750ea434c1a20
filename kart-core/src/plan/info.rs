//! One task of a plan, an event or a report.

use std::fmt;

use super::graph::{Graph, describe};
use crate::key::Key;
use crate::model::{AnyTask, NodeId, TaskSpec, shown_params};

/// One task of a plan, of a report, or that an event is about. Its parts are found when asked for, so that what
/// nobody reads costs nothing.
#[derive(Clone, Copy)]
pub struct TaskInfo<'a> {
    graph: &'a Graph,
    id: NodeId,
}

impl fmt::Debug for TaskInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.description(), self.key())
    }
}

impl<'a> TaskInfo<'a> {
    pub(crate) fn new(graph: &'a Graph, id: NodeId) -> Self {
        TaskInfo { graph, id }
    }

    /// The task's stable name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.spec().name
    }

    /// What is known of the task apart from its parameters' values.
    #[must_use]
    pub fn spec(&self) -> &'static TaskSpec {
        self.graph.node(self.id).task.spec()
    }

    /// The task's key.
    #[must_use]
    pub fn key(&self) -> Key {
        self.graph.node(self.id).key
    }

    /// Where the output goes, relative to the workspace.
    #[must_use]
    pub fn path(&self) -> String {
        self.graph.node(self.id).path().unwrap_or_default()
    }

    /// The task with its parameters.
    #[must_use]
    pub fn description(&self) -> String {
        describe(self.graph.node(self.id).task.as_ref())
    }

    /// The parameters as JSON, as they may be shown: secrets are `***`, and those that are tasks are left out.
    #[must_use]
    pub fn params(&self) -> serde_json::Map<String, serde_json::Value> {
        shown_params(self.graph.node(self.id).task.as_ref())
    }

    /// The task itself.
    #[must_use]
    pub fn task(&self) -> AnyTask {
        AnyTask::new(std::sync::Arc::clone(&self.graph.node(self.id).task))
    }

    /// Its place in its plan or report, from 0; smaller than the plan's length.
    #[must_use]
    pub fn index(&self) -> usize {
        self.id.index()
    }

    /// What it requires, in order, as often as it is named.
    #[must_use]
    pub fn requires(&self) -> Vec<TaskInfo<'a>> {
        let mut requires = Vec::new();
        let graph = self.graph;
        graph
            .node(self.id)
            .for_each_requirement(|id| requires.push(TaskInfo { graph, id }));
        requires
    }
}
