//! From options to a task: each text is read as whatever type its field asks for.

use std::fmt;

use kart_core::{Task, TaskSpec};
use serde::de::value::{MapDeserializer, UnitDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::args::long;

/// A parameter's text could not be read.
#[derive(Debug)]
pub(crate) struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl de::Error for Unreadable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Unreadable(message.to_string())
    }
}

/// The task with these parameters; those that are not given have their defaults.
pub(crate) fn build<T: Task>(
    spec: &TaskSpec,
    values: Vec<(&'static str, String)>,
) -> Result<T, Unreadable> {
    if spec.params.is_empty() {
        return T::deserialize(UnitDeserializer::new());
    }
    let members = values
        .into_iter()
        .map(|(name, text)| (name, Text { name, text }));
    T::deserialize(MapDeserializer::new(members))
}

/// The text of one option.
struct Text {
    name: &'static str,
    text: String,
}

impl Text {
    fn refused(&self, error: &dyn fmt::Display) -> Unreadable {
        Unreadable(format!(
            "invalid value `{}` for `--{}`: {error}",
            self.text,
            long(self.name)
        ))
    }

    /// As JSON, or else as a string: for types that can be several things.
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|_| serde_json::Value::String(self.text.clone()))
    }
}

impl IntoDeserializer<'_, Unreadable> for Text {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! as_json {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
            self.json().$method(visitor).map_err(|error| self.refused(&error))
        }
    )*};
}

macro_rules! as_text {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
            visitor.visit_str::<serde_json::Error>(&self.text).map_err(|error| self.refused(&error))
        }
    )*};
}

impl<'de> Deserializer<'de> for Text {
    type Error = Unreadable;

    as_text!(
        deserialize_str,
        deserialize_string,
        deserialize_char,
        deserialize_identifier
    );

    as_json!(
        deserialize_any,
        deserialize_bool,
        deserialize_i8,
        deserialize_i16,
        deserialize_i32,
        deserialize_i64,
        deserialize_u8,
        deserialize_u16,
        deserialize_u32,
        deserialize_u64,
        deserialize_f32,
        deserialize_f64,
        deserialize_seq,
        deserialize_map,
        deserialize_unit
    );

    forward_to_deserialize_any! {
        i128 u128 bytes byte_buf ignored_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        if self.text == "null" {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let json = self.json();
        json.deserialize_unit_struct(name, visitor)
            .map_err(|error| self.refused(&error))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let json = self.json();
        json.deserialize_tuple(len, visitor)
            .map_err(|error| self.refused(&error))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let json = self.json();
        json.deserialize_tuple_struct(name, len, visitor)
            .map_err(|error| self.refused(&error))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let json = self.json();
        json.deserialize_struct(name, fields, visitor)
            .map_err(|error| self.refused(&error))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let json = self.json();
        json.deserialize_enum(name, variants, visitor)
            .map_err(|error| self.refused(&error))
    }
}
