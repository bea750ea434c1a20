//! Where an interrupted run is handed on.

#[cfg(feature = "cloud-tasks")]
mod cloud_tasks;
#[cfg(feature = "pubsub")]
mod pubsub;
mod webhook;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kart_core::{AnyTask, BoxError, RunId};

use crate::error::ServeError;

/// A run that was interrupted, for who lets it go on.
#[derive(Debug)]
#[non_exhaustive]
pub struct Interrupted {
    /// The run.
    pub run: RunId,
    /// What it was to complete. It holds the values of secret parameters.
    pub roots: Vec<AnyTask>,
    /// The same for the same roots, as 32 hex digits; the one root's key where it is one.
    pub key: String,
    /// The same for all runs that were handed on from one to the next: what the caller said in `X-Kart-Chain`, else
    /// what is the same however often a queue delivers one task, else the name of the first run.
    pub chain: String,
    /// Which run in a row it was, from 0: what the caller said in `X-Kart-Attempt`.
    pub attempt: u32,
}

impl Interrupted {
    /// Which run in a row the successor is.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.attempt.saturating_add(1)
    }

    /// The name of the successor: whoever hands the same run on a second time gives the same name.
    #[must_use]
    pub fn successor(&self) -> String {
        // The part that differs most stands first: queues spread their work by the begin of a name.
        format!("{}-{}-{}", self.key, self.chain, self.next())
    }
}

/// What [`Continuation::hand_on`] gives.
pub type HandedOn<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

/// Sees to it that an interrupted run goes on: by a queue, by another service.
///
/// Where it says that it did, the request is answered with 200 instead of 503, since there is nothing left to
/// repeat for the caller.
pub trait Continuation: fmt::Debug + Send + Sync {
    /// Hands the run on. It has about three seconds, which are part of the margin before the deadline. What its error
    /// says is told to callers.
    ///
    /// # Errors
    ///
    /// Why nothing will go on with the run; it is answered with 503 then.
    fn hand_on<'a>(&'a self, interrupted: &'a Interrupted) -> HandedOn<'a>;
}

/// What interrupted runs are handed on to.
#[derive(Clone)]
#[non_exhaustive]
pub struct ContinueWith {
    /// `http(s)://…`, `cloud-tasks://projects/P/locations/L/queues/Q` or `pubsub://projects/P/topics/T`.
    pub target: String,
    /// Where a queue reaches this service.
    pub public_url: Option<String>,
    /// As whom a queue calls this service.
    pub service_account: Option<String>,
    /// For whom its identity tokens are made out: the public URL where it is not given.
    pub audience: Option<String>,
    /// The bearer token that the successor's request shows.
    pub token: Option<String>,
    /// When a queue cuts a request off.
    pub dispatch: Duration,
    /// Where the interface of the queue or topic is, if it is not Google's own.
    pub endpoint: Option<String>,
}

impl ContinueWith {
    /// To that target, with nothing else said.
    #[must_use]
    pub fn new(target: impl Into<String>) -> Self {
        ContinueWith {
            target: target.into(),
            public_url: None,
            service_account: None,
            audience: None,
            token: None,
            dispatch: Duration::from_mins(10),
            endpoint: None,
        }
    }

    /// Makes ready to hand runs on.
    ///
    /// # Errors
    ///
    /// [`ServeError::Settings`] where the target is not known, something that it needs is missing, or this program was
    /// built without it.
    pub async fn open(self) -> Result<Arc<dyn Continuation>, ServeError> {
        let refused = |text: &str| Err(ServeError::Settings(format!("--continue-with: {text}")));
        match self.target.split_once("://") {
            Some(("http" | "https", _)) => Ok(Arc::new(webhook::Webhook::new(self)?)),
            #[cfg(feature = "cloud-tasks")]
            Some(("cloud-tasks", _)) => Ok(Arc::new(cloud_tasks::Queue::open(self).await?)),
            #[cfg(not(feature = "cloud-tasks"))]
            Some(("cloud-tasks", _)) => refused(
                "this program was built without Cloud Tasks: build it with kart's feature `cloud-tasks`",
            ),
            #[cfg(feature = "pubsub")]
            Some(("pubsub", _)) => Ok(Arc::new(pubsub::Topic::open(self)?)),
            #[cfg(not(feature = "pubsub"))]
            Some(("pubsub", _)) => refused(
                "this program was built without Pub/Sub: build it with kart's feature `pubsub`",
            ),
            _ => refused(
                "it is https://HOST/PATH, cloud-tasks://projects/P/locations/L/queues/Q or pubsub://projects/P/topics/T",
            ),
        }
    }
}

impl fmt::Debug for ContinueWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A webhook's address may hold its secret.
        f.debug_struct("ContinueWith")
            .field("public_url", &self.public_url)
            .field("service_account", &self.service_account)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}
