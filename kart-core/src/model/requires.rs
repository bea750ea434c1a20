//! What a required parameter may name: tasks, and collections of them, for the values they make.
//!
//! One trait, [`Requires`], with a marker for each shape, so that the compiler finds the shape from
//! the parameter's type and the expression's, and says where the two do not fit. An expression is
//! taken apart once, while planning; what stays is the shape ([`Req`]) and two function pointers
//! that know the types.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::artifact::{Artifact, Handle};
use super::dep::Dep;
use super::task::{DynTask, Erased, Task};
use crate::error::BoxError;
use crate::key::canonical;

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
    keys: Arc<dyn Any + Send + Sync>,
    /// The keys as members of a JSON object, in the same order.
    pub(crate) names: Box<[Box<str>]>,
    pub(crate) values: Box<[Req]>,
}

/// A [`Dep`] within an expression: its own shape, and the functions that know its type.
#[derive(Debug)]
pub struct ChosenReq {
    pub(crate) req: Req,
    want: WantFn,
    /// A `TakeFns<P>`.
    take: Arc<dyn Any + Send + Sync>,
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
            Req::Chosen(chosen) => Req::Chosen(Box::new(ChosenReq {
                req: chosen.req.map(to),
                want: chosen.want,
                take: Arc::clone(&chosen.take),
            })),
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

type WantFn = fn(&Req, bool, &mut Vec<Want>);
type TakeFn<V> = fn(&Req, &mut Values) -> Result<V, Mismatch>;

/// What can be required for a value of type `V`: a task for its output; anything iterable of these
/// for a `Vec`; an `Option`; an iterable of pairs for a `BTreeMap`; tuples up to 8; a [`Dep`]; and
/// nestings. `Marker` is found by the compiler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a required `{V}` is made from",
    label = "expected tasks whose outputs make a `{V}`",
    note = "a task gives its output `T` (or `Artifact<T>`), an iterable of tasks a `Vec<T>`, an `Option` of a task an `Option<T>`, an iterable of `(K, task)` a `BTreeMap<K, T>`, a tuple of tasks a tuple, `Dep<T>` a `T`"
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
/// Marker: a [`Dep`].
#[derive(Debug)]
pub struct Chosen;
/// Marker: a value shared between its consumers.
#[derive(Debug)]
pub struct Shared<M>(M);

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

fn want_one(req: &Req, how: How, wants: &mut Vec<Want>) {
    if let Req::Task(node) = req {
        wants.push(Want { node: *node, how });
    }
}

fn take_one(req: &Req, values: &mut Values) -> Result<Value, Mismatch> {
    match req {
        Req::Task(_) => values.next().ok_or(Mismatch),
        _ => Err(Mismatch),
    }
}

impl<I, V, M> Requires<Vec<V>, Many<M>> for I
where
    I: IntoIterator,
    I::Item: Requires<V, M>,
{
    fn expand(self, intern: &mut dyn Intern) -> Req {
        Req::List(self.into_iter().map(|item| item.expand(intern)).collect())
    }

    fn want(req: &Req, _: bool, wants: &mut Vec<Want>) {
        if let Req::List(items) = req {
            wants.reserve(items.len());
            for item in items {
                I::Item::want(item, false, wants);
            }
        }
    }

    fn take(req: &Req, values: &mut Values) -> Result<Vec<V>, Mismatch> {
        match req {
            Req::List(items) => items
                .iter()
                .map(|item| I::Item::take(item, values))
                .collect(),
            _ => Err(Mismatch),
        }
    }
}

impl<X, V, M> Requires<Option<V>, Maybe<M>> for Option<X>
where
    X: Requires<V, M>,
{
    fn expand(self, intern: &mut dyn Intern) -> Req {
        self.map_or(Req::Null, |item| item.expand(intern))
    }

    fn want(req: &Req, _: bool, wants: &mut Vec<Want>) {
        if !matches!(req, Req::Null) {
            X::want(req, false, wants);
        }
    }

    fn take(req: &Req, values: &mut Values) -> Result<Option<V>, Mismatch> {
        match req {
            Req::Null => Ok(None),
            req => X::take(req, values).map(Some),
        }
    }
}

impl<I, K, X, V, M> Requires<BTreeMap<K, V>, Keyed<M>> for I
where
    I: IntoIterator<Item = (K, X)>,
    K: Ord + Clone + Serialize + Send + Sync + 'static,
    X: Requires<V, M>,
{
    fn expand(self, intern: &mut dyn Intern) -> Req {
        let members: BTreeMap<K, X> = self.into_iter().collect();
        let keys: Vec<K> = members.keys().cloned().collect();
        let names = keys.iter().map(member_name).collect();
        let values = members
            .into_values()
            .map(|item| item.expand(intern))
            .collect();
        Req::Map(Box::new(MapReq {
            keys: Arc::new(keys),
            names,
            values,
        }))
    }

    fn want(req: &Req, _: bool, wants: &mut Vec<Want>) {
        if let Req::Map(map) = req {
            for item in &map.values {
                X::want(item, false, wants);
            }
        }
    }

    fn take(req: &Req, values: &mut Values) -> Result<BTreeMap<K, V>, Mismatch> {
        let Req::Map(map) = req else {
            return Err(Mismatch);
        };
        let keys: &Vec<K> = map.keys.downcast_ref().ok_or(Mismatch)?;
        keys.iter()
            .zip(&map.values)
            .map(|(key, item)| Ok((key.clone(), X::take(item, values)?)))
            .collect()
    }
}

/// A map's key as the name of a JSON member: strings as they are, anything else as its JSON text.
fn member_name<K: Serialize>(key: &K) -> Box<str> {
    let text = match serde_json::to_value(key) {
        Ok(serde_json::Value::String(text)) => text,
        _ => canonical::to_vec(key)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default(),
    };
    text.into_boxed_str()
}

macro_rules! tuple {
    ($($x:ident $v:ident $m:ident $i:tt),+) => {
        impl<$($x, $v, $m),+> Requires<($($v,)+), Each<($($m,)+)>> for ($($x,)+)
        where
            $($x: Requires<$v, $m>),+
        {
            fn expand(self, intern: &mut dyn Intern) -> Req {
                Req::List(Box::new([$(self.$i.expand(intern)),+]))
            }

            fn want(req: &Req, _: bool, wants: &mut Vec<Want>) {
                if let Req::List(items) = req {
                    $(if let Some(item) = items.get($i) {
                        $x::want(item, false, wants);
                    })+
                }
            }

            fn take(req: &Req, values: &mut Values) -> Result<($($v,)+), Mismatch> {
                let Req::List(items) = req else {
                    return Err(Mismatch);
                };
                Ok(($($x::take(items.get($i).ok_or(Mismatch)?, values)?,)+))
            }
        }
    };
}

tuple!(X0 V0 M0 0);
tuple!(X0 V0 M0 0, X1 V1 M1 1);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2, X3 V3 M3 3);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2, X3 V3 M3 3, X4 V4 M4 4);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2, X3 V3 M3 3, X4 V4 M4 4, X5 V5 M5 5);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2, X3 V3 M3 3, X4 V4 M4 4, X5 V5 M5 5, X6 V6 M6 6);
tuple!(X0 V0 M0 0, X1 V1 M1 1, X2 V2 M2 2, X3 V3 M3 3, X4 V4 M4 4, X5 V5 M5 5, X6 V6 M6 6, X7 V7 M7 7);

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

/// The functions that know the type of what a [`Dep`] was made from.
pub(crate) struct TakeFns<P> {
    pub(crate) want: WantFn,
    take: TakeFn<P>,
    take_shared: TakeFn<Arc<P>>,
}

impl<P> Clone for TakeFns<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for TakeFns<P> {}

impl<P> std::fmt::Debug for TakeFns<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TakeFns")
    }
}

impl<P> TakeFns<P> {
    pub(crate) fn of<X: Requires<P, M>, M>() -> Self {
        TakeFns {
            want: X::want,
            take: X::take,
            take_shared: X::take_shared,
        }
    }
}

impl<P: Send + Sync + 'static> TakeFns<P> {
    /// For one task of whichever type whose output is exactly a `P`.
    pub(crate) fn one<O>() -> Self
    where
        P: TakenFrom<O>,
    {
        TakeFns {
            want: |req, shared, wants| {
                want_one(req, if shared { P::SHARED } else { P::ALONE }, wants);
            },
            take: |req, values| {
                take_one(req, values).and_then(|value| P::from_value(value).ok_or(Mismatch))
            },
            take_shared: |req, values| {
                take_one(req, values).and_then(|value| P::from_value_shared(value).ok_or(Mismatch))
            },
        }
    }
}

impl<P: Send + Sync + 'static> Requires<P, Chosen> for Dep<P> {
    fn expand(self, intern: &mut dyn Intern) -> Req {
        let nodes: Vec<NodeId> = self
            .tasks()
            .iter()
            .map(|task| intern.intern(Arc::clone(task)))
            .collect();
        let fns = self.take_fns();
        Req::Chosen(Box::new(ChosenReq {
            req: self.req().map(&|place| nodes[place.index()]),
            want: fns.want,
            take: Arc::new(fns),
        }))
    }

    fn want(req: &Req, shared: bool, wants: &mut Vec<Want>) {
        if let Req::Chosen(chosen) = req {
            (chosen.want)(&chosen.req, shared, wants);
        }
    }

    fn take(req: &Req, values: &mut Values) -> Result<P, Mismatch> {
        let (chosen, fns) = chosen_fns::<P>(req)?;
        (fns.take)(&chosen.req, values)
    }

    fn take_shared(req: &Req, values: &mut Values) -> Result<Arc<P>, Mismatch> {
        let (chosen, fns) = chosen_fns::<P>(req)?;
        (fns.take_shared)(&chosen.req, values)
    }
}

fn chosen_fns<P: 'static>(req: &Req) -> Result<(&ChosenReq, &TakeFns<P>), Mismatch> {
    let Req::Chosen(chosen) = req else {
        return Err(Mismatch);
    };
    let fns = chosen.take.downcast_ref().ok_or(Mismatch)?;
    Ok((chosen, fns))
}

/// One required parameter of one task, taken apart.
#[derive(Debug)]
pub(crate) struct Requirement {
    pub(crate) name: &'static str,
    pub(crate) req: Req,
    pub(crate) want: fn(&Req, &mut Vec<Want>),
    pub(crate) take: fn(&Req, &mut Values) -> Result<Box<dyn Any + Send>, BoxError>,
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
