//! From tasks to a plan: expanding requirements into a graph of keys, and finding out what is
//! missing. It runs nothing and writes nothing.

mod expand;
mod ext;
mod graph;
mod info;
mod key_map;
mod limits;
mod planned;
mod rerun;
mod survey;

pub use ext::TaskExt;

pub use info::TaskInfo;
pub use planned::{OpenRerun, Plan, Planned};
pub use survey::Status;

pub(crate) use graph::{Graph, GraphExtender, Node, describe};
pub(crate) use limits::{ExpandLimits, ExpandProgress, MAX_TASKS};
pub(crate) use rerun::{Dependents, Mark, Rerun, Selector, marks, matches_name};
pub(crate) use survey::{Finding, Lookups, check_outputs, survey};
