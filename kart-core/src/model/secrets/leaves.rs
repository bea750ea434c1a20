//! The strings and numbers in a value, whatever its type: what of a secret may stand in a text.

use std::fmt::Display;
use std::sync::Arc;

use serde::ser::{self, Serialize, Serializer};

use crate::model::task::DynTask;

/// What was found in the secrets of a task.
#[derive(Debug, Default)]
pub(crate) struct SecretLeaves {
    pub(super) found: Vec<Leaf>,
    /// Set when a secret could not be read.
    pub(super) is_unreadable: bool,
    /// The tasks that are parameters and have not been read yet.
    pub(crate) tasks: Vec<Arc<dyn DynTask>>,
}

#[derive(Debug)]
pub(super) enum Leaf {
    Text(String),
    Number(String),
}

impl SecretLeaves {
    /// Reads a secret.
    pub(crate) fn read<T: Serialize + ?Sized>(&mut self, secret: &T) {
        if secret.serialize(Collector(self)).is_err() {
            self.is_unreadable = true;
        }
    }

    fn text(&mut self, text: impl Into<String>) {
        self.found.push(Leaf::Text(text.into()));
    }

    fn number(&mut self, number: impl Display) {
        self.found.push(Leaf::Number(number.to_string()));
    }
}

/// A serializer that writes nothing and keeps what is in the value.
struct Collector<'a>(&'a mut SecretLeaves);

/// A value that refuses to be serialized.
#[derive(Debug, thiserror::Error)]
#[error("a secret cannot be serialized")]
struct Unreadable;

impl ser::Error for Unreadable {
    fn custom<T: Display>(_: T) -> Self {
        Unreadable
    }
}

type Read = Result<(), Unreadable>;

impl Collector<'_> {
    fn part<T: Serialize + ?Sized>(&mut self, part: &T) -> Read {
        part.serialize(Collector(self.0))
    }
}

macro_rules! numbers {
    ($($method:ident: $ty:ty),*) => {
        $(fn $method(self, number: $ty) -> Read {
            self.0.number(number);
            Ok(())
        })*
    };
}

impl Serializer for Collector<'_> {
    type Ok = ();
    type Error = Unreadable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128
    );

    fn serialize_f32(self, number: f32) -> Read {
        self.0.number(number);
        self.0.number(format_args!("{number:?}"));
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> Read {
        self.0.number(number);
        self.0.number(format_args!("{number:?}"));
        self.0.number(serde_json::json!(number));
        Ok(())
    }

    /// One of two values is no secret that a text could keep.
    fn serialize_bool(self, _: bool) -> Read {
        Ok(())
    }

    fn serialize_char(self, text: char) -> Read {
        self.0.text(text);
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Read {
        self.0.text(text);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Read {
        self.0.text(String::from_utf8_lossy(bytes));
        self.0.text(format!("{bytes:?}"));
        Ok(())
    }

    fn serialize_none(self) -> Read {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Read {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Read {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Read {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Read {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Read {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Read {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unreadable> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unreadable> {
        Ok(self)
    }
}

/// All compound values are read part by part.
macro_rules! compounds {
    ($($compound:ident: $method:ident($($name:ty)?)),*) => {
        $(impl ser::$compound for Collector<'_> {
            type Ok = ();
            type Error = Unreadable;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? part: &T) -> Read {
                self.part(part)
            }

            fn end(self) -> Read {
                Ok(())
            }
        })*
    };
}

compounds!(
    SerializeSeq: serialize_element(),
    SerializeTuple: serialize_element(),
    SerializeTupleStruct: serialize_field(),
    SerializeTupleVariant: serialize_field(),
    SerializeStruct: serialize_field(&'static str),
    SerializeStructVariant: serialize_field(&'static str)
);

impl ser::SerializeMap for Collector<'_> {
    type Ok = ();
    type Error = Unreadable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Read {
        self.part(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Read {
        self.part(value)
    }

    fn end(self) -> Read {
        Ok(())
    }
}
