//! Somebody who makes out identity tokens, with a server for the public keys.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

pub(crate) struct Issuer {
    url: String,
    rsa: EncodingKey,
    ec: EncodingKey,
    /// The one that comes after them.
    next: EncodingKey,
    keys: Mutex<Json>,
    /// What is given after a change of keys.
    later: Json,
    fetched: AtomicUsize,
    fails: AtomicBool,
}

pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap()
}

/// Claims as Google makes them.
pub(crate) fn claims(issuer: &Issuer, audience: &str, email: &str) -> Json {
    json!({
        "iss": issuer.url(),
        "aud": audience,
        "azp": "1234567890",
        "sub": "1234567890",
        "email": email,
        "email_verified": true,
        "iat": now(),
        "exp": now() + 3600,
    })
}

/// A token that nobody has signed.
pub(crate) fn unsigned(header: &Json, claims: &Json) -> String {
    format!("{}.{}.", encoded(header), encoded(claims))
}

pub(crate) fn encoded(json: &Json) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

impl Issuer {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rsa = KeyPair::generate(KeySize::Rsa2048).unwrap();
        // PKCS #8 wraps the PKCS #1 that is wanted in 26 bytes, for a key of this size.
        let rsa = EncodingKey::from_rsa_der(&rsa.as_der().unwrap().as_ref()[26..]);
        let curve = || {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
        };
        let (ec, next) = (curve(), curve());
        let public = |key: &EncodingKey, algorithm, kid: &str| {
            let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
            jwk.common.key_id = Some(kid.to_owned());
            serde_json::to_value(jwk).unwrap()
        };
        let keys = json!({"keys": [
            {"kty": "oct", "kid": "strange", "k": "AAAA"},
            {"kty": "who knows"},
            public(&rsa, Algorithm::RS256, "rsa"),
            public(&ec, Algorithm::ES256, "ec"),
        ]});
        let later = json!({"keys": [public(&next, Algorithm::ES256, "next")]});
        let issuer = Arc::new(Issuer {
            url,
            rsa,
            ec,
            next,
            keys: Mutex::new(keys),
            later,
            fetched: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
        });
        tokio::spawn(Arc::clone(&issuer).answer(listener));
        issuer
    }

    async fn answer(self: Arc<Self>, listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap() == 0 {
                    break;
                }
                request.extend_from_slice(&byte);
            }
            self.fetched.fetch_add(1, Ordering::SeqCst);
            let status = if self.fails.load(Ordering::SeqCst) {
                "500 No"
            } else {
                "200 OK"
            };
            let body = self.keys.lock().unwrap().to_string();
            let answer = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nCache-Control: public, max-age=3600\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// How often the keys were fetched.
    pub(crate) fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }

    /// Gives the key `next` from now on, and no other.
    pub(crate) fn rotate(&self) {
        self.keys.lock().unwrap().clone_from(&self.later);
    }

    /// The server has a bad day.
    pub(crate) fn fail(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }

    pub(crate) fn sign(&self, key: &str, claims: &Json) -> String {
        self.sign_as(key, key, claims)
    }

    pub(crate) fn sign_as(&self, key: &str, kid: &str, claims: &Json) -> String {
        let (algorithm, key) = match key {
            "rsa" => (Algorithm::RS256, &self.rsa),
            "next" => (Algorithm::ES256, &self.next),
            _ => (Algorithm::ES256, &self.ec),
        };
        let mut header = Header::new(algorithm);
        header.kid = Some(kid.to_owned());
        encode(&header, claims, key).unwrap()
    }

    /// The old trick: the public key is known to everybody, and is taken for a shared secret.
    pub(crate) fn sign_with_public_key(&self, claims: &Json) -> String {
        let public = self.keys.lock().unwrap()["keys"][2]["n"].clone();
        let secret = URL_SAFE_NO_PAD.decode(public.as_str().unwrap()).unwrap();
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("rsa".to_owned());
        encode(&header, claims, &EncodingKey::from_secret(&secret)).unwrap()
    }
}
