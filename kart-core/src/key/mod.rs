//! Identity: canonical JSON, the key that is its hash, and the paths that outputs go to.
//!
//! Everything here is pure. The key of a task depends on nothing but the text that goes in; the golden
//! vectors in `tests/golden/` hold that, and a second implementation of it.

pub mod canonical;
pub mod path;

mod compound;
mod member;
mod number;
mod raw;

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

pub use self::canonical::CanonicalError;
pub use self::path::{PathText, PathValue, Segment, ViaDisplay, ViaJson, render};

/// What identifies a task with its parameters and requirements: the first 128 bits of the BLAKE3 hash
/// of its canonical JSON. Its text is 32 lower-case hex digits.
///
/// # Examples
///
/// ```
/// use kart::key::Key;
///
/// let key = Key::of(br#"{"params":{},"requires":{},"task":"Agg","version":1}"#);
/// assert_eq!(key.to_string().len(), 32);
/// assert_eq!(key.to_string().parse::<Key>()?, key);
/// # Ok::<(), kart::key::ParseKeyError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; Key::LEN]);

impl Key {
    /// The length of a key in bytes.
    pub const LEN: usize = 16;

    /// The key of a canonical text.
    #[must_use]
    pub fn of(canonical: &[u8]) -> Self {
        Self::from_hash(&blake3::hash(canonical))
    }

    /// The key's bytes; its text is their hex digits.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The key's text as ASCII.
    pub(crate) fn to_hex(self) -> [u8; 2 * Self::LEN] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 2 * Self::LEN];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(self.0) {
            *pair = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        }
        digits
    }

    fn from_hash(hash: &blake3::Hash) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice(&hash.as_bytes()[..Self::LEN]);
        Self(bytes)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.to_hex();
        f.pad(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 lower-case hex digits, not `{text}`")]
pub struct ParseKeyError {
    text: String,
}

impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let parse = || {
            let mut bytes = [0; Self::LEN];
            let (pairs, rest) = text.as_bytes().as_chunks::<2>();
            if pairs.len() != Self::LEN || !rest.is_empty() {
                return None;
            }
            for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
                *byte = (nibble(*high)? << 4) | nibble(*low)?;
            }
            Some(Self(bytes))
        };
        parse().ok_or_else(|| ParseKeyError {
            text: text.to_owned(),
        })
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl de::Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key of 32 lower-case hex digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

/// Makes the key of a canonical text that comes in pieces.
///
/// # Examples
///
/// ```
/// use kart::key::{Key, KeyHasher};
///
/// let mut hasher = KeyHasher::new();
/// hasher.update(b"{").update(b"}");
/// assert_eq!(hasher.finish(), Key::of(b"{}"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyHasher(blake3::Hasher);

impl KeyHasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of the text.
    pub fn update(&mut self, piece: &[u8]) -> &mut Self {
        self.0.update(piece);
        self
    }

    /// The key of all pieces so far.
    #[must_use]
    pub fn finish(&self) -> Key {
        Key::from_hash(&self.0.finalize())
    }
}
