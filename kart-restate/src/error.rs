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
    /// What answers there is no ingress.
    #[error("{url} is no ingress of a Restate server: {reason}")]
    NoIngress {
        /// Where the ingress was looked for.
        url: String,
        /// What is there instead.
        reason: String,
    },
    /// Nobody has registered workers at the engine.
    #[error(
        "the engine knows no such workers ({0}): register them, as by \
         `curl ENGINE:9070/deployments --json '{{\"uri\": \"http://WORKERS:9080\"}}'`"
    )]
    Unregistered(String),
    /// The engine wants another token, or has nothing for this one.
    #[error("the engine refuses the caller ({0}): KART_ENGINE_TOKEN is its token")]
    Forbidden(String),
    /// The engine refuses what it was asked, or has given it up.
    #[error("the engine has answered {status}: {message}")]
    Refused {
        /// The status of HTTP, with its name.
        status: String,
        /// What the engine said.
        message: String,
    },
}
