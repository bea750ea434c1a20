//! Listening, and ending in good order.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use kart_core::{Runner, StopToken, TaskSpec, Workspace};
use serde_json::{Map, Value as Json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::app::App;
use crate::error::ServeError;
use crate::routes;
use crate::settings::Settings;

/// How many connections there are at once; others wait in the system's queue.
const CONNECTIONS: usize = 2048;
/// How many bytes the header of a request may have.
const HEADER_BYTES: usize = 32 << 10;
/// How many fields it may have.
const HEADER_FIELDS: usize = 100;
/// How long answers may take to be written when the service ends, beyond the grace of the runs.
const WRITING: Duration = Duration::from_millis(1500);
/// After an error that is about this machine, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// A service that listens.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
}

/// How a service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// Nothing was left to do.
    Idle,
    /// Runs were interrupted, and nothing goes on with them: they are to be asked for again.
    WorkLeft,
}

impl Server {
    /// Listens for requests about the tasks of this program; they wait until [`run`](Self::run) answers them.
    ///
    /// `root` can be started without its name, once with each of the parameters in `given`; what is not among them has
    /// its default, found anew each time. None are given where the root needs parameters that only the caller knows. The runner's own stop, grace, deadline, events and run id are not used.
    ///
    /// # Errors
    ///
    /// [`ServeError::Settings`] where they make no sense or would let everybody in, [`ServeError::Bind`] where the
    /// address cannot be listened at.
    pub async fn bind(
        settings: Settings,
        runner: Runner,
        workspace: Workspace,
        root: &'static TaskSpec,
        given: Vec<Map<String, Json>>,
    ) -> Result<Self, ServeError> {
        let address = settings.listen;
        let app = App::new(settings, runner, workspace, root, given)?;
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            std::io::Result::Ok((listener, address))
        };
        let bound = bound.await;
        let (listener, address) = bound.map_err(|source| ServeError::Bind { address, source })?;
        Ok(Server {
            app: Arc::new(app),
            listener,
            address,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` says otherwise. Then nothing is accepted any more, runs stop in good order, those who
    /// wait for them are answered, and all connections are closed.
    pub async fn run(self, stop: &StopToken) -> Ending {
        let Server { app, listener, .. } = self;
        let router = routes::router(Arc::clone(&app));
        let service = TowerToHyperService::new(router);
        let graceful = GracefulShutdown::new();
        let builder = builder(app.settings.read_timeout);
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &connections) => accepted,
                () = stop.stopped() => break,
            };
            let Some((stream, permit)) = accepted else {
                continue;
            };
            let connection = builder.serve_connection(TokioIo::new(stream), service.clone());
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error = %error, "a connection ended early");
                }
                drop(permit);
            });
        }
        drop(listener);
        app.runs.close();
        let has_left = app.runs.closed().await;
        app.closing.stop();
        // Who does not read an answer does not keep the process.
        let _ = timeout(WRITING, graceful.shutdown()).await;
        if has_left {
            Ending::WorkLeft
        } else {
            Ending::Idle
        }
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Events are small, and are to go at once.
            let _ = stream.set_nodelay(true);
            Some((stream, permit))
        }
        Err(error) => {
            tracing::warn!(error = %error, "failed to accept a connection");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

/// HTTP/1 alone: platforms speak it to what runs on them, and there is less to attack.
fn builder(read_timeout: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(read_timeout)
        .max_headers(HEADER_FIELDS)
        .max_buf_size(HEADER_BYTES);
    builder
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("settings", &self.app.settings)
            .finish_non_exhaustive()
    }
}
