//! What a required parameter may name: tasks, and collections of them, for the values they make.
//!
//! One trait, [`Requires`], with a marker for each shape, so that the compiler finds the shape from
//! the parameter's type and the expression's, and says where the two do not fit. An expression is
//! taken apart once, while planning; what stays is the shape ([`Req`]) and two function pointers
//! that know the types.

mod chosen;
mod collections;
mod one;
mod shape;

use std::any::Any;
use std::sync::Arc;

use crate::error::BoxError;

pub(crate) use chosen::TakeFns;
pub(crate) use one::TakenFrom;
pub(crate) use shape::Intern;
pub(crate) use shape::{How, Mismatch, NodeId, Req, Value, Values, Want};

/// What can be required for a value of type `V`: a task for its output; anything iterable of these
/// for a `Vec`; an `Option`; an iterable of pairs for a `BTreeMap`; tuples up to 8; a [`Dep`](crate::Dep); and
/// nestings. `Marker` is found by the compiler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a required `{V}` is made from",
    label = "expected tasks whose outputs make a `{V}`",
    note = "a task gives its output `T` (or `Artifact<T>`), an iterable of tasks a `Vec<T>`, an `Option` of a task an `Option<T>`, an iterable of `(K, task)` a `BTreeMap<K, T>`, a tuple of tasks a tuple, `Dep<T>` a `T`; name the task's struct, `Clean {{ day }}`, and do not call its function"
)]
pub trait Requires<V, Marker>: Sized {
    #[doc(hidden)]
    fn expand(self, intern: &mut dyn Intern) -> Req;
    #[doc(hidden)]
    fn want(req: &Req, shared: bool, wants: &mut Vec<Want>);
    #[doc(hidden)]
    fn take(req: &Req, values: &mut Values) -> Result<V, Mismatch>;
    #[doc(hidden)]
    fn take_shared(req: &Req, values: &mut Values) -> Result<Arc<V>, Mismatch> {
        Self::take(req, values).map(Arc::new)
    }
}

/// Marker: a task for its output.
#[derive(Debug)]
pub struct One;
/// Marker: an iterable for a `Vec`.
#[derive(Debug)]
pub struct Many<M>(M);
/// Marker: an `Option`.
#[derive(Debug)]
pub struct Maybe<M>(M);
/// Marker: an iterable of pairs for a `BTreeMap`.
#[derive(Debug)]
pub struct Keyed<M>(M);
/// Marker: a tuple.
#[derive(Debug)]
pub struct Each<M>(M);
/// Marker: a [`Dep`](crate::Dep).
#[derive(Debug)]
pub struct Chosen;
/// Marker: a value shared between its consumers.
#[derive(Debug)]
pub struct Shared<M>(M);

impl<X, V, M> Requires<Arc<V>, Shared<M>> for X
where
    X: Requires<V, M>,
{
    fn expand(self, intern: &mut dyn Intern) -> Req {
        X::expand(self, intern)
    }

    fn want(req: &Req, _: bool, wants: &mut Vec<Want>) {
        X::want(req, true, wants);
    }

    fn take(req: &Req, values: &mut Values) -> Result<Arc<V>, Mismatch> {
        X::take_shared(req, values)
    }
}

/// A required value on its way to the body, which knows its type.
pub(crate) type Input = Box<dyn Any + Send>;

/// One required parameter of one task, taken apart.
#[derive(Debug)]
pub(crate) struct Requirement {
    pub(crate) name: &'static str,
    pub(crate) req: Req,
    pub(crate) want: fn(&Req, &mut Vec<Want>),
    pub(crate) take: fn(&Req, &mut Values) -> Result<Input, BoxError>,
}

/// Collects a task's required parameters in the order of their names.
pub struct Requirements<'a> {
    intern: &'a mut dyn Intern,
    collected: Vec<Requirement>,
}

impl std::fmt::Debug for Requirements<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.collected).finish()
    }
}

impl<'a> Requirements<'a> {
    pub(crate) fn new(intern: &'a mut dyn Intern) -> Self {
        Requirements {
            intern,
            collected: Vec::new(),
        }
    }

    /// A parameter of type `V`, made from what `requirement` names.
    pub fn require<V, M, X>(&mut self, name: &'static str, requirement: X)
    where
        V: Send + 'static,
        X: Requires<V, M>,
    {
        let req = requirement.expand(self.intern);
        self.collected.push(Requirement {
            name,
            req,
            want: |req, wants| X::want(req, false, wants),
            take: |req, values| Ok(Box::new(X::take(req, values)?)),
        });
    }

    pub(crate) fn finish(self) -> Box<[Requirement]> {
        self.collected.into_boxed_slice()
    }
}
