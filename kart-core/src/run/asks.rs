//! The tasks that bodies ask for while they run, and the answers that they wait for.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::attempt::Shop;
use crate::error::Error;
use crate::model::{DynTask, NodeId};
use crate::plan::{Graph, Growth};

/// A task that the body of another asks for.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) id: u64,
    pub(super) by: NodeId,
    pub(super) task: Arc<dyn DynTask>,
    pub(super) reply: Reply,
}

/// Where the answer goes: a body that waits no longer does not take it.
pub(super) type Reply = oneshot::Sender<Answer>;
pub(super) type Answer = Result<Expected, Error>;

/// An output that somebody will take; dropped, it is let go.
#[derive(Debug)]
pub(super) struct Expected {
    shop: Arc<Shop>,
    pub(super) node: NodeId,
}

impl Expected {
    pub(super) fn new(shop: &Arc<Shop>, node: NodeId) -> Self {
        shop.handover.expect(node);
        Expected {
            shop: Arc::clone(shop),
            node,
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.shop.handover.release(self.node);
    }
}

/// What bodies wait for.
#[derive(Debug, Default)]
pub(super) struct Asks {
    growth: Option<Growth>,
    waiting: HashMap<NodeId, Vec<Waiting>>,
    bodies: HashMap<NodeId, Body>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    by: NodeId,
    reply: Reply,
    expected: Expected,
}

/// A body that waits.
#[derive(Debug, Default)]
struct Body {
    /// For how many tasks that are not there yet.
    open: usize,
    /// What it can have as soon as its turn comes.
    answers: Vec<(Reply, Answer)>,
}

impl Asks {
    /// The place of the task in the graph, which may grow by it.
    pub(super) fn place(&mut self, graph: &Graph, task: Arc<dyn DynTask>) -> Result<NodeId, Error> {
        let growth = match &mut self.growth {
            Some(growth) => growth,
            none => none.insert(Growth::of(graph)?),
        };
        growth.add(graph, task)
    }

    /// `by` waits for `target` from now on.
    pub(super) fn wait(&mut self, id: u64, by: NodeId, reply: Reply, expected: Expected) {
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
    pub(super) fn bodies_waiting_for(&self, target: NodeId) -> impl Iterator<Item = NodeId> {
        self.waiting
            .get(&target)
            .into_iter()
            .flatten()
            .map(|waiting| waiting.by)
    }

    /// All that bodies wait for.
    pub(super) fn targets(&self) -> Vec<NodeId> {
        let mut targets: Vec<NodeId> = self.waiting.keys().copied().collect();
        targets.sort_unstable();
        targets
    }

    /// `target` is there, or will not be: the bodies that can go on, as far as `whom` names them.
    pub(super) fn settle(
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
    pub(super) fn answer(&mut self, by: NodeId) {
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
    pub(super) fn has_open(&self, by: NodeId) -> bool {
        self.bodies.get(&by).is_some_and(|body| body.open > 0)
    }

    /// Whether the body of `by` waits for anything, its turn included.
    pub(super) fn is_waiting(&self, by: NodeId) -> bool {
        self.bodies.contains_key(&by)
    }

    /// The bodies that could go on if it were their turn.
    pub(super) fn answered(&self) -> Vec<NodeId> {
        let answered = self
            .bodies
            .iter()
            .filter(|(_, body)| !body.answers.is_empty());
        let mut answered: Vec<NodeId> = answered.map(|(by, _)| *by).collect();
        answered.sort_unstable();
        answered
    }

    /// The attempt of `by` is through.
    pub(super) fn forget(&mut self, by: NodeId) {
        self.bodies.remove(&by);
    }

    /// `by` waits for this no longer.
    pub(super) fn withdraw(&mut self, by: NodeId, id: u64) {
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
