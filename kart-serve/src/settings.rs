//! What a service is told when it starts.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kart_core::{Event, RunId};

use crate::continuation::Continuation;
use crate::deadline::Limits;
use crate::lines::LogLines;

/// Sees the events of all runs.
pub type OnEvent = Arc<dyn Fn(RunId, &Event<'_>) + Send + Sync>;

/// What a service is told when it starts.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The bearer token that callers show.
    pub token: Option<String>,
    /// Whose identity tokens are taken.
    pub oidc: Option<Oidc>,
    /// Who may call where neither a bearer token nor an identity token is asked for.
    pub without_token: WithoutToken,
    /// What can be started besides the root.
    pub allow: Allow,
    /// What bounds the time of a run.
    pub limits: Limits,
    /// How long bodies may go on when a run stops; the runner's own grace.
    pub grace: Duration,
    /// Whether a run whose failures are all permanent is answered with 200, so that a queue does not repeat it.
    pub ack_permanent: bool,
    /// Whether a run goes on when all who waited for it have gone away.
    pub detach: bool,
    /// How many bodies of a run go on at once, which the runner was told: for estimates.
    pub workers: usize,
    /// How many runs are under way at once.
    pub max_runs: usize,
    /// How many bytes the body of a request may have.
    pub body_limit: usize,
    /// How long the header and the body of a request may each take to arrive.
    pub read_timeout: Duration,
    /// How many events are kept for those who come back.
    pub kept_events: usize,
    /// What goes on with a run that was interrupted.
    pub continuation: Option<Arc<dyn Continuation>>,
    /// What bodies have logged, if it is kept.
    pub lines: Option<Arc<LogLines>>,
    /// Sees the events of all runs.
    pub on_event: Option<OnEvent>,
}

/// What can be started from outside besides the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// The tasks of these names: the stable ones, or the last parts of them.
    Named(Vec<String>),
    /// Every task of the program.
    All,
}

impl Default for Allow {
    fn default() -> Self {
        Allow::Named(Vec::new())
    }
}

/// Who may call a service that asks for no token of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutToken {
    /// This machine alone: the service does not start where others could reach it.
    #[default]
    Local,
    /// Whom the platform has checked before a request comes here, as Cloud Run does with a service that is not public.
    /// Queues are believed.
    Platform,
    /// Everybody.
    Everybody,
}

/// Whose identity tokens (`OpenID` Connect) are taken.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Oidc {
    /// For whom a token has to be made out: usually the URL of the service.
    pub audience: String,
    /// The accounts that may call; everybody with a valid token where it is empty.
    pub emails: Vec<String>,
    /// Who makes the tokens, where it is not Google.
    pub issuer: Option<String>,
    /// Where the issuer's keys are, where it is not Google.
    pub keys: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            token: None,
            oidc: None,
            without_token: WithoutToken::default(),
            allow: Allow::default(),
            limits: Limits::default(),
            grace: Duration::from_secs(8),
            ack_permanent: false,
            detach: false,
            workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            max_runs: 4,
            body_limit: 1 << 20,
            read_timeout: Duration::from_mins(1),
            kept_events: 4096,
            continuation: None,
            lines: None,
            on_event: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("oidc", &self.oidc)
            .field("allow", &self.allow)
            .field("limits", &self.limits)
            .field("max_runs", &self.max_runs)
            .finish_non_exhaustive()
    }
}
