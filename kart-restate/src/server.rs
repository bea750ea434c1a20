//! A worker: it listens for the engine, and ends in good order.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kart_core::{Runner, StopToken, Worker};
use restate_sdk::endpoint::Endpoint;
use restate_sdk::prelude::{HttpServer, IntoServiceDefinition as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::error::RestateError;
use crate::runs::Host;
use crate::service::{Batches, Runs, Tasks, options};

/// How long the SDK waits for what is under way when it stops listening.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a worker is called.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Where it listens; 127.0.0.1:9080 unless said otherwise.
    pub endpoint: SocketAddr,
    /// The engine's public key, `publickeyv1_…`: requests that it has not signed are refused.
    pub identity_key: Option<String>,
    /// How long bodies may go on when it stops: that of the runner.
    pub grace: Duration,
    /// The engine's ingress as it is reached from here, for runs that are left to the workers; as it was reached by
    /// who left them unless said otherwise.
    pub ingress: Option<String>,
    /// What the ingress is shown, if it asks for a token.
    pub token: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            endpoint: SocketAddr::from((Ipv4Addr::LOCALHOST, 9080)),
            identity_key: None,
            grace: Duration::from_secs(8),
            ingress: None,
            token: None,
        }
    }
}

/// A worker that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    endpoint: Endpoint,
    worker: Arc<Worker>,
    stop: StopToken,
    grace: Duration,
}

impl Server {
    /// Listens for attempts of the tasks of this program, which are made in the workspace of `runner`, with its
    /// resources, no more at once than it has workers and limits.
    ///
    /// # Errors
    ///
    /// [`RestateError::Settings`] and [`RestateError::Bind`].
    pub async fn bind(
        settings: Settings,
        runner: Runner,
        stop: &StopToken,
    ) -> Result<Self, RestateError> {
        let Settings {
            endpoint: address,
            identity_key,
            grace,
            ingress: url,
            token,
        } = settings;
        let runner = runner.stop(stop).grace(grace);
        let host = Host {
            // What it has ordered goes on without it.
            runner: runner.clone().grace(Duration::ZERO),
            stop: stop.clone(),
            url,
            token,
        };
        let runs = Runs(host).into_service_definition();
        let worker = Arc::new(Worker::new(runner));
        let tasks = Tasks(Arc::clone(&worker)).into_service_definition();
        let batches = Batches(Arc::clone(&worker)).into_service_definition();
        let mut endpoint = Endpoint::builder()
            .bind(tasks.options(options()))
            .bind(batches.options(options()))
            .bind(runs.options(options()));
        if let Some(key) = identity_key {
            endpoint = endpoint.identity_key(&key).map_err(|error| {
                RestateError::Settings(format!("`{key}` is no public key of an engine: {error}"))
            })?;
        }
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            std::io::Result::Ok((listener, address))
        };
        let bound = bound.await;
        let (listener, address) = bound.map_err(|source| RestateError::Bind { address, source })?;
        Ok(Server {
            listener,
            address,
            endpoint: endpoint.build(),
            worker,
            stop: stop.clone(),
            grace,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes attempts until it is told to stop. Then bodies have the grace to end; what does not is started anew on
    /// another worker.
    pub async fn run(self) {
        let stop = self.stop;
        let ending = async {
            stop.stopped().await;
            // Who has nothing under way need not be waited for.
            let grace = self.grace.saturating_sub(PATIENCE);
            let _ = timeout(grace, self.worker.idle()).await;
        };
        HttpServer::new(self.endpoint)
            .serve_with_cancel(self.listener, ending)
            .await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
