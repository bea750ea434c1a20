//! Identity tokens, as Google's queues, schedulers and accounts send them.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, TokenData, Validation, decode, decode_header};
use serde::Deserialize;

use super::keys::{Keys, NoKey};
use crate::answer::Refusal;
use crate::error::ServeError;
use crate::settings::Oidc;

/// Google writes its own name in both ways.
const GOOGLE: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
const GOOGLE_KEYS: &str = "https://www.googleapis.com/oauth2/v3/certs";

/// How far the clocks of the issuer and of this machine may be apart.
const LEEWAY: Duration = Duration::from_mins(1);

/// What Cloud Run puts in the place of a signature that it has checked itself.
const REMOVED: &str = ".SIGNATURE_REMOVED_BY_GOOGLE";

/// Longer ones are not looked at.
const LONGEST: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Verifier {
    audience: String,
    issuers: Vec<String>,
    emails: Vec<String>,
    keys: Keys,
}

#[derive(Deserialize)]
struct Claims {
    iat: Option<u64>,
    email: Option<String>,
    /// Some issuers write it as a text.
    email_verified: Option<serde_json::Value>,
}

impl Verifier {
    pub(super) fn new(oidc: &Oidc) -> Result<Self, ServeError> {
        let issuers = match &oidc.issuer {
            Some(issuer) => vec![issuer.clone()],
            None => GOOGLE.map(str::to_owned).to_vec(),
        };
        Ok(Verifier {
            audience: oidc.audience.clone(),
            issuers,
            emails: oidc.emails.clone(),
            keys: Keys::new(oidc.keys.as_deref().unwrap_or(GOOGLE_KEYS))?,
        })
    }

    /// Whether the token is made out by the issuer, for this service, now, and for an account that may call.
    pub(super) async fn check(&self, token: &str) -> Result<(), Refusal> {
        let refused = |why: &str| Refusal::unauthorized(format!("the identity token {why}"));
        if token.len() > LONGEST {
            return Err(refused("is too long"));
        }
        if token.ends_with(REMOVED) {
            return Err(refused(
                "has no signature any more: the platform has checked and removed it, so start with --trust-platform instead",
            ));
        }
        // Only names of known algorithms are read: `none` is not one.
        let header = decode_header(token).map_err(|_| refused("cannot be read"))?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
            return Err(refused("is signed by an algorithm that is not taken"));
        }
        let kid = header.kid.ok_or_else(|| refused("names no key"))?;
        let key = self.keys.find(&kid).await.map_err(|error| match error {
            NoKey::Unknown => refused("is signed by a key that the issuer does not have"),
            NoKey::Unreachable(reason) => {
                tracing::warn!(reason, "failed to fetch the issuer's keys");
                Refusal::unavailable(
                    "the issuer's keys could not be fetched",
                    "try again; the log of the service says more",
                )
            }
        })?;
        // The key says what it is for, and not the token.
        if key.algorithm != header.alg {
            return Err(refused("names another algorithm than its key is for"));
        }
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&self.issuers);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let TokenData { claims, .. } =
            decode::<Claims>(token, &key.key, &validation).map_err(|error| {
                use jsonwebtoken::errors::ErrorKind;
                refused(match error.kind() {
                    ErrorKind::ExpiredSignature => "has expired",
                    ErrorKind::ImmatureSignature => "is not valid yet",
                    ErrorKind::InvalidAudience => "is made out for another audience",
                    ErrorKind::InvalidIssuer => "is of another issuer",
                    ErrorKind::InvalidSignature => "has a false signature",
                    ErrorKind::MissingRequiredClaim(_) => "lacks its time, issuer or audience",
                    _ => "cannot be read",
                })
            })?;
        self.check_claims(&claims)
    }

    fn check_claims(&self, claims: &Claims) -> Result<(), Refusal> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let latest = now.unwrap_or_default().saturating_add(LEEWAY).as_secs();
        if claims.iat.is_some_and(|made| made > latest) {
            return Err(Refusal::unauthorized(
                "the identity token was made in the future",
            ));
        }
        let is_verified = match &claims.email_verified {
            Some(serde_json::Value::Bool(verified)) => *verified,
            Some(serde_json::Value::String(text)) => text == "true",
            Some(_) => false,
            // Without an e-mail list nothing hangs on it.
            None => self.emails.is_empty(),
        };
        let forbidden = |why: &str| {
            let hint = "call as an account that --oidc-email names";
            Refusal::forbidden(format!("the account of the identity token {why}"), hint)
        };
        if !is_verified {
            return Err(forbidden("has no verified e-mail address"));
        }
        let is_listed = |email: &str| self.emails.iter().any(|known| known == email);
        if !self.emails.is_empty() && !claims.email.as_deref().is_some_and(is_listed) {
            return Err(forbidden("is not one that may call"));
        }
        Ok(())
    }
}
