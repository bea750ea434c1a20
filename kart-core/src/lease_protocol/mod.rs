//! The lease protocol as a state machine: which process runs what. It does no I/O and has no clock; a
//! [`Moment`] is a duration since a start that only its own process knows.
//!
//! The protocol needs one thing of a store: creating an object only if it is absent.
//!
//! - A process keeps one *liveness* object. Its *heartbeat* rewrites it every third of the `ttl`
//!   ([`LeaseClock`]).
//! - A *claim* on a key in generation G is the object `{key}/{G}`, created only if absent. The highest
//!   generation holds the lease ([`Acquire`]).
//! - A contender creates generation G + 1 when the holder is dead: its liveness object is gone, or has not
//!   changed for a whole `ttl` **on the contender's own clock** ([`FailureDetector`]).
//! - A holder that could not renew for two thirds of the `ttl`, by its own clock, has lost its leases for
//!   good. It continues as a new process with new claims.
//! - A holder whose work failed for good says so in its claim and keeps it. A contender that finds the holder
//!   alive, or has seen it hold the claim before, does not try again. It reads the claim of a dead holder once
//!   more before it takes over, since the work may have failed right before the end.
//!
//! # Why no clocks are compared
//!
//! Let a holder's last good renewal be *sent* at its time s. It loses the lease at s + ⅔ ttl. A contender that
//! first sees this renewal has its answer at a later moment t. It calls the holder dead only by a look that it
//! *sends* at t + ttl or later and that finds the same heartbeat. Both measure from moments of their own, and t
//! is no earlier than s. So the holder has lost at least ⅓ ttl before, whatever the two clocks show, as long
//! as they run at about the same speed. No time stamp of a machine or a store takes part in it.
//!
//! # Invariants
//!
//! 1. *Correctness comes from the commit.* An output whose path holds its key is created only if absent: a
//!    process that wrongly believes to hold a lease changes nothing that others have read. A lease only saves
//!    work.
//! 2. Of two processes that contend for one generation the store lets one win.
//! 3. Only its own process deletes a claim, and only while that process has not lost the lease. So as long as
//!    no request takes longer than ⅓ ttl, nobody deletes a generation that was taken over, and a first
//!    generation that could be created is the highest.
//! 4. A process writes its liveness before its first claim and deletes it after its last, so that a claim
//!    without liveness belongs to nobody.
//! 5. After winning a claim, a process checks the output once more before it runs anything: a claim that was
//!    free because its work is done runs nothing.
//! 6. Whoever takes a generation over makes sure that the one below is still as it was: otherwise somebody has
//!    swept the key, its first generation is free, and the one above guards nothing.
//! 7. A lost answer is neither a win nor a loss: the contender reads the claim and compares its nonce.
//!
//! `simulation` checks them over a store with faults.

mod acquire;
mod failure_detector;
mod lease_clock;
mod record;
#[cfg(test)]
mod simulation;
mod wait_cycle;

pub(crate) use acquire::{Acquire, Action, Request, Response, Won};
pub(crate) use failure_detector::{FailureDetector, Health, Observation};
pub(crate) use lease_clock::LeaseClock;
pub(crate) use record::{
    ClaimRecord, FailureRecord, LivenessRecord, Nonce, ProcessId, ProcessIdentity, WaitRecord,
};
pub(crate) use wait_cycle::{WaitCycle, gives_way, wait_cycle};

use std::time::Duration;

/// A moment, as the time since a start that only this process knows.
pub(crate) type Moment = Duration;
