//! A task for its output.

use std::sync::Arc;

use super::shape::{How, Intern, Mismatch, Req, Value, Values, Want};
use super::{One, Requires};
use crate::model::artifact::Artifact;
use crate::model::task::Task;

/// How a parameter takes the output `O` of one task.
#[diagnostic::on_unimplemented(
    message = "the task's output is a `{O}`, but the parameter is a `{Self}`",
    label = "this task's output is a `{O}`"
)]
pub trait TakenFrom<O>: Sized {
    #[doc(hidden)]
    const ALONE: How;
    #[doc(hidden)]
    const SHARED: How;
    #[doc(hidden)]
    fn from_value(value: Value) -> Option<Self>;
    #[doc(hidden)]
    fn from_value_shared(value: Value) -> Option<Arc<Self>>;
}

impl<T: Send + Sync + 'static> TakenFrom<T> for T {
    const ALONE: How = How::Owned;
    const SHARED: How = How::Shared;

    fn from_value(value: Value) -> Option<Self> {
        Self::from_value_shared(value).and_then(Arc::into_inner)
    }

    fn from_value_shared(value: Value) -> Option<Arc<Self>> {
        match value {
            Value::Output(output) => output.downcast().ok(),
            Value::Handle(_) => None,
        }
    }
}

impl<T: Send + Sync + 'static> TakenFrom<T> for Artifact<T> {
    const ALONE: How = How::Handle;
    const SHARED: How = How::Handle;

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Handle(handle) => Some(Artifact::new(handle)),
            Value::Output(_) => None,
        }
    }

    fn from_value_shared(value: Value) -> Option<Arc<Self>> {
        <Self as TakenFrom<T>>::from_value(value).map(Arc::new)
    }
}

impl<T: Task, V: TakenFrom<T::Output>> Requires<V, One> for T {
    fn expand(self, intern: &mut dyn Intern) -> Req {
        Req::Task(intern.intern(Arc::new(self)))
    }

    fn want(req: &Req, shared: bool, wants: &mut Vec<Want>) {
        want_one(req, if shared { V::SHARED } else { V::ALONE }, wants);
    }

    fn take(req: &Req, values: &mut Values) -> Result<V, Mismatch> {
        take_one(req, values).and_then(|value| V::from_value(value).ok_or(Mismatch))
    }

    fn take_shared(req: &Req, values: &mut Values) -> Result<Arc<V>, Mismatch> {
        take_one(req, values).and_then(|value| V::from_value_shared(value).ok_or(Mismatch))
    }
}

pub(super) fn want_one(req: &Req, how: How, wants: &mut Vec<Want>) {
    if let Req::Task(node) = req {
        wants.push(Want { node: *node, how });
    }
}

pub(super) fn take_one(req: &Req, values: &mut Values) -> Result<Value, Mismatch> {
    match req {
        Req::Task(_) => values.next().ok_or(Mismatch),
        _ => Err(Mismatch),
    }
}
