//! From options to a task: each text is read as whatever type its field asks for.

use std::fmt;

use kart_core::{ParamKind, ParamSpec};
use serde::de::value::{MapAccessDeserializer, UnitDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    Visitor,
};
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
pub(crate) fn build<T: DeserializeOwned>(
    params: &'static [ParamSpec],
    values: Vec<(&'static str, String)>,
) -> Result<T, Unreadable> {
    if params.is_empty() {
        return T::deserialize(UnitDeserializer::new());
    }
    T::deserialize(MapAccessDeserializer::new(Members {
        params,
        values: values.into_iter(),
        value: None,
    }))
}

/// The options, as the members of the task's struct.
struct Members {
    params: &'static [ParamSpec],
    values: std::vec::IntoIter<(&'static str, String)>,
    value: Option<(&'static str, String)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = Unreadable;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unreadable> {
        self.value = self.values.next();
        let name = self.value.as_ref().map(|(name, _)| *name);
        name.map(|name| seed.deserialize(name.into_deserializer()))
            .transpose()
    }

    /// Whatever refuses the text, be it a type's own parser, the option is named.
    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Unreadable> {
        let (name, text) = self.value.take().unwrap_or_default();
        let read = seed.deserialize(Text { text: text.clone() });
        read.map_err(|Unreadable(reason)| {
            let option = long(name);
            let is_secret =
                |param: &ParamSpec| param.name == name && param.kind == ParamKind::Secret;
            if self.params.iter().any(is_secret) {
                // What refused it may have quoted it.
                return Unreadable(format!("invalid value for `--{option}`, which is secret"));
            }
            let is_structured = ["a sequence", "a map", "struct", "tuple"]
                .iter()
                .any(|kind| reason.contains(&format!("expected {kind}")));
            let hint = if is_structured {
                "; write it as JSON, such as `[1,2]` or `{\"a\":1}`"
            } else {
                ""
            };
            Unreadable(format!(
                "invalid value `{text}` for `--{option}`: {reason}{hint}"
            ))
        })
    }
}

/// The text of one option.
struct Text {
    text: String,
}

impl Text {
    /// As JSON, or else as a string: for types that can be several things.
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|_| serde_json::Value::String(self.text.clone()))
    }
}

macro_rules! as_json {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
            self.json().$method(visitor).map_err(Unreadable::custom)
        }
    )*};
}

macro_rules! as_text {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
            visitor.visit_str::<serde_json::Error>(&self.text).map_err(Unreadable::custom)
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
            .map_err(Unreadable::custom)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let json = self.json();
        json.deserialize_tuple(len, visitor)
            .map_err(Unreadable::custom)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let json = self.json();
        json.deserialize_tuple_struct(name, len, visitor)
            .map_err(Unreadable::custom)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let json = self.json();
        json.deserialize_struct(name, fields, visitor)
            .map_err(Unreadable::custom)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let json = self.json();
        json.deserialize_enum(name, variants, visitor)
            .map_err(Unreadable::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(try_from = "String")]
    struct Day(u32);

    impl TryFrom<String> for Day {
        type Error = String;

        fn try_from(text: String) -> Result<Self, String> {
            let day = text.strip_prefix("day-").ok_or("a day is `day-N`")?;
            day.parse()
                .map(Day)
                .map_err(|_| format!("{day} is no number"))
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Fields {
        start_day: Day,
        #[serde(default)]
        pin: u16,
        #[serde(default)]
        name: Option<String>,
    }

    const fn param(name: &'static str, kind: ParamKind) -> ParamSpec {
        ParamSpec {
            name,
            ty: "",
            doc: "",
            kind,
            default: None,
        }
    }

    static PARAMS: [ParamSpec; 3] = [
        param("start_day", ParamKind::Significant),
        param("pin", ParamKind::Secret),
        param("name", ParamKind::Significant),
    ];

    fn read(values: &[(&'static str, &str)]) -> Result<Fields, String> {
        let values = values
            .iter()
            .map(|(name, text)| (*name, (*text).to_owned()));
        build(&PARAMS, values.collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn each_text_is_read_as_its_field_asks() {
        let fields = read(&[("start_day", "day-3"), ("pin", "1234"), ("name", "7")]);
        let expected = Fields {
            start_day: Day(3),
            pin: 1234,
            name: Some("7".to_owned()),
        };
        assert_eq!(fields, Ok(expected));
    }

    #[test]
    fn the_option_is_named_whatever_refused_its_text() {
        let error = read(&[("start_day", "3")]).unwrap_err();
        assert_eq!(
            error,
            "invalid value `3` for `--start-day`: a day is `day-N`"
        );
        let error = read(&[("start_day", "day-x")]).unwrap_err();
        assert_eq!(
            error,
            "invalid value `day-x` for `--start-day`: x is no number"
        );
    }

    #[test]
    fn a_secret_that_is_refused_is_not_shown() {
        let error = read(&[("start_day", "day-1"), ("pin", "hunter2")]).unwrap_err();
        assert_eq!(error, "invalid value for `--pin`, which is secret");
    }
}
