//! The members of an object: their names as text, their order, and that no name comes twice.

use std::cmp::Ordering;

use serde::ser::{self, Impossible, Serialize};

use super::canonical::{self, CanonicalError};
use super::number;

/// The members of one object that is being written at the end of a buffer. They are written in the
/// order in which they come, and put in order at the end if they were not.
#[derive(Debug)]
pub(super) struct Members {
    /// Where the first member begins, behind the brace.
    start: usize,
    members: Vec<Member>,
}

/// Where in the buffer `"name":value` stands; without the comma.
#[derive(Clone, Copy, Debug)]
struct Member {
    start: usize,
    name_end: usize,
    end: usize,
}

impl Member {
    /// The name as it stands in the buffer: with its escapes, without its quotes. Empty if there is
    /// none, as when a `Serialize` goes on after the key of a map was refused.
    fn name(self, out: &[u8]) -> &[u8] {
        out.get(self.start + 1..self.name_end.saturating_sub(1))
            .unwrap_or_default()
    }
}

impl Members {
    /// Writes the brace.
    pub(super) fn open(out: &mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            start: out.len(),
            members: Vec::new(),
        }
    }

    /// The next member's name is written after this, as a JSON string.
    pub(super) fn open_name(&mut self, out: &mut Vec<u8>) {
        if let Some(last) = self.members.last_mut() {
            last.end = out.len();
            out.push(b',');
        }
        let start = out.len();
        self.members.push(Member {
            start,
            name_end: start,
            end: start,
        });
    }

    /// The member's value is written after this.
    pub(super) fn close_name(&mut self, out: &mut Vec<u8>) {
        if let Some(last) = self.members.last_mut() {
            last.name_end = out.len();
        }
        out.push(b':');
    }

    /// Puts the members in order and writes the brace.
    pub(super) fn close(mut self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        if let Some(last) = self.members.last_mut() {
            last.end = out.len();
        }
        let in_order = self.members.is_sorted_by(|left, right| {
            compare_names(left.name(out), right.name(out)) == Ordering::Less
        });
        if !in_order {
            self.sort(out)?;
        }
        out.push(b'}');
        Ok(())
    }

    fn sort(&mut self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        self.members
            .sort_by(|left, right| compare_names(left.name(out), right.name(out)));
        let twice = self
            .members
            .windows(2)
            .find(|pair| pair[0].name(out) == pair[1].name(out));
        if let Some(pair) = twice {
            let name = unescape(pair[0].name(out)).collect::<Vec<u8>>();
            let name = String::from_utf8_lossy(&name).into_owned();
            return Err(CanonicalError::DuplicateKey(name));
        }
        let mut sorted = Vec::with_capacity(out.len() - self.start);
        for (index, member) in self.members.iter().enumerate() {
            if index > 0 {
                sorted.push(b',');
            }
            sorted.extend_from_slice(&out[member.start..member.end]);
        }
        out.truncate(self.start);
        out.extend_from_slice(&sorted);
        Ok(())
    }
}

/// Compares two names by their UTF-16 code units.
///
/// UTF-8 sorts like UTF-16 but for one thing: a character past U+FFFF (first byte 0xF0 to 0xF4) is a
/// pair of surrogates, which stand before U+E000..U+FFFF (first byte 0xEE or 0xEF). These two bytes
/// are never continuation bytes, so lifting them above 0xF4 mends the order of the first difference.
fn compare_names(left: &[u8], right: &[u8]) -> Ordering {
    fn utf16_weight(byte: u8) -> u8 {
        match byte {
            0xee | 0xef => byte + 0x10,
            _ => byte,
        }
    }
    unescape(left)
        .map(utf16_weight)
        .cmp(unescape(right).map(utf16_weight))
}

/// The bytes of a string that [`canonical::write_str`] wrote, without its escapes.
fn unescape(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text.iter().copied();
    std::iter::from_fn(move || {
        let byte = rest.next()?;
        if byte != b'\\' {
            return Some(byte);
        }
        Some(match rest.next()? {
            b'b' => 0x08,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 0x0c,
            b'r' => b'\r',
            b'u' => rest.by_ref().take(4).fold(0, |value, digit| {
                let digit = char::from(digit).to_digit(16).unwrap_or(0);
                (value << 4) | u8::try_from(digit).unwrap_or(0)
            }),
            quoted => quoted,
        })
    })
}

/// Writes the key of a map as a JSON string; keys that have no text are errors.
pub(super) struct NameSerializer<'a> {
    pub(super) out: &'a mut Vec<u8>,
}

type Refused = Impossible<(), CanonicalError>;

fn refuse<T>(what: &'static str) -> Result<T, CanonicalError> {
    Err(CanonicalError::MapKey(what))
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, value: $type) -> Result<(), CanonicalError> {
            self.out.push(b'"');
            number::write_integer(self.out, value)?;
            self.out.push(b'"');
            Ok(())
        }
    )*};
}

impl ser::Serializer for NameSerializer<'_> {
    type Ok = ();
    type Error = CanonicalError;
    type SerializeSeq = Refused;
    type SerializeTuple = Refused;
    type SerializeTupleStruct = Refused;
    type SerializeTupleVariant = Refused;
    type SerializeMap = Refused;
    type SerializeStruct = Refused;
    type SerializeStructVariant = Refused;

    integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_u128: u128
    }

    fn serialize_bool(self, value: bool) -> Result<(), CanonicalError> {
        self.serialize_str(if value { "true" } else { "false" })
    }

    fn serialize_f32(self, value: f32) -> Result<(), CanonicalError> {
        self.serialize_str(&number::f32_name(value)?)
    }

    fn serialize_f64(self, value: f64) -> Result<(), CanonicalError> {
        self.serialize_str(&number::f64_name(value)?)
    }

    fn serialize_char(self, value: char) -> Result<(), CanonicalError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), CanonicalError> {
        canonical::write_str(self.out, value);
        Ok(())
    }

    fn serialize_bytes(self, _value: &[u8]) -> Result<(), CanonicalError> {
        refuse("bytes")
    }

    fn serialize_none(self) -> Result<(), CanonicalError> {
        refuse("a none")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CanonicalError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), CanonicalError> {
        refuse("a unit")
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), CanonicalError> {
        refuse("a unit struct")
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), CanonicalError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), CanonicalError> {
        refuse("a variant with a value")
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Refused, CanonicalError> {
        refuse("a sequence")
    }

    fn serialize_tuple(self, _len: usize) -> Result<Refused, CanonicalError> {
        refuse("a tuple")
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Refused, CanonicalError> {
        refuse("a tuple struct")
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Refused, CanonicalError> {
        refuse("a variant with values")
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Refused, CanonicalError> {
        refuse("a map")
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Refused, CanonicalError> {
        refuse("a struct")
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Refused, CanonicalError> {
        refuse("a variant with fields")
    }
}
