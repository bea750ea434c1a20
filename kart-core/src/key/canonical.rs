//! Canonical JSON: one text for one value, on every platform and with every build.
//!
//! The form is [RFC 8785]: members sorted by UTF-16 code units, no white space, minimal escapes,
//! numbers as ECMAScript prints them. kart adds that integers are printed exactly, whatever their
//! size. The canonical text of a value is that of the JSON text `serde_json` writes for it, but it
//! is written straight from the value, so neither `serde_json`'s features nor its release matter.
//! (One thing is out of reach: a `serde_json::Value` read from an integer past `u64` holds a float, and
//! only under `arbitrary_precision` the integer.)
//!
//! [RFC 8785]: https://www.rfc-editor.org/rfc/rfc8785

use std::fmt;

use serde::ser::{self, Serialize};

use super::compound::{Elements, Object, Structure};
use super::{number, raw};

/// Why a value has no canonical JSON text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CanonicalError {
    /// A float is not a number.
    #[error("NaN has no JSON form")]
    NaN,
    /// A float is infinite, or the text of a number is past the range of an `f64`.
    #[error("infinity has no JSON form")]
    Infinity,
    /// A map serializes two of its entries under one name.
    #[error("the map has the key `{0}` twice")]
    DuplicateKey(String),
    /// The key of a map has no text; what it is instead, with its article.
    #[error("a map key must be a string, number, bool or unit variant, not {0}")]
    MapKey(&'static str),
    /// The text of a raw value or a number is not JSON.
    #[error("the raw text is not JSON: {0}")]
    Raw(String),
    /// The value's own `Serialize` or `Display` failed.
    #[error("{0}")]
    Custom(String),
}

impl ser::Error for CanonicalError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }
}

/// Appends the canonical JSON text of `value` to `out`.
///
/// # Errors
///
/// The value holds a NaN or an infinity, a map with a key that has no text or with one key twice,
/// or its own `Serialize` fails. What `out` holds past its former end is then unspecified.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
///
/// use kart::key::canonical;
///
/// let mut out = Vec::new();
/// canonical::write(&mut out, &HashMap::from([("b", 1.0), ("a", 1e300)]))?;
/// assert_eq!(out, br#"{"a":1e+300,"b":1}"#);
/// # Ok::<(), canonical::CanonicalError>(())
/// ```
pub fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), CanonicalError> {
    value.serialize(Canonical { out })
}

/// The canonical JSON text of `value`.
///
/// # Errors
///
/// As [`write()`].
///
/// # Examples
///
/// ```
/// use kart::key::canonical;
///
/// assert_eq!(canonical::to_vec(&(1, "a", None::<u8>))?, br#"[1,"a",null]"#);
/// assert_eq!(canonical::to_vec(&f64::NAN).unwrap_err().to_string(), "NaN has no JSON form");
/// # Ok::<(), canonical::CanonicalError>(())
/// ```
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write(&mut out, value)?;
    Ok(out)
}

/// Appends the canonical form of a JSON text to `out`: its numbers, strings and order of members
/// are rewritten, its integers stay as they are.
///
/// # Errors
///
/// The text is not JSON, holds a number past the range of an `f64`, or an object with one member
/// twice. What `out` holds past its former end is then unspecified.
///
/// # Examples
///
/// ```
/// use kart::key::canonical;
///
/// let mut out = Vec::new();
/// canonical::write_json(&mut out, r#" {"b": 1.50, "a": "\u0041"} "#)?;
/// assert_eq!(out, br#"{"a":"A","b":1.5}"#);
/// # Ok::<(), canonical::CanonicalError>(())
/// ```
pub fn write_json(out: &mut Vec<u8>, text: &str) -> Result<(), CanonicalError> {
    raw::rewrite(out, text)
}

/// The order of members: by UTF-16 code units.
pub(crate) fn compare(left: &str, right: &str) -> std::cmp::Ordering {
    left.encode_utf16().cmp(right.encode_utf16())
}

/// Appends `text` as a JSON string, with no more escapes than JSON asks for.
///
/// # Examples
///
/// ```
/// use kart::key::canonical;
///
/// let mut out = Vec::new();
/// canonical::write_str(&mut out, "é\t\u{1}\"/");
/// assert_eq!(out, r#""é\t\u0001\"/""#.as_bytes());
/// ```
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(text.len() + 2);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            0..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"00");
            out.extend_from_slice(&digits);
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

/// Writes one value.
struct Canonical<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Canonical<'a> {
    /// `{"variant":`, to be closed by whoever writes the content.
    fn open_variant(self, variant: &str) -> &'a mut Vec<u8> {
        self.out.push(b'{');
        write_str(self.out, variant);
        self.out.push(b':');
        self.out
    }
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, value: $type) -> Result<(), CanonicalError> {
            number::write_integer(self.out, value)
        }
    )*};
}

impl<'a> ser::Serializer for Canonical<'a> {
    type Ok = ();
    type Error = CanonicalError;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Elements<'a>;
    type SerializeTupleStruct = Elements<'a>;
    type SerializeTupleVariant = Elements<'a>;
    type SerializeMap = Object<'a>;
    type SerializeStruct = Structure<'a>;
    type SerializeStructVariant = Object<'a>;

    integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_u128: u128
    }

    fn serialize_bool(self, value: bool) -> Result<(), CanonicalError> {
        let text: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), CanonicalError> {
        number::write_f32(self.out, value)
    }

    fn serialize_f64(self, value: f64) -> Result<(), CanonicalError> {
        number::write_f64(self.out, value)
    }

    fn serialize_char(self, value: char) -> Result<(), CanonicalError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), CanonicalError> {
        write_str(self.out, value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), CanonicalError> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), CanonicalError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CanonicalError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), CanonicalError> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), CanonicalError> {
        self.serialize_unit()
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
        variant: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        let out = self.open_variant(variant);
        write(out, value)?;
        out.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Elements<'a>, CanonicalError> {
        Ok(Elements::open(self.out, b"]"))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Elements<'a>, CanonicalError> {
        Ok(Elements::open(self.out, b"]"))
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Elements<'a>, CanonicalError> {
        Ok(Elements::open(self.out, b"]"))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Elements<'a>, CanonicalError> {
        Ok(Elements::open(self.open_variant(variant), b"]}"))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Object<'a>, CanonicalError> {
        Ok(Object::open(self.out, b""))
    }

    fn serialize_struct(
        self,
        name: &'static str,
        _len: usize,
    ) -> Result<Structure<'a>, CanonicalError> {
        Ok(match name {
            raw::NUMBER => Structure::Number(self.out),
            raw::VALUE => Structure::Raw(self.out),
            _ => Structure::Object(Object::open(self.out, b"")),
        })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Object<'a>, CanonicalError> {
        Ok(Object::open(self.open_variant(variant), b"}"))
    }
}
