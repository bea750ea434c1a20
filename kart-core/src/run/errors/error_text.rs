//! Errors that are only texts: those of another process, and those that quoted a secret.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::dependency_failed::DependencyFailed;
use crate::error::{
    BoxError, Permanent, catch_panic, causes, interrupted, is_interrupted_itself, permanent,
};
use crate::model::Redactor;

/// Returns the error of an attempt with `***` for secrets, for spans, events, the log and the report. An error that quotes
/// no secret stays as it is, and so do the error types that a run distinguishes.
pub(crate) fn redacted(redactor: &Redactor, error: BoxError) -> BoxError {
    if redactor.is_idle() {
        return error;
    }
    let debug = catch_panic(|| format!("{error:?}")).unwrap_or_default();
    let quotes = |text: String| redactor.redact(text.as_str()) != text;
    if !quotes(debug) && !causes(error.as_ref()).any(|cause| quotes(shown(cause))) {
        return error;
    }
    rebuilt(redactor, error.as_ref())
}

/// Rebuilds an error and its causes from redacted texts.
fn rebuilt(redactor: &Redactor, error: &(dyn StdError + 'static)) -> BoxError {
    if error.is::<DependencyFailed>() || is_interrupted_itself(error) {
        let failed = error.downcast_ref::<DependencyFailed>();
        return failed.map_or_else(
            || interrupted().into(),
            |failed| {
                let failure = rebuilt(redactor, failed.failure.as_ref().as_ref());
                DependencyFailed {
                    key: failed.key,
                    failure: Arc::new(failure),
                }
                .into()
            },
        );
    }
    let text = redactor.redact(shown(error));
    let source = error.source().map(|source| rebuilt(redactor, source));
    if error.is::<Permanent>() {
        return permanent(ErrorText { text, source }).into();
    }
    ErrorText { text, source }.into()
}

/// Returns the text of an error, and catches a panic of its `Display`.
fn shown(error: &(dyn StdError + 'static)) -> String {
    catch_panic(|| error.to_string()).unwrap_or_else(|panic| format!("an error that {panic}"))
}

/// Returns the texts of an error and its causes, without those that repeat the one before.
pub(crate) fn texts(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut texts: Vec<String> = causes(error).map(shown).collect();
    texts.dedup();
    texts
}

/// An error that is a text, with its cause.
#[derive(Debug)]
pub(crate) struct ErrorText {
    text: String,
    source: Option<BoxError>,
}

impl ErrorText {
    /// Returns an error with these causes, the outermost first.
    pub(crate) fn of(causes: Vec<String>) -> Self {
        let mut causes = causes.into_iter().rev();
        let innermost = ErrorText {
            text: causes
                .next()
                .unwrap_or_else(|| "no reason was given".into()),
            source: None,
        };
        causes.fold(innermost, |cause, text| ErrorText {
            text,
            source: Some(cause.into()),
        })
    }

    pub(crate) fn into_error(self, is_permanent: bool) -> BoxError {
        if is_permanent {
            permanent(self).into()
        } else {
            self.into()
        }
    }
}

impl fmt::Display for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for ErrorText {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}
