//! What the objects of the protocol hold.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::Key;

/// One participation of a process in a workspace. A process that lost its leases comes back under another id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProcessId(pub(crate) u128);

/// Tells one's own claim from another's with the same text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Nonce(pub(crate) u128);

macro_rules! hexadecimal {
    ($($name:ident),*) => {$(
        impl $name {
            /// Draws one from the system's randomness: two sandboxes that were started alike may have
            /// seeded their generators alike.
            pub(crate) fn random() -> Self {
                if crate::threads::are_simulated() {
                    return $name(fastrand::u128(..));
                }
                $name(uuid::Uuid::new_v4().as_u128())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                u128::from_str_radix(text, 16).map($name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

hexadecimal!(ProcessId, Nonce);

/// Where a process runs: for people, and to see at once on the same machine that it has exited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pub(crate) host: String,
    /// Changes with each boot of the machine; empty where it is unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) boot: String,
    pub(crate) pid: u32,
    /// When the process started, as its machine counts: tells it from a later one of that pid. Empty where it is
    /// unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) started: String,
}

/// Writes it as the run log names a process.
impl fmt::Display for ProcessIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.pid)
    }
}

/// What a liveness object holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LivenessRecord {
    pub(crate) process: ProcessId,
    pub(crate) counter: u64,
    #[serde(flatten)]
    pub(crate) origin: ProcessIdentity,
    pub(crate) run: String,
    /// When it was written, by its machine's clock. Only processes of that machine look at it, and none is
    /// called dead for it.
    pub(crate) since: SystemTime,
    /// What it waits for while it holds what others may want.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) waits: Vec<WaitRecord>,
}

/// A wait for what another process holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitRecord {
    /// The key whose work waits.
    pub(crate) held: Key,
    /// That work, as a person would name it.
    pub(crate) what: String,
    /// The key that it waits for.
    pub(crate) wanted: Key,
    /// Who holds that one.
    pub(crate) from: ProcessId,
}

/// What a claim holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClaimRecord {
    pub(crate) process: ProcessId,
    pub(crate) nonce: Nonce,
    #[serde(flatten)]
    pub(crate) origin: ProcessIdentity,
    pub(crate) run: String,
    /// For people only.
    pub(crate) since: SystemTime,
    /// What is claimed, as a person would name it.
    pub(crate) what: String,
    /// Says that the work failed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<FailureRecord>,
}

/// How the work under a claim failed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailureRecord {
    pub(crate) attempts: u32,
    pub(crate) error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_were_seeded_alike_have_different_ids_and_nonces() {
        let seeded = || {
            fastrand::seed(7);
            (ProcessId::random(), Nonce::random())
        };
        let (one, other) = (seeded(), seeded());
        assert!(one.0 != other.0 && one.1 != other.1);
    }
}
