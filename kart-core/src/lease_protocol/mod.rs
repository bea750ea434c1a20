//! Who runs what: the ownership protocol as a state machine. It does no I/O and has no clock; times are
//! durations since a start that only their own process knows.
//!
//! A store can create an object only if it is absent; nothing else is asked of it.
//!
//! - A process keeps one *liveness* object and rewrites it every third of the `ttl` ([`LeaseClock`]).
//! - A *claim* on a key in generation G is the object `{key}/{G}`, created only if absent. The highest
//!   generation holds ([`Acquire`]).
//! - A contender makes generation G + 1 when the holder is dead: its liveness object is gone, says that it
//!   left, or has not changed for a whole `ttl` **on the contender's own clock** ([`FailureDetector`]).
//! - A holder that could not renew for two thirds of the `ttl`, by its own clock, has lost, for good: what
//!   it does afterwards it does as a new process with new claims.
//!
//! # Why no clocks are compared
//!
//! Let a holder's last good renewal be *sent* at its time s. It has lost at s + ⅔ ttl. A contender that sees
//! this renewal first has its answer at a later moment t, and calls the holder dead only by a look that it
//! *asks for* at t + ttl or later and that finds the same. Both measure from moments of their own, and t is
//! no earlier than s; so the holder has lost at least ⅓ ttl before, whatever the two clocks show, as long as
//! they run at about the same speed. A time stamp of either machine, or of the store, has no part in it.
//!
//! # Invariants
//!
//! 1. *Correctness comes from the commit.* An output whose path holds its key is created only if absent: a
//!    process that wrongly believes to hold a claim changes nothing that others have read. A claim saves
//!    work, no more.
//! 2. Of two processes that contend for one generation the store lets one win.
//! 3. A claim is deleted by its own process alone, and only while that process has not lost; so as long as
//!    no request takes longer than ⅓ ttl, nobody deletes a generation that has been succeeded, and a first
//!    generation that could be created is the highest.
//! 4. Liveness is written before the first claim and taken back after the last, so that a claim without
//!    it belongs to nobody. A contender that finds a holder dead reads the claim once more: one that was taken back
//!    meanwhile has no successor, or a first generation could be created beside its second.
//! 5. After a claim is won, the output is looked for once more before anything runs: a claim that was free
//!    because its work is done runs nothing.
//! 6. An answer that was lost is neither a win nor a loss: the claim is read, and its nonce compared.
//!
//! `simulation` checks them over a store with faults.

mod acquire;
mod failure_detector;
mod lease_clock;
mod record;
#[cfg(test)]
mod simulation;

pub(crate) use acquire::{Acquire, Action, Request, Response, Won};
pub(crate) use failure_detector::{FailureDetector, Observation};
pub(crate) use lease_clock::LeaseClock;
pub(crate) use record::{ClaimRecord, LivenessRecord, Nonce, ProcessId, ProcessIdentity};

use std::time::Duration;

/// A moment, as the time since a start that only this process knows.
pub(crate) type Moment = Duration;
