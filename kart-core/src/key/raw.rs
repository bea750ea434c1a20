//! JSON text into canonical form: for `serde_json`'s raw values, and for whoever has only the text.
//!
//! `serde_json`'s own parser is not used for it: whether it keeps integers past `u64` and reads floats
//! exactly depends on its features, which any crate of a build may switch on, and a key must not.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::Error as _;

use super::canonical::{self, CanonicalError};
use super::member::Members;
use super::number;

/// The name of the struct as which a `serde_json::Number` comes under `arbitrary_precision`.
pub(super) const NUMBER: &str = "$serde_json::private::Number";
/// The name of the struct as which a `serde_json::value::RawValue` comes.
pub(super) const VALUE: &str = "$serde_json::private::RawValue";

/// The string that `value` serializes as.
pub(super) fn text_of<T: Serialize + ?Sized>(value: &T) -> Result<String, CanonicalError> {
    let quoted = canonical::to_vec(value)?;
    serde_json::from_slice(&quoted).map_err(CanonicalError::custom)
}

/// Appends a number given as text.
pub(super) fn write_number(out: &mut Vec<u8>, text: &str) -> Result<(), CanonicalError> {
    let mut input = Input { text, at: 0 };
    let number = input.number()?;
    input.expect_end()?;
    number::write_text(out, number)
}

/// An array or object that is open.
enum Frame {
    Array,
    Object(Members),
}

/// Appends the canonical form of a JSON text, to any depth.
pub(super) fn rewrite(out: &mut Vec<u8>, text: &str) -> Result<(), CanonicalError> {
    let mut input = Input { text, at: 0 };
    let mut open: Vec<Frame> = Vec::new();
    loop {
        // A value begins here.
        match input.next_token() {
            Some(b'{') => {
                input.at += 1;
                let mut members = Members::open(out);
                if input.next_token() == Some(b'}') {
                    input.at += 1;
                    members.close(out)?;
                } else {
                    input.member_name(out, &mut members)?;
                    open.push(Frame::Object(members));
                    continue;
                }
            }
            Some(b'[') => {
                input.at += 1;
                out.push(b'[');
                if input.next_token() == Some(b']') {
                    input.at += 1;
                    out.push(b']');
                } else {
                    open.push(Frame::Array);
                    continue;
                }
            }
            Some(b'"') => canonical::write_str(out, &input.string()?),
            Some(b'-' | b'0'..=b'9') => number::write_text(out, input.number()?)?,
            _ => out.extend_from_slice(input.word()?.as_bytes()),
        }
        // It is complete, and with it perhaps what it stands in.
        loop {
            let Some(frame) = open.pop() else {
                return input.expect_end();
            };
            match (frame, input.next_token()) {
                (Frame::Array, Some(b']')) => out.push(b']'),
                (Frame::Object(members), Some(b'}')) => members.close(out)?,
                (Frame::Array, Some(b',')) => {
                    input.at += 1;
                    out.push(b',');
                    open.push(Frame::Array);
                    break;
                }
                (Frame::Object(mut members), Some(b',')) => {
                    input.at += 1;
                    input.member_name(out, &mut members)?;
                    open.push(Frame::Object(members));
                    break;
                }
                (Frame::Array, _) => return Err(input.unexpected("`,` or `]`")),
                (Frame::Object(_), _) => return Err(input.unexpected("`,` or `}`")),
            }
            input.at += 1;
        }
    }
}

/// What is left of a JSON text.
struct Input<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Input<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte behind white space, not taken yet.
    fn next_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn unexpected(&self, expected: &str) -> CanonicalError {
        CanonicalError::Raw(format!("expected {expected} at byte {}", self.at))
    }

    fn expect_end(&mut self) -> Result<(), CanonicalError> {
        match self.next_token() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end")),
        }
    }

    /// `"name":`
    fn member_name(
        &mut self,
        out: &mut Vec<u8>,
        members: &mut Members,
    ) -> Result<(), CanonicalError> {
        if self.next_token() != Some(b'"') {
            return Err(self.unexpected("a member's name"));
        }
        members.open_name(out);
        canonical::write_str(out, &self.string()?);
        if self.next_token() != Some(b':') {
            return Err(self.unexpected("`:`"));
        }
        self.at += 1;
        members.close_name(out);
        Ok(())
    }

    /// A string, which begins here.
    fn string(&mut self) -> Result<Cow<'a, str>, CanonicalError> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0x20..) => self.at += 1,
                Some(_) | None => return Err(self.unexpected("the rest of a string")),
            }
        }
        self.at += 1;
        let quoted = &self.text[start..self.at];
        if escaped {
            let text = serde_json::from_str::<String>(quoted);
            return text.map(Cow::Owned).map_err(|_| {
                CanonicalError::Raw(format!(
                    "the string at byte {start} has an escape that is none"
                ))
            });
        }
        Ok(Cow::Borrowed(&quoted[1..quoted.len() - 1]))
    }

    /// A number, which begins here.
    fn number(&mut self) -> Result<&'a str, CanonicalError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), CanonicalError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.unexpected("a digit"));
        }
        Ok(())
    }

    /// `null`, `true` or `false`.
    fn word(&mut self) -> Result<&'static str, CanonicalError> {
        let rest = &self.text.as_bytes()[self.at..];
        let word = ["null", "true", "false"]
            .into_iter()
            .find(|word| rest.starts_with(word.as_bytes()))
            .ok_or_else(|| self.unexpected("a value"))?;
        self.at += word.len();
        Ok(word)
    }
}
