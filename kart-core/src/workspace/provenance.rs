//! What is recorded with an output: whose it is, what was written, and who made it.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::key::Key;
use crate::run_id::RunId;

/// The form of the record that this release writes.
const FORM: &str = "1";

/// How long a text with all fields is, but for the name of the task and several reruns.
const LENGTH: usize = 320;

/// How many fields a text has at most that this release writes.
const FIELDS: usize = 8;

/// What would end a field or is no printable ASCII.
pub(super) const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'"').add(b'\\');

/// The provenance of an output. It travels with the object as metadata, or lies beside it where the store keeps none.
///
/// Its text is one line of ASCII, `v=1 key=… task=… bytes=… blake3=… code=… run=… rerun=…`. Fields that are not known are
/// left out, and fields that a later release adds are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provenance {
    /// The key of the task that made it.
    pub key: Key,
    /// The stable name of that task.
    pub task: String,
    /// How many bytes were written.
    pub bytes: u64,
    /// The BLAKE3 hash of what was written, where it was known by the time of the commit.
    pub(crate) blake3: Option<blake3::Hash>,
    /// The fingerprint of the code that made it; none if a person has accepted it.
    pub code: Option<String>,
    /// The run that made it, or the moment at which a person accepted it; none if somebody else has put it there.
    pub run: Option<RunId>,
    /// The reruns that it was made for.
    pub reruns: Vec<RunId>,
}

impl Provenance {
    pub(crate) fn new(key: Key, task: &str, bytes: u64) -> Self {
        Provenance {
            key,
            task: task.to_owned(),
            bytes,
            blake3: None,
            code: None,
            run: None,
            reruns: Vec::new(),
        }
    }

    /// The BLAKE3 hash of what was written as 64 hex digits, where it is known.
    #[must_use]
    pub fn blake3(&self) -> Option<String> {
        Some(self.blake3?.to_hex().to_string())
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One text at once: every output is published with one.
        let mut text = String::with_capacity(LENGTH + self.task.len());
        text.push_str("v=");
        text.push_str(FORM);
        let _ = write!(text, " key={}", self.key);
        text.push_str(" task=");
        text.extend(utf8_percent_encode(&self.task, ENCODED));
        let _ = write!(text, " bytes={}", self.bytes);
        if let Some(hash) = &self.blake3 {
            text.push_str(" blake3=");
            text.push_str(&hash.to_hex());
        }
        if let Some(code) = &self.code {
            text.push_str(" code=");
            text.extend(utf8_percent_encode(code, ENCODED));
        }
        if let Some(run) = &self.run {
            let _ = write!(text, " run={run}");
        }
        for (at, rerun) in self.reruns.iter().enumerate() {
            text.push_str(if at == 0 { " rerun=" } else { "," });
            let _ = write!(text, "{rerun}");
        }
        f.write_str(&text)
    }
}

/// The text is no provenance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProvenanceError {
    /// A later release has written it.
    #[error("it has the form `{0}`, which a later release of kart writes")]
    Form(String),
    /// A field is missing or makes no sense.
    #[error("its field `{0}` is missing or makes no sense")]
    Field(&'static str),
}

impl Provenance {
    pub(crate) fn parse(text: &str) -> Result<Self, ProvenanceError> {
        let fields = Fields::of(text.trim_end());
        match fields.get("v") {
            Some(FORM) => {}
            Some(form) => return Err(ProvenanceError::Form(form.to_owned())),
            None => return Err(ProvenanceError::Field("v")),
        }
        let reruns = fields.get("rerun").unwrap_or_default().split(',');
        let reruns = reruns.filter(|rerun| !rerun.is_empty());
        let reruns = reruns.map(|rerun| rerun.parse().map_err(|_| ProvenanceError::Field("rerun")));
        Ok(Provenance {
            key: fields.parse("key")?.ok_or(ProvenanceError::Field("key"))?,
            task: fields.text("task").ok_or(ProvenanceError::Field("task"))?,
            bytes: fields
                .parse("bytes")?
                .ok_or(ProvenanceError::Field("bytes"))?,
            blake3: fields.parse("blake3")?,
            code: fields.text("code"),
            run: fields.parse("run")?,
            reruns: reruns.collect::<Result<_, _>>()?,
        })
    }
}

/// The fields of a text, each `name=value`; of two of one name the first counts.
pub(super) struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut fields = Vec::with_capacity(FIELDS);
        fields.extend(text.split(' ').filter_map(|field| field.split_once('=')));
        Fields(fields)
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let mut fields = self.0.iter();
        fields.find_map(|(other, value)| (*other == name).then_some(*value))
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = self.get(name)?;
        if !text.contains('%') {
            return Some(text.to_owned());
        }
        let text = percent_decode_str(text).decode_utf8().ok()?;
        Some(text.into_owned())
    }

    pub(super) fn parse<T: FromStr>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, ProvenanceError> {
        let value = self.get(name).map(str::parse);
        value.transpose().map_err(|_| ProvenanceError::Field(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Provenance {
        Provenance {
            blake3: Some(blake3::hash(b"x")),
            code: Some("c0de".to_owned()),
            run: Some(RunId::now()),
            reruns: vec![RunId::now(), RunId::now()],
            ..Provenance::new(Key::of(b"x"), "crate::größe %", 7)
        }
    }

    #[test]
    fn its_text_is_short_ascii_and_reads_back() {
        let bare = Provenance::new(Key::of(b"y"), "T", 0);
        for provenance in [whole(), bare] {
            let text = provenance.to_string();
            assert!(text.is_ascii() && text.len() < 400, "{text}");
            assert_eq!(Provenance::parse(&text), Ok(provenance));
        }
    }

    #[test]
    fn fields_of_later_releases_are_passed_over_but_another_form_is_not() {
        let provenance = whole();
        let text = format!("{provenance} next=1");
        assert_eq!(Provenance::parse(&text), Ok(provenance.clone()));
        let later = Provenance::parse(&text.replacen("v=1", "v=2", 1));
        assert_eq!(later, Err(ProvenanceError::Form("2".to_owned())));
    }

    #[test]
    fn what_is_cut_off_or_broken_names_the_field() {
        for (text, field) in [
            ("", "v"),
            ("pending", "v"),
            ("v=1", "key"),
            ("v=1 key=5", "key"),
            ("v=1 key=00000000000000000000000000000000", "task"),
            (
                "v=1 key=00000000000000000000000000000000 task=T bytes=-1",
                "bytes",
            ),
            (
                "v=1 key=00000000000000000000000000000000 task=T bytes=1 blake3=5",
                "blake3",
            ),
        ] {
            let error = Provenance::parse(text);
            assert_eq!(error, Err(ProvenanceError::Field(field)), "{text}");
        }
    }
}
