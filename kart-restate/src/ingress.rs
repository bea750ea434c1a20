//! Requests to the engine's ingress, which wait as long as an attempt takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kart_core::{BoxError, permanent};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::time::{sleep, timeout};

use crate::error::RestateError;
use crate::wire;

/// How many requests share a connection: servers take no more than a hundred or two at a time.
const SHARING: usize = 100;
/// How long a connection may be silent before it is asked whether it is still there.
const PING: Duration = Duration::from_secs(20);
const CONNECTING: Duration = Duration::from_secs(5);
/// The pauses between requests that the engine did not answer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long an engine may take that is just being started, as a run may be.
const STARTING: Duration = Duration::from_secs(5);
/// How long to wait for a worker only to see whether there is any.
const LOOK: Duration = Duration::from_secs(2);
/// How long an engine may be gone.
const PATIENCE: Duration = Duration::from_mins(10);

/// The engine as its callers see it.
#[derive(Debug)]
pub(crate) struct Ingress {
    url: String,
    token: Option<String>,
    clients: Mutex<Vec<Arc<Client>>>,
    is_gone: AtomicBool,
}

/// Why a request has no answer.
enum Miss {
    /// To ask again may help.
    Passing(BoxError),
    Refused(RestateError),
    Final(BoxError),
}

impl Ingress {
    pub(crate) async fn connect(url: &str, token: Option<String>) -> Result<Self, RestateError> {
        let ingress = Ingress {
            url: url.trim_end_matches('/').to_owned(),
            token,
            clients: Mutex::default(),
            is_gone: AtomicBool::new(false),
        };
        let began = Instant::now();
        loop {
            let source = match ingress.health().await {
                Ok(()) => return Ok(ingress),
                Err(Miss::Refused(error)) => return Err(error),
                Err(Miss::Passing(error) | Miss::Final(error)) => error,
            };
            if began.elapsed() > STARTING {
                let url = url.to_owned();
                return Err(RestateError::Unreachable { url, source });
            }
            sleep(FIRST_PAUSE).await;
        }
    }

    /// Looks whether the engine knows workers: an empty batch is answered, or waits for them, or is refused.
    ///
    /// # Errors
    ///
    /// What the engine refuses, and [`RestateError::NoIngress`].
    pub(crate) async fn look(&self, nonce: &str) -> Result<(), RestateError> {
        let url = format!("{}/{}", self.url, wire::BATCHES);
        let key = format!("{nonce}-look");
        let asked = timeout(LOOK, self.once::<Json>(&url, &key, b"[]".to_vec())).await;
        match asked {
            Ok(Err(Miss::Refused(error))) => Err(error),
            Ok(Err(Miss::Final(error))) => Err(self.no_ingress(error.to_string())),
            _ => Ok(()),
        }
    }

    async fn health(&self) -> Result<(), Miss> {
        let health = self.get("/restate/health").await?;
        let status = health.status();
        if status.is_success() {
            return Ok(());
        }
        let body = health.bytes().await.map_err(passing)?;
        Err(match refused(status, &body) {
            Miss::Refused(error @ RestateError::Forbidden(_)) => Miss::Refused(error),
            Miss::Passing(error) => Miss::Passing(error),
            // An ingress has nothing to refuse there.
            _ => Miss::Refused(self.no_ingress(self.what_is_there(status).await)),
        })
    }

    /// What answers where no ingress does. The admin port tells of itself, and where the ingress is.
    async fn what_is_there(&self, status: StatusCode) -> String {
        let version = timeout(LOOK, self.version()).await.ok().flatten();
        let Some(version) = version.filter(|told| told.get("max_admin_api_version").is_some())
        else {
            return format!("/restate/health is answered {status}");
        };
        let ingress = match version.get("ingress_endpoint").and_then(Json::as_str) {
            Some(url) => format!("the server says that its ingress is {url}"),
            None => "the ingress is another one, 8080 by default".to_owned(),
        };
        format!("it looks like the admin port; {ingress}")
    }

    /// What an admin port says of its server.
    async fn version(&self) -> Option<Json> {
        let told = self.get("/version").await.ok()?.bytes().await.ok()?;
        serde_json::from_slice(&told).ok()
    }

    fn no_ingress(&self, reason: String) -> RestateError {
        let url = self.url.clone();
        RestateError::NoIngress { url, reason }
    }

    async fn get(&self, path: &str) -> Result<Response, Miss> {
        let client = self.client().map_err(|error| Miss::Final(error.into()))?;
        let request = client.get(format!("{}{path}", self.url));
        self.authorized(request).send().await.map_err(passing)
    }

    /// Calls a handler and waits for what it gives. A call that the engine has taken is found again by its key, so
    /// that it can be repeated when the engine or the way to it was gone for a while.
    pub(crate) async fn call<A: DeserializeOwned>(
        &self,
        handler: &str,
        key: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<A, BoxError> {
        let body = serde_json::to_vec(body).map_err(permanent)?;
        let url = format!("{}/{handler}", self.url);
        let mut pause = FIRST_PAUSE;
        let mut since: Option<Instant> = None;
        loop {
            let asked = Instant::now();
            let miss = match self.once(&url, key, body.clone()).await {
                Ok(answer) => {
                    if self.is_gone.swap(false, Ordering::Relaxed) {
                        tracing::warn!("the engine answers again");
                    }
                    return Ok(answer);
                }
                Err(Miss::Final(error)) => return Err(error),
                Err(Miss::Refused(error @ RestateError::Refused { .. })) => {
                    return Err(error.into());
                }
                Err(Miss::Refused(error)) => return Err(permanent(error).into()),
                Err(Miss::Passing(error)) => error,
            };
            if asked.elapsed() > 2 * CONNECTING {
                // It was there meanwhile.
                (since, pause) = (None, FIRST_PAUSE);
            }
            if !self.is_gone.swap(true, Ordering::Relaxed) {
                let error = kart_core::chain(miss.as_ref());
                tracing::warn!(error, "the engine does not answer; waiting for it");
            }
            if since.get_or_insert(asked).elapsed() > PATIENCE {
                let minutes = PATIENCE.as_secs() / 60;
                return Err(
                    format!("the engine has not answered for {minutes} minutes: {miss}").into(),
                );
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn once<A: DeserializeOwned>(
        &self,
        url: &str,
        key: &str,
        body: Vec<u8>,
    ) -> Result<A, Miss> {
        let client = self.client().map_err(|error| Miss::Final(error.into()))?;
        let request = client
            .post(url)
            .header("idempotency-key", key)
            .header("content-type", "application/json")
            .body(body);
        let answer = self.authorized(request).send().await.map_err(passing)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(passing)?;
        if status.is_success() {
            let answer = serde_json::from_slice(&body);
            return answer.map_err(|error| {
                let reason = format!(
                    "the answer of the worker makes no sense: {error}; is it of another release?"
                );
                Miss::Final(permanent(reason).into())
            });
        }
        Err(refused(status, &body))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// A client whose connection has room.
    fn client(&self) -> Result<Arc<Client>, reqwest::Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = |client: &&Arc<Client>| Arc::strong_count(client) <= SHARING;
        if let Some(client) = clients.iter().find(has_room) {
            return Ok(Arc::clone(client));
        }
        let mut builder = Client::builder()
            .connect_timeout(CONNECTING)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING)
            .http2_keep_alive_while_idle(true);
        if self.url.starts_with("http:") {
            builder = builder.http2_prior_knowledge();
        }
        let client = Arc::new(builder.build()?);
        clients.push(Arc::clone(&client));
        Ok(client)
    }
}

/// What it means that the engine answered without calling, or that there will be no answer of the call.
fn refused(status: StatusCode, body: &[u8]) -> Miss {
    let json: Option<Json> = serde_json::from_slice(body).ok();
    let told = json.and_then(|json| Some(json.get("message")?.as_str()?.to_owned()));
    // Others than engines say what they say in other ways.
    let is_of_an_engine = told.is_some();
    let message = told.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    match status.as_u16() {
        404 if is_of_an_engine => Miss::Refused(RestateError::Unregistered(message)),
        401 | 403 => Miss::Refused(RestateError::Forbidden(message)),
        408 | 429 | 502..=504 => Miss::Passing(format!("{status}: {message}").into()),
        _ => {
            let status = status.to_string();
            Miss::Refused(RestateError::Refused { status, message })
        }
    }
}

fn passing(error: reqwest::Error) -> Miss {
    Miss::Passing(error.without_url().into())
}
