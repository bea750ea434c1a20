//! Who calls, and what they may do.

mod keys;
mod oidc;

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};
use subtle::ConstantTimeEq as _;

use crate::answer::Refusal;
use crate::error::ServeError;
use crate::settings::{Settings, WithoutToken};
use oidc::Verifier;

/// The cookie by which the page of this service shows that somebody has given it the token.
pub(crate) const COOKIE_NAME: &str = "kart";

/// What is known of whoever makes a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Whether it has shown who it is, here or to the platform.
    pub(crate) is_known: bool,
    /// Whether it is a queue: it says so, and has shown who it is.
    pub(crate) is_queue: bool,
}

/// Decides who may call.
#[derive(Debug)]
pub(crate) struct Guard {
    token: Option<Digest>,
    cookie: Option<String>,
    oidc: Option<Verifier>,
    /// Nobody shows who they are, and only this machine can call: pages of the web must not, through a browser here.
    is_local: bool,
    /// Callers have shown to the platform who they are.
    is_behind_platform: bool,
}

/// Digests of one length are compared, so that the time tells nothing of the token, nor of its length.
#[derive(Debug)]
struct Digest([u8; 32]);

impl Digest {
    fn of(text: &str) -> Self {
        Digest(*blake3::hash(text.as_bytes()).as_bytes())
    }

    fn is_of(&self, text: &str) -> bool {
        self.0.ct_eq(&Digest::of(text).0).into()
    }
}

impl Guard {
    pub(crate) fn new(settings: &Settings) -> Result<Self, ServeError> {
        let token = settings.token.as_deref();
        if token.is_some_and(|token| token.trim().is_empty()) {
            return Err(ServeError::Settings(
                "the token is empty: set KART_TOKEN to a long random text, or do not set it".into(),
            ));
        }
        if let Some(oidc) = &settings.oidc
            && oidc.audience.is_empty()
        {
            return Err(ServeError::Settings(
                "identity tokens need an audience: --oidc-audience URL".into(),
            ));
        }
        let asks_for_nothing = token.is_none() && settings.oidc.is_none();
        let is_behind_platform = settings.without_token == WithoutToken::Platform;
        if is_behind_platform && !asks_for_nothing {
            return Err(ServeError::Settings(
                "the platform checks who calls, or this service does: leave --trust-platform away, or KART_TOKEN and --oidc-audience".into(),
            ));
        }
        let is_open = asks_for_nothing && !is_behind_platform;
        let is_loopback = settings.listen.ip().is_loopback();
        if is_open && !is_loopback && settings.without_token == WithoutToken::Local {
            return Err(ServeError::Settings(format!(
                "anybody who reaches {} could start runs: set KART_TOKEN, or --oidc-audience, or say --trust-platform where the platform checks who calls, or --allow-unauthenticated",
                settings.listen
            )));
        }
        Ok(Guard {
            token: token.map(Digest::of),
            cookie: token.map(|token| {
                let key =
                    blake3::derive_key("kart-serve 2026 cookie of the page", token.as_bytes());
                blake3::Hash::from_bytes(key).to_hex().to_string()
            }),
            oidc: settings.oidc.as_ref().map(Verifier::new).transpose()?,
            is_local: is_open && is_loopback,
            is_behind_platform,
        })
    }

    /// Whether callers have to show who they are.
    fn is_open(&self) -> bool {
        self.token.is_none() && self.oidc.is_none()
    }

    /// Whether a token is that of this service.
    pub(crate) fn is_token(&self, token: &str) -> bool {
        self.token.as_ref().is_some_and(|known| known.is_of(token))
    }

    /// What the page's cookie holds.
    pub(crate) fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// Whoever makes this request, if they may.
    pub(crate) async fn caller(
        &self,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Caller, Refusal> {
        self.check_origin(headers)?;
        let caller = Caller {
            is_known: true,
            is_queue: headers.contains_key("x-cloudtasks-queuename")
                || headers.contains_key("x-cloudtasks-taskname"),
        };
        if self.is_behind_platform {
            return Ok(caller);
        }
        if self.is_open() {
            return Ok(Caller {
                is_known: false,
                is_queue: false,
            });
        }
        let is_reading = *method == Method::GET || *method == Method::HEAD;
        if let Some(bearer) = bearer(headers)? {
            self.check_bearer(bearer).await?;
        } else if !(is_reading && self.has_cookie(headers)) {
            return Err(Refusal::unauthorized("who calls is not known"));
        }
        Ok(caller)
    }

    async fn check_bearer(&self, bearer: &str) -> Result<(), Refusal> {
        if self.is_token(bearer) {
            return Ok(());
        }
        match &self.oidc {
            Some(oidc) => oidc.check(bearer).await,
            None => Err(Refusal::unauthorized(
                "the token is not that of this service",
            )),
        }
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let Some(known) = &self.cookie else {
            return false;
        };
        let cookies = headers.get_all(COOKIE).into_iter();
        cookies
            .filter_map(|cookies| cookies.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
            .any(|value| value.as_bytes().ct_eq(known.as_bytes()).into())
    }

    /// Refuses what a page of another site has a browser send, and names that another site may have given this
    /// machine.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        // Browsers say so themselves, whatever name a proxy has put in the place of the host's.
        let is_same = headers
            .get("sec-fetch-site")
            .is_some_and(|site| site == "same-origin");
        if let Some(origin) = headers.get(ORIGIN).filter(|_| !is_same) {
            let origin = origin.to_str().unwrap_or_default();
            let of = origin.split_once("://").map(|(_, authority)| authority);
            if of.is_none() || of != host {
                return Err(Refusal::forbidden(
                    "a page of another site made this request",
                    "use the page of this service, or a program",
                ));
            }
        }
        let is_here = |host: &str| {
            let name = host.rsplit_once(':').map_or(host, |(name, port)| {
                if port.bytes().all(|byte| byte.is_ascii_digit()) {
                    name
                } else {
                    host
                }
            });
            let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
            name == "localhost"
                || name.ends_with(".localhost")
                || address.is_ok_and(|address| address.is_loopback())
        };
        if self.is_local && !host.is_none_or(is_here) {
            return Err(Refusal::forbidden(
                "a service without authentication answers only to localhost",
                "call it by 127.0.0.1, or set KART_TOKEN",
            ));
        }
        Ok(())
    }
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    });
    match token {
        Some(token) => Ok(Some(token)),
        None => Err(Refusal::unauthorized(
            "the header Authorization is no bearer token",
        )),
    }
}
