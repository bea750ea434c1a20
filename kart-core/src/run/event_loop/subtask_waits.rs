//! The tasks that bodies ask for while they run, and the answers that they wait for.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::error::Error;
use crate::model::{DynTask, NodeId};
use crate::plan::{ExpandLimits, Graph, GraphExtender};
use crate::run::attempt::RunContext;

/// A task that the body of another asks for.
#[derive(Debug)]
pub(crate) struct SubtaskRequest {
    pub(crate) id: u64,
    pub(crate) by: NodeId,
    pub(crate) task: Arc<dyn DynTask>,
    pub(crate) reply: Reply,
}

/// Where the answer goes: a body that waits no longer does not take it.
pub(crate) type Reply = oneshot::Sender<Answer>;
pub(crate) type Answer = Result<Estimate, Error>;

/// An output that somebody will take; dropped, it is let go.
#[derive(Debug)]
pub(crate) struct Estimate {
    run_context: Arc<RunContext>,
    pub(crate) node: NodeId,
}

impl Estimate {
    pub(crate) fn new(run_context: &Arc<RunContext>, node: NodeId) -> Self {
        run_context.outputs.expect(node);
        Estimate {
            run_context: Arc::clone(run_context),
            node,
        }
    }
}

impl Drop for Estimate {
    fn drop(&mut self) {
        self.run_context.outputs.release(self.node);
    }
}

/// What bodies wait for.
#[derive(Debug, Default)]
pub(crate) struct SubtaskWaits {
    growth: Option<GraphExtender>,
    waiting: HashMap<NodeId, Vec<Waiting>>,
    bodies: HashMap<NodeId, Body>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    by: NodeId,
    reply: Reply,
    expected: Estimate,
}

/// A body that waits.
#[derive(Debug, Default)]
struct Body {
    /// For how many tasks that are not there yet.
    open: usize,
    /// What it can have as soon as its turn comes.
    answers: Vec<(Reply, Answer)>,
}

impl SubtaskWaits {
    /// The place of the task in the graph, which may grow by it.
    pub(crate) fn place(
        &mut self,
        graph: &Graph,
        task: Arc<dyn DynTask>,
        limits: &ExpandLimits,
    ) -> Result<NodeId, Error> {
        let growth = match &mut self.growth {
            Some(growth) => growth,
            none => none.insert(GraphExtender::of(graph)?),
        };
        growth.add(graph, task, limits)
    }

    /// `by` waits for `target` from now on.
    pub(crate) fn wait(&mut self, id: u64, by: NodeId, reply: Reply, expected: Estimate) {
        self.bodies.entry(by).or_default().open += 1;
        self.waiting
            .entry(expected.node)
            .or_default()
            .push(Waiting {
                id,
                by,
                reply,
                expected,
            });
    }

    /// The bodies that wait for `target`.
    pub(crate) fn bodies_waiting_for(&self, target: NodeId) -> impl Iterator<Item = NodeId> {
        self.waiting
            .get(&target)
            .into_iter()
            .flatten()
            .map(|waiting| waiting.by)
    }

    /// All that bodies wait for.
    pub(crate) fn targets(&self) -> Vec<NodeId> {
        let mut targets: Vec<NodeId> = self.waiting.keys().copied().collect();
        targets.sort_unstable();
        targets
    }

    /// `target` is there, or will not be: the bodies that can go on, as far as `whom` names them.
    pub(crate) fn settle(
        &mut self,
        target: NodeId,
        error: impl Fn() -> Option<Error>,
        whom: impl Fn(NodeId) -> bool,
    ) -> Vec<NodeId> {
        let Some(waiting) = self.waiting.remove(&target) else {
            return Vec::new();
        };
        let (settled, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|waiting| whom(waiting.by));
        if !rest.is_empty() {
            self.waiting.insert(target, rest);
        }
        let mut can_go_on = Vec::new();
        for Waiting {
            by,
            reply,
            expected,
            ..
        } in settled
        {
            let body = self.bodies.entry(by).or_default();
            body.open = body.open.saturating_sub(1);
            let answer = error().map_or(Ok(expected), Err);
            body.answers.push((reply, answer));
            can_go_on.push(by);
        }
        can_go_on
    }

    /// The turn of `by` has come: it is given all answers that there are.
    pub(crate) fn answer(&mut self, by: NodeId) {
        let Some(body) = self.bodies.get_mut(&by) else {
            return;
        };
        for (reply, answer) in std::mem::take(&mut body.answers) {
            // Who waits no longer takes no answer.
            let _ = reply.send(answer);
        }
        if body.open == 0 {
            self.bodies.remove(&by);
        }
    }

    /// Whether the body of `by` waits for something that is not there yet.
    pub(crate) fn has_open(&self, by: NodeId) -> bool {
        self.bodies.get(&by).is_some_and(|body| body.open > 0)
    }

    /// Whether the body of `by` waits for anything, its turn included.
    pub(crate) fn is_waiting(&self, by: NodeId) -> bool {
        self.bodies.contains_key(&by)
    }

    /// The bodies that could go on if it were their turn.
    pub(crate) fn answered(&self) -> Vec<NodeId> {
        let answered = self
            .bodies
            .iter()
            .filter(|(_, body)| !body.answers.is_empty());
        let mut answered: Vec<NodeId> = answered.map(|(by, _)| *by).collect();
        answered.sort_unstable();
        answered
    }

    /// The attempt of `by` is through.
    pub(crate) fn forget(&mut self, by: NodeId) {
        self.bodies.remove(&by);
    }

    /// `by` waits for this no longer.
    pub(crate) fn withdraw(&mut self, by: NodeId, id: u64) {
        let found = self.waiting.iter_mut().find_map(|(target, waiting)| {
            let at = waiting.iter().position(|waiting| waiting.id == id)?;
            waiting.swap_remove(at);
            Some((*target, waiting.is_empty()))
        });
        let Some((target, is_empty)) = found else {
            return;
        };
        if is_empty {
            self.waiting.remove(&target);
        }
        if let Some(body) = self.bodies.get_mut(&by) {
            body.open = body.open.saturating_sub(1);
            if body.open == 0 && body.answers.is_empty() {
                self.bodies.remove(&by);
            }
        }
    }
}
