//! Why a service does not start.

use std::io;
use std::net::SocketAddr;

/// Why a service does not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The settings make no sense, or would open the service to everybody.
    #[error("{0}")]
    Settings(String),
    /// The address cannot be listened at.
    #[error("failed to listen at {address}: {source}; choose another by --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}
