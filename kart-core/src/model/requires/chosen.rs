//! A [`Dep`]: its type is known where it was made, and carried along as functions.

use std::any::Any;
use std::sync::Arc;

use super::one::{TakenFrom, take_one, want_one};
use super::shape::{Intern, Mismatch, NodeId, Req, Values, Want};
use super::{Chosen, Requires};
use crate::model::dep::Dep;

/// A [`Dep`] within an expression: its own shape, and the functions that know its type.
#[derive(Debug)]
pub struct ChosenReq {
    pub(crate) req: Req,
    want: WantFn,
    /// A `TakeFns<P>`.
    take: Arc<dyn Any + Send + Sync>,
}

impl ChosenReq {
    /// The same with other tasks in the places.
    pub(super) fn map(&self, to: &impl Fn(NodeId) -> NodeId) -> ChosenReq {
        ChosenReq {
            req: self.req.map(to),
            want: self.want,
            take: Arc::clone(&self.take),
        }
    }
}

type WantFn = fn(&Req, bool, &mut Vec<Want>);
type TakeFn<V> = fn(&Req, &mut Values) -> Result<V, Mismatch>;

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
        if let Some(reason) = self.refused() {
            intern.refuse(reason.clone());
        }
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
