//! What the objects of the protocol say.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One life of a process in a workspace: who has lost comes back under another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProcessId(pub(crate) u128);

/// What tells one's own claim from another's with the same text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Nonce(pub(crate) u128);

macro_rules! hexadecimal {
    ($($name:ident),*) => {$(
        impl $name {
            pub(crate) fn random() -> Self {
                $name(fastrand::u128(..))
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

/// Where a process runs: for people, and to find out at once on the same machine that it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pub(crate) host: String,
    /// Changes each time that the machine starts; empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) boot: String,
    pub(crate) pid: u32,
    /// When the process started, as its machine counts; tells it from a later one of that pid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) started: String,
}

/// As the run log names a process.
impl fmt::Display for ProcessIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.pid)
    }
}

/// What a liveness object says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LivenessRecord {
    pub(crate) process: ProcessId,
    pub(crate) counter: u64,
    #[serde(flatten)]
    pub(crate) origin: ProcessIdentity,
    pub(crate) run: String,
    /// For people alone.
    pub(crate) since: SystemTime,
}

/// What a claim says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClaimRecord {
    pub(crate) process: ProcessId,
    pub(crate) nonce: Nonce,
    #[serde(flatten)]
    pub(crate) origin: ProcessIdentity,
    pub(crate) run: String,
    /// For people alone.
    pub(crate) since: SystemTime,
    /// What is claimed, as a person would name it.
    pub(crate) what: String,
}
