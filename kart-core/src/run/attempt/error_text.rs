//! Errors of which only the texts are left: those of another process, and those that quoted what is secret.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{BoxError, causes, permanent};
use crate::model::AnyTask;

/// The error of an attempt with `***` for the secret parameters of its task, from which it goes to events, the log and
/// the report; the error itself where it quotes none.
pub(crate) fn redacted(task: &AnyTask, error: BoxError, is_permanent: bool) -> BoxError {
    let secrets = task.secrets();
    let texts: Vec<String> = causes(error.as_ref()).map(ToString::to_string).collect();
    let is_quoted = |secret: &String| texts.iter().any(|text| text.contains(secret));
    if !secrets.iter().any(is_quoted) {
        return error;
    }
    let texts = texts.iter().map(|text| task.redacted(text)).collect();
    ErrorText::of(texts).into_error(is_permanent)
}

/// An error and its causes as text; one that only repeats what stands before it is left out.
pub(crate) fn texts(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.dedup();
    texts
}

/// An error by its text, with what caused it.
#[derive(Debug)]
pub(crate) struct ErrorText {
    text: String,
    source: Option<Box<ErrorText>>,
}

impl ErrorText {
    /// From the outermost to the innermost.
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
            source: Some(Box::new(cause)),
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
