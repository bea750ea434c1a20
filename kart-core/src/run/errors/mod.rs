//! Errors of attempts, and their texts.

pub(crate) mod dependency_failed;
pub(crate) mod error_text;
pub(crate) mod unavailable;
