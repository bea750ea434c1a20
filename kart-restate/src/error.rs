//! Why there is no engine, or no worker.

use std::io;
use std::net::SocketAddr;

/// Why a worker does not start, or a run has no engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestateError {
    /// The settings make no sense.
    #[error("{0}")]
    Settings(String),
    /// The address cannot be listened at.
    #[error("failed to listen at {address}; choose another by --restate-endpoint")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The engine does not answer.
    #[error("no Restate server answers at {url}: is it the ingress, and is the server running?")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine has no such workers, or not for this caller.
    #[error(transparent)]
    Unregistered(Box<dyn std::error::Error + Send + Sync>),
}
