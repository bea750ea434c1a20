//! Redaction: texts with `***` in place of secret parameters.

mod leaves;

use std::fmt;
use std::sync::{Arc, OnceLock};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use self::leaves::Leaf;
pub(crate) use self::leaves::SecretLeaves;
use super::any::AnyTask;
use super::params::Params;
use super::spec::ParamKind;
use super::task::DynTask;
use super::wire;

/// What stands in place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// Replaces the secret parameters of a task, and of the tasks that are its parameters, by `***`.
///
/// Hidden are all strings and numbers in them, as they are and in the forms that texts quote them in: escaped as by
/// `{:?}` or as JSON, and percent-encoded. Where a secret cannot be read at all, whole texts are hidden.
#[derive(Clone, Default)]
pub struct Redactor {
    /// The longest first: one may be a part of another.
    patterns: Vec<Pattern>,
    hides_all: bool,
}

#[derive(Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
    /// Hidden only where it is not a part of a longer word: a number.
    is_word: bool,
}

impl Redactor {
    /// Returns the redactor of a task's own texts. It costs nothing where no secret can be.
    pub(crate) fn of(task: &dyn DynTask) -> Arc<Self> {
        static NONE: OnceLock<Arc<Redactor>> = OnceLock::new();
        let has = |kind| task.spec().params.iter().any(|param| param.kind == kind);
        if has(ParamKind::Secret) || (has(ParamKind::Dependency) && any_secret_is_linked()) {
            return Arc::new(Redactor::read(task));
        }
        Arc::clone(NONE.get_or_init(Arc::default))
    }

    fn read(task: &dyn DynTask) -> Self {
        let mut redactor = Redactor::default();
        let read = crate::error::catch_panic(|| Params::secrets(task));
        let Ok(leaves) = read else {
            redactor.hides_all = true;
            return redactor;
        };
        redactor.hides_all = leaves.is_unreadable;
        for leaf in &leaves.found {
            redactor.add(leaf);
        }
        let patterns = &mut redactor.patterns;
        patterns.sort_by(|a, b| (b.text.len(), &b.text).cmp(&(a.text.len(), &a.text)));
        patterns.dedup();
        redactor
    }

    fn add(&mut self, leaf: &Leaf) {
        let (text, is_word) = match leaf {
            Leaf::Text(text) => (text, false),
            // A short one is a part of much that is no secret.
            Leaf::Number(text) => (text, text.len() < 4),
        };
        for line in std::iter::once(text.as_str()).chain(text.lines()) {
            for form in forms(line) {
                if !form.trim().is_empty() {
                    self.patterns.push(Pattern {
                        text: form,
                        is_word,
                    });
                }
            }
        }
    }

    /// Returns `true` if there is nothing to hide.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.patterns.is_empty() && !self.hides_all
    }

    /// Returns the text with `***` for each secret.
    #[must_use]
    pub fn redact(&self, text: impl Into<String>) -> String {
        let mut text = text.into();
        if self.hides_all {
            HIDDEN.clone_into(&mut text);
        }
        for pattern in &self.patterns {
            if text.contains(&pattern.text) {
                text = pattern.hidden_in(&text);
            }
        }
        text
    }
}

impl Pattern {
    fn hidden_in(&self, text: &str) -> String {
        if !self.is_word {
            return text.replace(&self.text, HIDDEN);
        }
        let mut hidden = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(&self.text) {
            let end = at + self.text.len();
            let before = rest[..at]
                .chars()
                .next_back()
                .or(hidden.chars().next_back());
            let is_part = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
            hidden.push_str(&rest[..at]);
            if is_part(before) || is_part(rest[end..].chars().next()) {
                hidden.push_str(&self.text);
            } else {
                hidden.push_str(HIDDEN);
            }
            rest = &rest[end..];
        }
        hidden + rest
    }
}

/// Shows nothing of what it hides.
impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

/// Letters, digits and what URLs leave as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How texts quote a text.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned()];
    let escaped = |text: &str| {
        let json = serde_json::json!(text).to_string();
        [quoted(&format!("{text:?}")), quoted(&json)]
    };
    // Twice, for JSON within JSON and errors that are shown by `Debug` of a text.
    forms.extend(escaped(text));
    forms.extend(escaped(text).iter().flat_map(|text| escaped(text)));
    for set in [NON_ALPHANUMERIC, UNRESERVED] {
        let encoded = utf8_percent_encode(text, set).to_string();
        forms.push(encoded.replace("%20", "+"));
        forms.push(encoded);
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// The inner part of a quoted text.
fn quoted(text: &str) -> String {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(text).to_owned()
}

/// Returns `true` if any task of this program has a secret parameter.
fn any_secret_is_linked() -> bool {
    static ANY: OnceLock<bool> = OnceLock::new();
    let is_secret = |param: &super::spec::ParamSpec| param.kind == ParamKind::Secret;
    *ANY.get_or_init(|| wire::linked().any(|spec| spec.params.iter().any(is_secret)))
}

impl AnyTask {
    /// Returns what hides the secrets of the task, and of the tasks that are its parameters, in texts.
    #[must_use]
    pub fn redactor(&self) -> Arc<Redactor> {
        Redactor::of(self.as_dyn())
    }

    /// Returns the text with `***` for each of the task's secrets; see [`Redactor`].
    #[must_use]
    pub fn redacted(&self, text: &str) -> String {
        self.redactor().redact(text)
    }
}
