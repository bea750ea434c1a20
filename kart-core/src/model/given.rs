//! Tasks from parameters that somebody has written: as JSON, or as text that is read as whatever type its field
//! asks for.

use std::fmt;
use std::sync::Arc;

use serde::de::value::{MapAccessDeserializer, UnitDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value as Json;

use super::spec::{ParamKind, ParamSpec};
use super::task::{DynTask, Task};

/// A parameter's value as somebody has written it.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// As JSON.
    Json(Json),
    /// As text, such as an option of a command line: a string where the field's type wants one, else JSON.
    Text(String),
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Given::Json(json) => fmt::Display::fmt(json, f),
            Given::Text(text) => f.write_str(text),
        }
    }
}

/// Why parameters make no task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParamError {
    /// The parameter, where one of them is to blame.
    pub param: Option<String>,
    /// What was written for it, unless it is secret.
    pub given: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl ParamError {
    fn new(reason: impl Into<String>) -> Self {
        ParamError {
            param: None,
            given: None,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = &self.reason;
        match (&self.param, &self.given) {
            (Some(param), Some(given)) => {
                write!(
                    f,
                    "invalid value `{given}` for parameter `{param}`: {reason}"
                )
            }
            (Some(param), None) => write!(f, "invalid value for parameter `{param}`: {reason}"),
            (None, _) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ParamError {}

impl de::Error for ParamError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        ParamError::new(message.to_string())
    }
}

/// Makes a task of type `T`; those parameters that are not given have their defaults.
///
/// # Errors
///
/// What does not fit, by the name of the parameter.
pub fn build<T: Task>(given: Vec<(String, Given)>) -> Result<Arc<dyn DynTask>, ParamError> {
    read::<T>(T::__spec().params, given).map(|task| Arc::new(task) as Arc<dyn DynTask>)
}

/// A task without fields is a unit struct, which serde knows as a unit.
fn read<T: DeserializeOwned>(
    params: &'static [ParamSpec],
    given: Vec<(String, Given)>,
) -> Result<T, ParamError> {
    if params.is_empty() && given.is_empty() {
        return T::deserialize(UnitDeserializer::new());
    }
    if let Some((name, _)) = given
        .iter()
        .find(|(name, _)| !params.iter().any(|param| param.name == name))
    {
        let known: Vec<_> = params
            .iter()
            .map(|param| format!("`{}`", param.name))
            .collect();
        return Err(ParamError::new(match known.as_slice() {
            [] => format!("unknown field `{name}`, there are no parameters"),
            known => format!("unknown field `{name}`, expected {}", known.join(", ")),
        }));
    }
    T::deserialize(MapAccessDeserializer::new(Members {
        params,
        given: given.into_iter(),
        value: None,
    }))
}

/// A value as errors show it: without what is secret in the tasks that it holds.
fn shown(given: &Given) -> String {
    let json = match given {
        Given::Json(json) => Some(json.clone()),
        Given::Text(text) => serde_json::from_str(text).ok(),
    };
    match json {
        Some(mut json @ (Json::Object(_) | Json::Array(_))) => {
            super::any::mask(&mut json);
            json.to_string()
        }
        _ => given.to_string(),
    }
}

/// The parameters as the members of the task's struct.
struct Members {
    params: &'static [ParamSpec],
    given: std::vec::IntoIter<(String, Given)>,
    value: Option<(String, Given)>,
}

impl<'de> MapAccess<'de> for Members {
    type Error = ParamError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ParamError> {
        self.value = self.given.next();
        let name = self.value.as_ref().map(|(name, _)| name.as_str());
        name.map(|name| seed.deserialize(name.into_deserializer()))
            .transpose()
    }

    /// Whatever refuses a value, be it a type's own parser, the parameter is named.
    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ParamError> {
        let Some((name, given)) = self.value.take() else {
            return Err(ParamError::new("a value without a name"));
        };
        let shown = shown(&given);
        let read = match given {
            Given::Json(json) => seed.deserialize(json).map_err(ParamError::custom),
            Given::Text(text) => seed.deserialize(Text { text }),
        };
        read.map_err(|ParamError { reason, .. }| {
            let kind = self.params.iter().find(|param| param.name == name);
            if kind.is_some_and(|param| param.kind == ParamKind::Secret) {
                // What refused it may have quoted it.
                return ParamError {
                    param: Some(name),
                    given: None,
                    reason: "it is secret".to_owned(),
                };
            }
            let is_structured = ["a sequence", "a map", "struct", "tuple"]
                .iter()
                .any(|kind| reason.contains(&format!("expected {kind}")));
            let hint = if is_structured {
                "; write it as JSON, such as `[1,2]` or `{\"a\":1}`"
            } else {
                ""
            };
            ParamError {
                param: Some(name),
                given: Some(shown),
                reason: format!("{reason}{hint}"),
            }
        })
    }
}

/// The text of one parameter.
struct Text {
    text: String,
}

impl Text {
    /// As JSON, or else as a string: for types that can be several things.
    fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|_| Json::String(self.text.clone()))
    }
}

macro_rules! as_json {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
            self.json().$method(visitor).map_err(ParamError::custom)
        }
    )*};
}

macro_rules! as_text {
    ($($method:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
            visitor.visit_str::<serde_json::Error>(&self.text).map_err(ParamError::custom)
        }
    )*};
}

impl<'de> Deserializer<'de> for Text {
    type Error = ParamError;

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

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
        if self.text == "null" {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        let json = self.json();
        json.deserialize_unit_struct(name, visitor)
            .map_err(ParamError::custom)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        let json = self.json();
        json.deserialize_tuple(len, visitor)
            .map_err(ParamError::custom)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        let json = self.json();
        json.deserialize_tuple_struct(name, len, visitor)
            .map_err(ParamError::custom)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        let json = self.json();
        json.deserialize_struct(name, fields, visitor)
            .map_err(ParamError::custom)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        let json = self.json();
        json.deserialize_enum(name, variants, visitor)
            .map_err(ParamError::custom)
    }
}

#[cfg(test)]
mod tests;
