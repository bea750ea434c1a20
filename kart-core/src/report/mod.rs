//! What a run did: outcomes, events, errors, counts. Data, no screen.

mod error;
mod event;
mod outcome;
mod summary;
mod trace;

pub use error::{MissingResource, RunError};
pub use event::{Estimate, Event, StopReason, TaskCounts};
pub(crate) use outcome::Root;
pub use outcome::{Completion, Failure, Interruption, Outcome, Report, TaskReport};
pub use summary::Counts;
