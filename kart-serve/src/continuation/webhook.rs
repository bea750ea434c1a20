//! A POST to whoever goes on with the run.

use std::fmt;
use std::time::Duration;

use kart_core::{AnyTask, BoxError};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value as Json, json};

use super::{Continuation, ContinueWith, HandedOn, Interrupted};
use crate::error::ServeError;

const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Webhook {
    url: reqwest::Url,
    token: Option<String>,
    client: reqwest::Client,
}

impl Webhook {
    pub(super) fn new(with: ContinueWith) -> Result<Self, ServeError> {
        let refused = |error: &dyn fmt::Display| {
            ServeError::Settings(format!("--continue-with: the webhook is no use: {error}"))
        };
        let url = reqwest::Url::parse(&with.target).map_err(|error| refused(&error))?;
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // A redirected POST becomes a GET, or takes the token elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Ok(Webhook {
            url,
            token: with.token,
            client: client.map_err(|error| refused(&error))?,
        })
    }

    async fn send(&self, interrupted: &Interrupted) -> Result<(), BoxError> {
        let roots: Result<Vec<Json>, _> = interrupted.roots.iter().map(AnyTask::to_json).collect();
        let roots = roots?;
        let mut body = json!({
            "run": interrupted.run.to_string(),
            "key": interrupted.key,
            "chain": interrupted.chain,
            "attempt": interrupted.next(),
            "roots": roots,
        });
        if let [root] = roots.as_slice() {
            body["task"] = root["task"].clone();
            body["params"] = root["params"].clone();
        }
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", interrupted.successor())
            .header("X-Kart-Attempt", interrupted.next())
            .header("X-Kart-Chain", &interrupted.chain)
            .body(body.to_string());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        // The address may hold a secret.
        let answer = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(format!("the webhook answered {status}").into())
    }
}

impl Continuation for Webhook {
    fn hand_on<'a>(&'a self, interrupted: &'a Interrupted) -> HandedOn<'a> {
        Box::pin(self.send(interrupted))
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}
