//! Which making of an output saved state belongs to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::run_id::RunId;

/// One making of the output of a task. What its bodies save for their own resumption belongs to it, and to no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Making {
    /// The one that begins where there is no output.
    #[default]
    First,
    /// The one for a rerun.
    Rerun(RunId),
    /// One that replaces an output and is for no rerun.
    Again,
}

const FIRST: &str = "first";
const AGAIN: &str = "again";

impl fmt::Display for Making {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Making::First => f.write_str(FIRST),
            Making::Rerun(rerun) => rerun.fmt(f),
            Making::Again => f.write_str(AGAIN),
        }
    }
}

impl FromStr for Making {
    type Err = <RunId as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            FIRST => Ok(Making::First),
            AGAIN => Ok(Making::Again),
            rerun => rerun.parse().map(Making::Rerun),
        }
    }
}

impl TryFrom<String> for Making {
    type Error = <Making as FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Making> for String {
    fn from(making: Making) -> Self {
        making.to_string()
    }
}
