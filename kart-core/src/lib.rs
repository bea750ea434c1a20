//! The runtime of kart; use it through the facade crate `kart`.

mod error;
pub mod format;
mod workspace;

pub use error::{BoxError, Error, Permanent, Result, StoreError, chain, permanent};
pub use workspace::{Commit, Reader, Requests, Workspace};
