//! Ownership in a workspace: the protocol of `claim`, with the requests and the time that it asks for.

mod heart;
mod member;
mod origin;
mod owner;
mod sweep;

pub(crate) use member::{Claim, Claimed, Member};
pub(crate) use origin::here;
pub use owner::Owner;

use std::time::Duration;

use crate::claim::ProcessId;
use crate::key::Key;

/// How long a process may be silent before others take over what it holds, unless said otherwise.
pub(crate) const TTL: Duration = Duration::from_mins(1);

/// The name of this machine.
#[must_use]
pub fn host() -> &'static str {
    &here().host
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
