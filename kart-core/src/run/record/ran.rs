//! What is recorded of an attempt that published its output.

use std::time::Duration;

use crate::model::{NodeId, Stored};
use crate::run::message::Published;

/// The end of an attempt that published its output.
#[derive(Clone, Debug)]
pub(crate) struct RanRecord {
    pub(crate) node: NodeId,
    pub(crate) number: u32,
    pub(crate) elapsed: Duration,
    pub(crate) bytes: u64,
    pub(crate) hash: Option<blake3::Hash>,
    pub(crate) differed: bool,
    pub(crate) worker: Option<Box<str>>,
    /// What was stored of a root that was made in this process.
    pub(crate) stored: Option<Stored>,
}

impl RanRecord {
    pub(crate) fn new(
        node: NodeId,
        number: u32,
        elapsed: Duration,
        published: &Published,
        is_root: bool,
    ) -> Self {
        RanRecord {
            node,
            number,
            elapsed,
            bytes: published.bytes,
            hash: published.hash,
            differed: published.differed,
            worker: published.worker.clone(),
            stored: is_root.then(|| published.stored.clone()).flatten(),
        }
    }
}
