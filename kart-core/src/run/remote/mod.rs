//! Remote attempts, as the dispatching run sees them: the client of an executor, and the progress of bodies.

pub(crate) mod client;
pub(crate) mod progress;
