//! From tasks to a plan: expanding requirements into a graph of keys, and finding out what is
//! missing. It runs nothing and writes nothing.

mod expand;
mod ext;
mod graph;
mod key_map;
mod survey;

pub use ext::TaskExt;

pub use survey::{Need, Plan, Planned};

pub(crate) use graph::{Graph, Growth, Node, describe};
pub(crate) use survey::{Rerun, ask, companion, pending, survey, survey_below};
