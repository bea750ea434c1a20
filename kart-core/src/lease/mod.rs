//! Ownership in a workspace: the protocol of `claim`, with the requests and the time that it asks for.

mod heartbeat;
mod identity;
mod owner;
mod participant;
mod sweep;

pub(crate) use identity::this_process;
pub use owner::Owner;
pub(crate) use participant::{Claim, Claimed, Participant};

use std::time::Duration;

use crate::key::Key;
use crate::lease_protocol::ProcessId;

/// How long a process may be silent before others take over what it holds, unless said otherwise.
pub(crate) const TTL: Duration = Duration::from_mins(1);

/// The name of this machine.
#[must_use]
pub fn host() -> &'static str {
    &this_process().host
}

/// Where the claims on a key are.
fn claims(key: Key) -> String {
    format!("_kart/claims/{key}")
}

fn claim(key: Key, generation: u64) -> String {
    format!("_kart/claims/{key}/{generation}")
}

fn worker(process: ProcessId) -> String {
    format!("_kart/workers/{process}")
}
