//! A plan as nodes and edges to be drawn: each task, or, of many, each kind of task.

use std::collections::BTreeMap;

use kart_core::{Plan, Status};

use crate::out::count;

/// A task, or all of one name.
pub(super) struct Node {
    pub(super) label: String,
    pub(super) state: State,
    /// How far it is from what requires nothing.
    pub(super) layer: usize,
    tasks: usize,
    complete: usize,
}

/// What of a node is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Complete,
    Partly,
    Missing,
    Unasked,
}

/// What is drawn. Edges lead from what is required to what requires it.
pub(super) struct Drawing {
    pub(super) nodes: Vec<Node>,
    /// By the places of both ends: for how many requirements it stands.
    pub(super) edges: BTreeMap<(usize, usize), usize>,
}

impl Drawing {
    /// Of more tasks than `expand` those of one name are one node.
    pub(super) fn of(plan: &Plan, expand: usize) -> Self {
        let layers = layers(plan);
        let mut nodes: Vec<Node> = Vec::new();
        let mut at = Vec::with_capacity(plan.len());
        let mut families: BTreeMap<&str, usize> = BTreeMap::new();
        for planned in plan.tasks() {
            let place = if plan.len() <= expand {
                nodes.push(Node::new(planned.task.description()));
                nodes.len() - 1
            } else {
                *families.entry(planned.task.name()).or_insert_with(|| {
                    nodes.push(Node::new(planned.task.name().to_owned()));
                    nodes.len() - 1
                })
            };
            nodes[place].add(planned.need, layers[planned.task.index()]);
            at.push(place);
        }
        let mut edges: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for planned in plan.tasks() {
            let to = at[planned.task.index()];
            for required in planned.task.requires() {
                *edges.entry((at[required.index()], to)).or_default() += 1;
            }
        }
        for node in &mut nodes {
            node.close();
        }
        Drawing { nodes, edges }
    }
}

impl Node {
    fn new(label: String) -> Self {
        Node {
            label,
            state: State::Unasked,
            layer: 0,
            tasks: 0,
            complete: 0,
        }
    }

    fn add(&mut self, need: Status, layer: usize) {
        self.tasks += 1;
        self.complete += usize::from(need.is_complete());
        self.layer = self.layer.max(layer);
        if need.runs() {
            self.state = State::Missing;
        }
    }

    fn close(&mut self) {
        self.state = match self.state {
            State::Missing if self.complete > 0 => State::Partly,
            State::Missing => State::Missing,
            _ if self.complete > 0 => State::Complete,
            state => state,
        };
        if self.tasks > 1 {
            self.label = format!(
                "{} ({}, {} complete)",
                self.label,
                count(self.tasks),
                count(self.complete)
            );
        }
    }
}

/// The longest way from what requires nothing to each task.
fn layers(plan: &Plan) -> Vec<usize> {
    let mut layers: Vec<Option<usize>> = vec![None; plan.len()];
    let mut stack: Vec<(usize, bool)> = plan
        .roots()
        .map(|root| (root.task.index(), false))
        .collect();
    while let Some((index, is_known)) = stack.pop() {
        if layers[index].is_some() {
            continue;
        }
        let requires = plan.task(index).task.requires();
        if is_known {
            let below = requires
                .iter()
                .filter_map(|required| layers[required.index()])
                .max();
            layers[index] = Some(below.map_or(0, |below| below + 1));
        } else {
            stack.push((index, true));
            stack.extend(requires.iter().map(|required| (required.index(), false)));
        }
    }
    layers.into_iter().map(Option::unwrap_or_default).collect()
}
