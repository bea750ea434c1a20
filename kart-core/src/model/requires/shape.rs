//! What stays of a requirement's expression: the tasks in their places, and what is wanted of them.

use std::any::Any;
use std::sync::Arc;

use super::chosen::ChosenReq;
use crate::model::artifact::Handle;
use crate::model::task::{DynTask, Erased};

/// A task's place in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where required tasks are gathered: a graph, or a [`Dep`].
pub trait Intern {
    #[doc(hidden)]
    fn intern(&mut self, task: Arc<dyn DynTask>) -> NodeId;
    /// The requirement makes no sense, for this reason.
    #[doc(hidden)]
    fn refuse(&mut self, reason: String);
}

/// The shape of one required parameter, with its tasks in their places.
#[derive(Debug)]
pub enum Req {
    #[doc(hidden)]
    Task(NodeId),
    #[doc(hidden)]
    List(Box<[Req]>),
    #[doc(hidden)]
    Map(Box<MapReq>),
    #[doc(hidden)]
    Null,
    #[doc(hidden)]
    Chosen(Box<ChosenReq>),
}

/// The members of a required map.
#[derive(Debug)]
pub struct MapReq {
    /// A `Vec<K>` in order.
    pub(super) keys: Arc<dyn Any + Send + Sync>,
    /// The keys as members of a JSON object, in the same order.
    pub(crate) names: Box<[Box<str>]>,
    pub(crate) values: Box<[Req]>,
}

impl Req {
    /// Calls `each` with every task, in order.
    pub(crate) fn for_each(&self, each: &mut impl FnMut(NodeId)) {
        match self {
            Req::Task(node) => each(*node),
            Req::List(items) => items.iter().for_each(|item| item.for_each(each)),
            Req::Map(map) => map.values.iter().for_each(|item| item.for_each(each)),
            Req::Null => {}
            Req::Chosen(chosen) => chosen.req.for_each(each),
        }
    }

    /// The same shape with other tasks in the places.
    pub(crate) fn map(&self, to: &impl Fn(NodeId) -> NodeId) -> Req {
        match self {
            Req::Task(node) => Req::Task(to(*node)),
            Req::List(items) => Req::List(items.iter().map(|item| item.map(to)).collect()),
            Req::Map(map) => Req::Map(Box::new(MapReq {
                keys: Arc::clone(&map.keys),
                names: map.names.clone(),
                values: map.values.iter().map(|item| item.map(to)).collect(),
            })),
            Req::Null => Req::Null,
            Req::Chosen(chosen) => Req::Chosen(Box::new(chosen.map(to))),
        }
    }
}

/// How a value is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Alone: decoded afresh, or moved from its producer.
    Owned,
    /// Together with all other consumers.
    Shared,
    /// Not at all: only a handle to it.
    Handle,
}

/// One value that a body needs before it starts.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    pub(crate) node: NodeId,
    pub(crate) how: How,
}

/// What a [`Want`] became.
#[derive(Debug)]
pub enum Value {
    #[doc(hidden)]
    Output(Erased),
    #[doc(hidden)]
    Handle(Handle),
}

/// The values of one requirement in the order they were wanted.
pub(crate) type Values = std::vec::IntoIter<Value>;

/// The loaded values are not those that the shape asks for.
#[derive(Debug, thiserror::Error)]
#[error("the values loaded for a required parameter do not fit its type: a bug in kart")]
pub struct Mismatch;
