//! A task in a queue of Cloud Tasks that calls this service again.

use std::fmt;
use std::time::{Duration, SystemTime};

use google_cloud_auth::credentials::anonymous;
use google_cloud_tasks_v2::client::CloudTasks;
use google_cloud_tasks_v2::model::{HttpMethod, HttpRequest, OidcToken, Task};
use google_cloud_wkt as wkt;
use kart_core::{AnyTask, BoxError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Continuation, ContinueWith, HandedOn, Interrupted};
use crate::error::ServeError;

/// What the queue takes as the time of a dispatch.
const SHORTEST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_mins(30);

const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

pub(super) struct Queue {
    client: CloudTasks,
    /// `projects/P/locations/L/queues/Q`.
    name: String,
    public_url: String,
    auth: Auth,
    dispatch: Duration,
}

/// How the successor's request shows who it is.
enum Auth {
    Identity { account: String, audience: String },
    Token(String),
    Nothing,
}

impl Queue {
    pub(super) async fn open(with: ContinueWith) -> Result<Self, ServeError> {
        let name = with.target.trim_start_matches("cloud-tasks://");
        let refused = |text: String| ServeError::Settings(format!("--continue-with: {text}"));
        let parts: Vec<&str> = name.split('/').collect();
        let is_name = matches!(parts.as_slice(),
            ["projects", project, "locations", location, "queues", queue]
                if [project, location, queue].iter().all(|part| !part.is_empty()));
        if !is_name {
            return Err(refused(format!(
                "`{name}` is no queue: it is cloud-tasks://projects/P/locations/L/queues/Q"
            )));
        }
        let public_url = with.public_url.unwrap_or_default();
        let public_url = public_url.trim_end_matches('/').to_owned();
        if !(public_url.starts_with("https://") || public_url.starts_with("http://")) {
            return Err(refused(
                "a queue calls this service by its address: give --public-url https://…".into(),
            ));
        }
        let auth = match (with.service_account, with.token) {
            (Some(account), _) => Auth::Identity {
                account,
                audience: with.audience.unwrap_or_else(|| public_url.clone()),
            },
            (None, Some(token)) => Auth::Token(token),
            (None, None) => Auth::Nothing,
        };
        let mut builder = CloudTasks::builder();
        if let Some(endpoint) = with.endpoint {
            if endpoint.starts_with("http://") {
                builder = builder.with_credentials(anonymous::Builder::new().build());
            }
            builder = builder.with_endpoint(endpoint);
        }
        let client = builder.build().await;
        Ok(Queue {
            client: client.map_err(|error| {
                refused(format!(
                    "Cloud Tasks cannot be used: {}",
                    kart_core::chain(&error)
                ))
            })?,
            name: name.to_owned(),
            public_url,
            auth,
            dispatch: with.dispatch.clamp(SHORTEST, LONGEST),
        })
    }

    fn request(&self, interrupted: &Interrupted) -> Result<HttpRequest, BoxError> {
        let (path, body) = match interrupted.roots.as_slice() {
            [root] => of(root)?,
            // Only the roots of the start are several, and they have no name of their own.
            _ => ("/".to_owned(), "{}".to_owned()),
        };
        let mut headers = vec![
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("X-Kart-Attempt".to_owned(), interrupted.next().to_string()),
            ("X-Kart-Chain".to_owned(), interrupted.chain.clone()),
        ];
        if let Auth::Token(token) = &self.auth {
            headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        let request = HttpRequest::new()
            .set_http_method(HttpMethod::Post)
            .set_url(format!("{}{path}", self.public_url))
            .set_headers(headers)
            .set_body(body);
        Ok(match &self.auth {
            Auth::Identity { account, audience } => request.set_oidc_token(
                OidcToken::new()
                    .set_service_account_email(account)
                    .set_audience(audience),
            ),
            _ => request,
        })
    }

    async fn create(&self, interrupted: &Interrupted) -> Result<(), BoxError> {
        let now = wkt::Timestamp::try_from(SystemTime::now())?;
        let dispatch = wkt::Duration::try_from(self.dispatch)?;
        let task = Task::new()
            .set_name(format!("{}/tasks/{}", self.name, interrupted.successor()))
            .set_schedule_time(now)
            .set_dispatch_deadline(dispatch)
            .set_http_request(self.request(interrupted)?);
        let request = self.client.create_task().set_parent(&self.name);
        match request.set_task(task).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_known(&error) => {
                tracing::info!(run = %interrupted.run, "the queue has the successor already");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether there is, or was, a task of that name: somebody has handed the same run on.
fn is_known(error: &google_cloud_tasks_v2::Error) -> bool {
    error
        .status()
        .is_some_and(|status| status.code.name() == "ALREADY_EXISTS")
        || error.http_status_code() == Some(409)
}

/// Where a task is started, and its parameters.
fn of(root: &AnyTask) -> Result<(String, String), BoxError> {
    let wire = root.to_json()?;
    let name = root.spec().name;
    Ok((
        format!("/run/{}", utf8_percent_encode(name, IN_PATH)),
        wire["params"].to_string(),
    ))
}

impl Continuation for Queue {
    fn hand_on<'a>(&'a self, interrupted: &'a Interrupted) -> HandedOn<'a> {
        Box::pin(self.create(interrupted))
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("name", &self.name)
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}
