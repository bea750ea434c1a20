//! The issuer's public keys: fetched when they are needed, and kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::ServeError;

/// A key that is not known is asked for no more often.
const PAUSE: Duration = Duration::from_mins(1);
/// How long keys are kept where the issuer does not say.
const LIFE: Duration = Duration::from_hours(1);
/// And at most, whatever the issuer says.
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// How long keys are still used when no new ones can be fetched.
const LAST_RESORT: Duration = Duration::from_hours(24);
const TIMEOUT: Duration = Duration::from_secs(10);
const MOST_BYTES: usize = 256 << 10;

/// A public key, and the one algorithm that it is for.
#[derive(Debug)]
pub(super) struct PublicKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

#[derive(Debug)]
pub(super) enum NoKey {
    Unknown,
    Unreachable(String),
}

#[derive(Debug)]
pub(super) struct Keys {
    url: String,
    client: reqwest::Client,
    /// Held while keys are fetched, so that many requests at once fetch them once.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    keys: HashMap<String, Arc<PublicKey>>,
    expires: Option<Instant>,
    tried: Option<Instant>,
    reason: Option<String>,
}

impl Keys {
    pub(super) fn new(url: &str) -> Result<Self, ServeError> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let client = client.map_err(|error| {
            ServeError::Settings(format!("failed to set up the HTTPS client: {error}"))
        })?;
        Ok(Keys {
            url: url.to_owned(),
            client,
            known: Mutex::default(),
        })
    }

    /// The issuer's key of that name. Asks the issuer when the keys have expired, and at most once a minute for one
    /// that is not known.
    pub(super) async fn find(&self, kid: &str) -> Result<Arc<PublicKey>, NoKey> {
        let mut known = self.known.lock().await;
        let now = Instant::now();
        let is_fresh = known.expires.is_some_and(|expires| now < expires);
        let is_known = known.keys.contains_key(kid);
        let may_ask = known.tried.is_none_or(|tried| now >= tried + PAUSE);
        if !(is_fresh && is_known) && may_ask {
            known.tried = Some(now);
            match self.fetch().await {
                Ok((keys, life)) => {
                    known.keys = keys;
                    known.expires = Some(now + life);
                    known.reason = None;
                }
                Err(reason) => known.reason = Some(reason),
            }
        }
        let is_usable = known
            .expires
            .is_some_and(|expires| now < expires + LAST_RESORT);
        match (known.keys.get(kid).filter(|_| is_usable), &known.reason) {
            (Some(key), _) => Ok(Arc::clone(key)),
            (None, Some(reason)) => Err(NoKey::Unreachable(reason.clone())),
            (None, None) => Err(NoKey::Unknown),
        }
    }

    async fn fetch(&self) -> Result<(HashMap<String, Arc<PublicKey>>, Duration), String> {
        let failed = |error: reqwest::Error| kart_core::chain(&error);
        let answer = self.client.get(&self.url).send().await.map_err(failed)?;
        let mut answer = answer.error_for_status().map_err(failed)?;
        let life = answer
            .headers()
            .get(reqwest::header::CACHE_CONTROL)
            .and_then(|value| max_age(value.to_str().ok()?));
        let mut text = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            text.extend_from_slice(&piece);
            if text.len() > MOST_BYTES {
                return Err(format!("{} gives more than {MOST_BYTES} bytes", self.url));
            }
        }
        let life = life.unwrap_or(LIFE).min(LONGEST_LIFE);
        Ok((
            read(&text).map_err(|error| format!("{}: {error}", self.url))?,
            life,
        ))
    }
}

fn max_age(cache_control: &str) -> Option<Duration> {
    let mut parts = cache_control.split(',');
    let seconds = parts.find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok())?;
    Some(Duration::from_secs(seconds))
}

/// The keys of a set; those of kinds that are not taken are left out.
fn read(text: &[u8]) -> Result<HashMap<String, Arc<PublicKey>>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(text)?;
    let keys = set.keys.into_iter().filter_map(|key| {
        let jwk: Jwk = serde_json::from_value(key).ok()?;
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            _ => return None,
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some((jwk.common.key_id?, Arc::new(PublicKey { algorithm, key })))
    });
    Ok(keys.collect())
}
