//! A message on a topic of Pub/Sub, which a subscription pushes to this service.

use std::fmt;
use std::time::Duration;

use axum::http::Extensions;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials};
use kart_core::BoxError;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::json;

use super::{Continuation, ContinueWith, HandedOn, Interrupted};
use crate::error::ServeError;

const GOOGLE: &str = "https://pubsub.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/pubsub";
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Topic {
    /// `projects/P/topics/T`.
    name: String,
    endpoint: String,
    client: reqwest::Client,
    /// None where the endpoint is an emulator's.
    credentials: Option<Credentials>,
}

impl Topic {
    pub(super) fn open(with: ContinueWith) -> Result<Self, ServeError> {
        let refused = |text: String| ServeError::Settings(format!("--continue-with: {text}"));
        let name = with.target.trim_start_matches("pubsub://");
        let parts: Vec<&str> = name.split('/').collect();
        let is_fine = |part: &str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+%:".contains(&byte);
            !part.is_empty() && part.bytes().all(known)
        };
        let is_name = matches!(parts.as_slice(),
            ["projects", project, "topics", topic] if is_fine(project) && is_fine(topic));
        if !is_name {
            return Err(refused(format!(
                "`{name}` is no topic: it is pubsub://projects/P/topics/T"
            )));
        }
        let unusable =
            |error: &dyn fmt::Display| refused(format!("Pub/Sub cannot be used: {error}"));
        let endpoint = with.endpoint.unwrap_or_else(|| GOOGLE.to_owned());
        let credentials = if endpoint.starts_with("http://") {
            None
        } else {
            let credentials = Builder::default().with_scopes([SCOPE]).build();
            Some(credentials.map_err(|error| unusable(&kart_core::chain(&error)))?)
        };
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Ok(Topic {
            name: name.to_owned(),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            client: client.map_err(|error| unusable(&error))?,
            credentials,
        })
    }

    async fn authorization(&self) -> Result<HeaderMap, BoxError> {
        let Some(credentials) = &self.credentials else {
            return Ok(HeaderMap::new());
        };
        match credentials.headers(Extensions::new()).await? {
            CacheableResource::New { data, .. } => Ok(data),
            CacheableResource::NotModified => Err("the credentials gave nothing".into()),
        }
    }

    async fn publish(&self, interrupted: &Interrupted) -> Result<(), BoxError> {
        let data = match interrupted.roots.as_slice() {
            [root] => root.to_json()?,
            // Only the roots of the start are several, and they have no name of their own.
            _ => json!({}),
        };
        let body = json!({"messages": [{
            "data": STANDARD.encode(data.to_string()),
            "attributes": {
                "kart-attempt": interrupted.next().to_string(),
                "kart-chain": interrupted.chain,
            },
        }]});
        let request = self
            .client
            .post(format!("{}/v1/{}:publish", self.endpoint, self.name))
            .headers(self.authorization().await?)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let answer = request.send().await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        // It names the right that is missing, and nothing of the message.
        let text = answer.text().await.unwrap_or_default();
        let reason = serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|json| json["error"]["message"].as_str().map(str::to_owned));
        Err(format!(
            "Pub/Sub answered {status}{}",
            reason.map(|text| format!(": {text}")).unwrap_or_default()
        )
        .into())
    }
}

impl Continuation for Topic {
    fn hand_on<'a>(&'a self, interrupted: &'a Interrupted) -> HandedOn<'a> {
        Box::pin(self.publish(interrupted))
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.name)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
