//! A deserializer around another one that notes the fields which the type ignores.
//!
//! It does what the crate `serde_ignored` does, without a text in memory of its own for each name that it passes.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::UnknownFields;

/// Deserializes a value, and reports what its type ignores.
pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    unknown: &mut UnknownFields,
) -> Result<T, D::Error> {
    let watched: Watched<'_, D, false> = Watched::new(deserializer, unknown);
    T::deserialize(watched)
}

/// Part of what is deserialized; a `KEY` names the value that follows.
struct Watched<'u, I, const KEY: bool> {
    inner: I,
    unknown: &'u mut UnknownFields,
}

impl<'u, I, const KEY: bool> Watched<'u, I, KEY> {
    fn new(inner: I, unknown: &'u mut UnknownFields) -> Self {
        Watched { inner, unknown }
    }
}

macro_rules! forward {
    ($($method:ident($($argument:ident: $type:ty),*);)+) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor: Watched<'_, V, KEY> = Watched::new(visitor, self.unknown);
            self.inner.$method($($argument,)* visitor)
        })+
    };
}

impl<'de, D: Deserializer<'de>, const KEY: bool> Deserializer<'de> for Watched<'_, D, KEY> {
    type Error = D::Error;

    forward! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
    }

    /// Columns have no type for characters: they are texts.
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        if !KEY {
            self.unknown.add_current();
        }
        self.inner.deserialize_ignored_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! scalars {
    ($($method:ident: $type:ty,)+) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            if KEY {
                self.unknown.enter_shown(&value);
            }
            self.inner.$method(value)
        })+
    };
}

macro_rules! texts {
    ($($method:ident: $type:ty,)+) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            if KEY {
                self.unknown.enter(&value);
            }
            self.inner.$method(value)
        })+
    };
}

macro_rules! bytes {
    ($($method:ident: $type:ty,)+) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            if KEY {
                self.unknown.enter(&String::from_utf8_lossy(&value));
            }
            self.inner.$method(value)
        })+
    };
}

impl<'de, V: Visitor<'de>, const KEY: bool> Visitor<'de> for Watched<'_, V, KEY> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    scalars! {
        visit_bool: bool,
        visit_i8: i8,
        visit_i16: i16,
        visit_i32: i32,
        visit_i64: i64,
        visit_i128: i128,
        visit_u8: u8,
        visit_u16: u16,
        visit_u32: u32,
        visit_u64: u64,
        visit_u128: u128,
        visit_f32: f32,
        visit_f64: f64,
        visit_char: char,
    }

    texts! {
        visit_str: &str,
        visit_borrowed_str: &'de str,
        visit_string: String,
    }

    bytes! {
        visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8],
        visit_byte_buf: Vec<u8>,
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer: Watched<'_, D, KEY> = Watched::new(deserializer, self.unknown);
        self.inner.visit_some(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<V::Value, D::Error> {
        let deserializer: Watched<'_, D, KEY> = Watched::new(deserializer, self.unknown);
        self.inner.visit_newtype_struct(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        let items: Watched<'_, A, false> = Watched::new(items, self.unknown);
        self.inner.visit_seq(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Entries {
            depth: self.unknown.depth(),
            inner: entries,
            unknown: self.unknown,
        })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        let data: Watched<'_, A, KEY> = Watched::new(data, self.unknown);
        self.inner.visit_enum(data)
    }
}

impl<'de, S: DeserializeSeed<'de>, const KEY: bool> DeserializeSeed<'de> for Watched<'_, S, KEY> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer: Watched<'_, D, KEY> = Watched::new(deserializer, self.unknown);
        self.inner.deserialize(deserializer)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Watched<'_, A, false> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed: Watched<'_, S, false> = Watched::new(seed, self.unknown);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

/// The entries of a map, of which each adds its key to the path while its value is deserialized.
struct Entries<'u, A> {
    inner: A,
    unknown: &'u mut UnknownFields,
    depth: usize,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed: Watched<'_, S, true> = Watched::new(seed, self.unknown);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed: Watched<'_, S, false> = Watched::new(seed, self.unknown);
        let value = self.inner.next_value_seed(seed);
        self.unknown.leave(self.depth);
        value
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'u, A: EnumAccess<'de>, const KEY: bool> EnumAccess<'de> for Watched<'u, A, KEY> {
    type Error = A::Error;
    type Variant = Watched<'u, A::Variant, KEY>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = if KEY {
            let seed: Watched<'_, S, KEY> = Watched::new(seed, self.unknown);
            self.inner.variant_seed(seed)?
        } else {
            self.inner.variant_seed(seed)?
        };
        Ok((value, Watched::new(variant, self.unknown)))
    }
}

impl<'de, A: VariantAccess<'de>, const KEY: bool> VariantAccess<'de> for Watched<'_, A, KEY> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed: Watched<'_, S, false> = Watched::new(seed, self.unknown);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor: Watched<'_, V, false> = Watched::new(visitor, self.unknown);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor: Watched<'_, V, false> = Watched::new(visitor, self.unknown);
        self.inner.struct_variant(fields, visitor)
    }
}
