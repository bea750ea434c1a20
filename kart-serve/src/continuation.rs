//! Where an interrupted run is handed on.

use std::fmt;
use std::pin::Pin;

use kart_core::{AnyTask, BoxError, RunId};

/// A run that was interrupted, for who lets it go on.
#[derive(Debug)]
#[non_exhaustive]
pub struct Interrupted {
    /// The run.
    pub run: RunId,
    /// What it was to complete.
    pub roots: Vec<AnyTask>,
    /// The same for the same roots, as 32 hex digits; the one root's key where it is one.
    pub key: String,
    /// Which run in a row it was, from 0: what the caller said in `X-Kart-Attempt`.
    pub attempt: u32,
}

/// What [`Continuation::hand_on`] gives.
pub type HandedOn<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

/// Sees to it that an interrupted run goes on: by a queue, by another service.
///
/// Where it says that it did, the request is answered with 200 instead of 503, since there is nothing left to
/// repeat for the caller.
pub trait Continuation: fmt::Debug + Send + Sync {
    /// Hands the run on.
    fn hand_on<'a>(&'a self, interrupted: &'a Interrupted) -> HandedOn<'a>;
}
