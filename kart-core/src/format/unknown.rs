//! Stored fields that the type of a value does not have.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use bytes::Bytes;

use super::Format;
use crate::BoxError;

/// The fields that a stored value has and its type does not, as a format reports them from
/// [`Format::decode_reporting`].
#[derive(Debug, Default)]
pub struct UnknownFields {
    paths: BTreeSet<String>,
    /// The names on the way to where a value is being decoded.
    at: String,
}

impl UnknownFields {
    /// Adds a field by its path, such as `customer.address`. Elements of a list have no part in it.
    pub fn add(&mut self, path: &str) {
        if !self.paths.contains(path) {
            self.paths.insert(path.to_owned());
        }
    }

    /// Returns whether the type has all fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns the paths of the fields, each once and sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    pub(super) fn depth(&self) -> usize {
        self.at.len()
    }

    pub(super) fn leave(&mut self, depth: usize) {
        self.at.truncate(depth);
    }

    pub(super) fn enter(&mut self, name: &str) {
        if !self.at.is_empty() {
            self.at.push('.');
        }
        self.at.push_str(name);
    }

    pub(super) fn enter_shown(&mut self, name: impl fmt::Display) {
        self.enter("");
        let _ = write!(self.at, "{name}");
    }

    /// Adds the field that is being decoded.
    pub(super) fn add_current(&mut self) {
        if !self.at.is_empty() && !self.paths.contains(&self.at) {
            self.paths.insert(self.at.clone());
        }
    }
}

/// Decodes a value, and reports the fields that its type neither has nor writes.
pub(crate) fn decode<F: Format<T>, T>(
    bytes: Bytes,
    unknown: &mut UnknownFields,
) -> Result<T, BoxError> {
    let value = F::decode_reporting(bytes, unknown)?;
    if !unknown.is_empty() {
        // Those of `#[serde(skip_deserializing)]` are written and never read.
        let own = written::<F, T>(&value).unwrap_or_default();
        unknown.paths.retain(|path| !own.paths.contains(path));
    }
    Ok(value)
}

/// Returns the fields that the type writes and does not read.
fn written<F: Format<T>, T>(value: &T) -> Result<UnknownFields, BoxError> {
    let mut own = UnknownFields::default();
    F::decode_reporting(F::encode(value)?, &mut own)?;
    Ok(own)
}
