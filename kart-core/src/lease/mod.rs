//! Leases: which run of which process works on a key. The protocol is `lease_protocol`; this room adds the
//! requests and the time that it asks for.

mod claim;
mod heartbeat;
mod identity;
mod owner;
mod participant;
mod shared;
mod sweep;
#[cfg(test)]
mod tests;
mod waits;

pub(crate) use claim::Claim;
pub(crate) use heartbeat::Releases;
pub(crate) use identity::this_process;
pub use owner::Owner;
pub(crate) use participant::{Claimed, Participant};

use std::time::Duration;

use crate::key::Key;

/// How long a process may be silent before others take over its leases, by default.
pub(crate) const TTL: Duration = Duration::from_mins(1);

/// Returns the name of this machine.
#[must_use]
pub fn host() -> &'static str {
    &this_process().host
}

/// What a path without a key is claimed by, so that two tasks that write it take turns.
pub(crate) fn path_key(path: &str) -> Key {
    Key::of(format!("path:{path}").as_bytes())
}
