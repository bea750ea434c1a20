//! The executor of a run on the engine.

use std::fmt;
use std::sync::Arc;

use kart_core::{AnyTask, AttemptFuture, AttemptRequest, AttemptResponse, BoxError, Executor};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::batch::{Batch, Batches};
use crate::error::RestateError;
use crate::ingress::Ingress;
use crate::runs::{Detached, Ways};
use crate::wire;

/// How a run reaches its workers.
#[derive(Clone)]
#[non_exhaustive]
pub struct Connect {
    /// The engine's ingress, `http://…:8080`.
    pub url: String,
    /// What the engine is shown, if it asks for a token.
    pub token: Option<String>,
    /// Which tasks travel together; each by itself unless said otherwise.
    pub batch: Option<Batch>,
}

impl Connect {
    /// By the ingress at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Connect {
            url: url.into(),
            token: None,
            batch: None,
        }
    }

    /// Looks whether there is an engine that knows workers.
    ///
    /// # Errors
    ///
    /// All of [`RestateError`] but [`RestateError::Bind`].
    pub async fn connect(self) -> Result<Engine, RestateError> {
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            let url = self.url;
            return Err(RestateError::Settings(format!(
                "`{url}` is no ingress of an engine: it begins with http:// or https://"
            )));
        }
        let ingress = Arc::new(Ingress::connect(&self.url, self.token).await?);
        let nonce = kart_core::RunId::now().to_string();
        ingress.look(&nonce).await?;
        let batches = |batch| Batches::new(Arc::clone(&ingress), batch, nonce.clone());
        Ok(Engine {
            batches: self.batch.map(batches),
            ingress,
            nonce,
            url: self.url,
            batch: self.batch,
        })
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("url", &self.url)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

/// Has attempts made by the workers of an engine.
#[derive(Debug)]
pub struct Engine {
    ingress: Arc<Ingress>,
    /// Tells this run from others.
    nonce: String,
    batches: Option<Batches>,
    url: String,
    batch: Option<Batch>,
}

impl Engine {
    /// Has a worker run `roots` in the workspace at `workspace`, and does not wait for it. Gives what the engine calls
    /// it; whether it was under way already is the second.
    ///
    /// Where the worker is lost, another goes on. A run of one root is the same run until it has ended, however often
    /// it is asked for.
    ///
    /// # Errors
    ///
    /// That the engine has not taken it, or that a root has no wire form.
    pub async fn detach(
        &self,
        roots: &[AnyTask],
        workspace: &str,
        ways: Ways,
    ) -> Result<(String, bool), BoxError> {
        let name = match roots {
            [root] => root.try_key()?.to_string(),
            _ => self.nonce.clone(),
        };
        let wire: Result<Vec<Json>, _> = roots.iter().map(AnyTask::to_json).collect();
        let run = Detached {
            roots: wire?,
            workspace: workspace.to_owned(),
            build: kart_core::registry::fingerprint().to_owned(),
            url: self.url.clone(),
            batch: self.batch,
            ways,
        };
        let sent: Sent = self
            .ingress
            .call(&wire::detached(&name), wire::DETACHED, &run)
            .await?;
        Ok((sent.invocation_id, sent.status == "PreviouslyAccepted"))
    }

    async fn one(&self, order: AttemptRequest) -> Result<AttemptResponse, BoxError> {
        let key = wire::idempotency(&order, &self.nonce);
        self.ingress.call(&wire::task(&order), &key, &order).await
    }
}

impl Executor for Engine {
    fn attempt(&self, order: AttemptRequest) -> AttemptFuture<'_> {
        match &self.batches {
            Some(batches) => Box::pin(async move { batches.attempt(&order).await }),
            None => Box::pin(self.one(order)),
        }
    }
}

/// What the engine says of a call that nobody waits for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    invocation_id: String,
    status: String,
}
