//! The executor of a run on the engine.

use std::fmt;
use std::sync::Arc;

use kart_core::{Answer, Answering, BoxError, Executor, Order};

use crate::batch::Batches;
use crate::error::RestateError;
use crate::ingress::Ingress;
use crate::wire;

/// How a run reaches its workers.
#[derive(Clone)]
#[non_exhaustive]
pub struct Connect {
    /// The engine's ingress, `http://…:8080`.
    pub url: String,
    /// What the engine is shown, if it asks for a token.
    pub token: Option<String>,
    /// How many tasks travel together; 1 unless said otherwise.
    pub batch: usize,
}

impl Connect {
    /// By the ingress at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Connect {
            url: url.into(),
            token: None,
            batch: 1,
        }
    }

    /// Looks whether there is an engine.
    ///
    /// # Errors
    ///
    /// [`RestateError::Settings`] and [`RestateError::Unreachable`].
    pub async fn connect(self) -> Result<Engine, RestateError> {
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            let url = self.url;
            return Err(RestateError::Settings(format!(
                "`{url}` is no ingress of an engine: it begins with http:// or https://"
            )));
        }
        let ingress = Arc::new(Ingress::connect(&self.url, self.token).await?);
        let nonce = kart_core::RunId::now().to_string();
        let batches =
            (self.batch > 1).then(|| Batches::new(Arc::clone(&ingress), self.batch, nonce.clone()));
        Ok(Engine {
            ingress,
            nonce,
            batches,
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
}

impl Engine {
    async fn one(&self, order: Order) -> Result<Answer, BoxError> {
        let key = wire::idempotency(&order, &self.nonce);
        self.ingress.call(&wire::task(&order), &key, &order).await
    }
}

impl Executor for Engine {
    fn attempt(&self, order: Order) -> Answering<'_> {
        match &self.batches {
            Some(batches) => Box::pin(batches.attempt(order)),
            None => Box::pin(self.one(order)),
        }
    }
}
