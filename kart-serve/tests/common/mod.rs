//! What the tests share: tasks that wait to be let on, a service on a port of its own, and a client that knows no
//! more of HTTP than what is written to the socket.
#![allow(dead_code, reason = "each test binary uses its own part")]

mod client;
mod tasks;

use std::net::SocketAddr;
use std::time::Duration;

use kart::{Runner, StopToken, TaskExt as _, TaskSpec, Workspace};
use kart_serve::{Ending, Server, Settings};
use serde_json::{Map, Value as Json};
use tokio::task::JoinHandle;

#[allow(unused_imports, reason = "each test binary uses its own part")]
pub(crate) use client::{Answer, Heard, Listener, raw, request, send};
#[allow(unused_imports, reason = "each test binary uses its own part")]
pub(crate) use tasks::*;

/// A service that runs until it is told to end.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) workspace: Workspace,
    pub(crate) gate: Gate,
    pub(crate) stop: StopToken,
    ending: JoinHandle<Ending>,
}

/// Settings for a port that the system chooses.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.listen.set_port(0);
    settings.workers = 2;
    settings
}

impl Service {
    pub(crate) async fn start(settings: Settings) -> Self {
        Service::on(settings, Workspace::open("memory://").unwrap()).await
    }

    /// A service on a workspace; its root is `All`.
    pub(crate) async fn on(settings: Settings, workspace: Workspace) -> Self {
        let given = Map::from_iter([("n".to_owned(), 3.into())]);
        Service::of(settings, workspace, All::spec(), given).await
    }

    /// A service on a workspace for another root.
    pub(crate) async fn of(
        settings: Settings,
        workspace: Workspace,
        root: &'static TaskSpec,
        given: Map<String, Json>,
    ) -> Self {
        let gate = Gate::default();
        let runner = Runner::new(&workspace).workers(4).resource(gate.clone());
        let server = Server::bind(settings, runner, workspace.clone(), root, vec![given]);
        let server = server.await.unwrap();
        let address = server.address();
        let stop = StopToken::new();
        let ending = tokio::spawn({
            let stop = stop.clone();
            async move { server.run(&stop).await }
        });
        Service {
            address,
            workspace,
            gate,
            stop,
            ending,
        }
    }

    /// A request without a header of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_with(method, path, &[], body).await
    }

    pub(crate) async fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        send(
            self.address,
            &request(method, path, headers, body.as_bytes()),
        )
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    /// A request that is under way while the test goes on.
    pub(crate) fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> JoinHandle<Answer> {
        let request = request(method, path, headers, body.as_bytes());
        let address = self.address;
        tokio::spawn(async move { send(address, &request).await })
    }

    pub(crate) async fn listen(&self, headers: &[(&str, &str)]) -> Listener {
        Listener::open(self.address, headers).await
    }

    /// Tells it to end, as SIGTERM does, and waits until it has.
    pub(crate) async fn end(self) -> Ending {
        self.stop.stop();
        within(self.ending).await.unwrap()
    }
}

/// Fails a test that would wait for ever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), future)
        .await
        .expect("nothing happened within a minute")
}

/// That an answer refuses in the one shape that refusals have.
pub(crate) fn assert_refused(answer: &Answer, status: u16) -> Json {
    let json = answer.json();
    assert_eq!(answer.status, status, "{json}");
    assert!(
        json["error"].is_string() && json["hint"].is_string(),
        "{json}"
    );
    json
}
