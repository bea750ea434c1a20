//! Holds the canonical form, keys and path segments to `tests/golden/vectors.json`, which a second
//! implementation (`tests/golden/key.py`) wrote. A key that changes here is lost in every bucket.

use kart_core::key::{Key, KeyHasher, canonical, path};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Vectors {
    keys: Vec<KeyVector>,
    floats: Vec<FloatVector>,
    paths: Vec<PathVector>,
}

#[derive(Deserialize)]
struct KeyVector {
    what: String,
    task: String,
    version: u32,
    params: Box<RawValue>,
    requires: Box<RawValue>,
    canonical: String,
    key: String,
}

#[derive(Deserialize)]
struct FloatVector {
    bits: String,
    text: Option<String>,
}

#[derive(Deserialize)]
struct PathVector {
    text: String,
    segment: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/golden/vectors.json")).unwrap()
}

/// What is hashed; its members stand in another order on purpose.
#[derive(Serialize)]
struct Identity<'a, T> {
    version: u32,
    task: &'a str,
    requires: T,
    params: T,
}

/// A JSON value that keeps integers and the order of members as they are written.
enum Value {
    Null,
    Bool(bool),
    Signed(i128),
    Unsigned(u128),
    Huge(Box<RawValue>),
    Float(f64),
    Text(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    fn read(raw: &RawValue) -> Self {
        let text = raw.get();
        match text.as_bytes()[0] {
            b'n' => Self::Null,
            b't' | b'f' => Self::Bool(text == "true"),
            b'"' => Self::Text(serde_json::from_str(text).unwrap()),
            b'[' => {
                let elements: Vec<&RawValue> = serde_json::from_str(text).unwrap();
                Self::Array(elements.into_iter().map(Self::read).collect())
            }
            b'{' => {
                let Members(members) = serde_json::from_str(text).unwrap();
                Self::Object(
                    members
                        .into_iter()
                        .map(|(name, raw)| (name, Self::read(&raw)))
                        .collect(),
                )
            }
            _ if text.contains(['.', 'e', 'E']) => Self::Float(text.parse().unwrap()),
            _ => text
                .parse()
                .map(Self::Signed)
                .or_else(|_| text.parse().map(Self::Unsigned))
                .unwrap_or_else(|_| Self::Huge(raw.to_owned())),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Signed(value) => serializer.serialize_i128(*value),
            Self::Unsigned(value) => serializer.serialize_u128(*value),
            Self::Huge(raw) => raw.serialize(serializer),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Array(elements) => {
                let mut sequence = serializer.serialize_seq(None)?;
                for element in elements {
                    sequence.serialize_element(element)?;
                }
                sequence.end()
            }
            Self::Object(members) => {
                let mut map = serializer.serialize_map(None)?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// An object's members in the order in which they are written.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> serde::de::Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

#[test]
fn keys_are_as_they_always_were() {
    let vectors = vectors().keys;
    assert!(vectors.len() >= 60);
    for vector in vectors {
        let what = &vector.what;
        let (task, version) = (vector.task.as_str(), vector.version);

        let from_values = canonical::to_vec(&Identity {
            task,
            version,
            params: Value::read(&vector.params),
            requires: Value::read(&vector.requires),
        })
        .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&from_values),
            vector.canonical,
            "{what}"
        );

        let from_raw = canonical::to_vec(&Identity {
            task,
            version,
            params: &vector.params,
            requires: &vector.requires,
        })
        .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&from_raw),
            vector.canonical,
            "{what}"
        );

        let mut again = Vec::new();
        canonical::write_json(&mut again, &vector.canonical).unwrap();
        assert_eq!(String::from_utf8_lossy(&again), vector.canonical, "{what}");

        let key = Key::of(&from_values);
        assert_eq!(key.to_string(), vector.key, "{what}");
        assert_eq!(vector.key.parse(), Ok(key), "{what}");
        let mut hasher = KeyHasher::new();
        for piece in from_values.chunks(7) {
            hasher.update(piece);
        }
        assert_eq!(hasher.finish(), key, "{what}");
    }
}

#[test]
fn floats_are_printed_as_ecmascript_does() {
    for FloatVector { bits, text } in vectors().floats {
        let value = f64::from_bits(u64::from_str_radix(&bits, 16).unwrap());
        let printed = canonical::to_vec(&value)
            .ok()
            .map(|text| String::from_utf8(text).unwrap());
        assert_eq!(printed, text, "{bits}");
    }
}

#[test]
fn path_segments_are_as_they_always_were() {
    for PathVector { text, segment } in vectors().paths {
        assert_eq!(path::encode_segment(&text), segment, "{text:?}");
    }
}
