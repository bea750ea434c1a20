//! A deserializer that has no data, and gives each type what it asks for.

use std::ops::Range;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::samples::{Refused, Samples};
use super::values::{ANY, Any, LENGTHS};

pub(super) struct Sample<'s>(pub(super) &'s mut Samples);

macro_rules! scalars {
    ($($method:ident, $visit:ident: $samples:expr;)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            visitor.$visit(self.0.pick($samples)?)
        })+
    };
}

impl<'de> Deserializer<'de> for Sample<'_> {
    type Error = Refused;

    scalars! {
        deserialize_bool, visit_bool: &[true, false];
        deserialize_i8, visit_i8: &[1, 0, 2, 10, 100, -1];
        deserialize_i16, visit_i16: &[1, 0, 2, 10, 100, 1000, -1];
        deserialize_i32, visit_i32: &[1, 0, 2, 10, 100, 1000, -1];
        deserialize_i64, visit_i64: &[1, 0, 2, 10, 100, 1000, -1];
        deserialize_u8, visit_u8: &[1, 0, 2, 10, 100];
        deserialize_u16, visit_u16: &[1, 0, 2, 10, 100, 1000];
        deserialize_u32, visit_u32: &[1, 0, 2, 10, 100, 1000];
        deserialize_u64, visit_u64: &[1, 0, 2, 10, 100, 1000];
        deserialize_i128, visit_i128: &[1];
        deserialize_u128, visit_u128: &[1];
        deserialize_f32, visit_f32: &[0.5, 1.0, 0.0, -1.0];
        deserialize_f64, visit_f64: &[0.5, 1.0, 0.0, -1.0];
        deserialize_char, visit_char: &['a', '0'];
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_borrowed_str(self.0.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.0.vary(ANY.len());
        match self.0.pick(ANY)? {
            Any::Text(text) => visitor.visit_borrowed_str(text),
            Any::Unsigned(number) => visitor.visit_u64(number),
            Any::Signed(number) => visitor.visit_i64(number),
            Any::Float(number) => visitor.visit_f64(number),
            Any::Bool(value) => visitor.visit_bool(value),
            Any::Unit => visitor.visit_unit(),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let length = self.0.pick(LENGTHS)?;
        visitor.visit_borrowed_bytes(&[b'0'; 64][..length])
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let length = self.0.pick(LENGTHS)?;
        visitor.visit_byte_buf(vec![b'0'; length])
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_seq(Items(self.0, 0..1, "[]"))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Items(self.0, 0..len, ""))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let made = visitor.visit_map(Entry(self.0, false));
        if let Err(Refused::Missing(name)) = made {
            let reason =
                format!("its field `{name}` is read from a map, as by `#[serde(flatten)]`");
            return Err(self.0.fail(reason));
        }
        made
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_map(Fields(self.0, fields, ""))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.0.vary(variants.len());
        let variant = self.0.pick(variants)?;
        visitor.visit_enum(Variant(self.0, variant))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }
}

/// Elements of a list, or parts of a tuple.
struct Items<'s>(&'s mut Samples, Range<usize>, &'static str);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        let Some(index) = self.1.next() else {
            return Ok(None);
        };
        let value = match self.2 {
            "" => self.0.part(format_args!(".{index}"), seed),
            list => self.0.part(format_args!("{list}"), seed),
        };
        value.map(Some)
    }
}

/// The only entry of a map.
struct Entry<'s>(&'s mut Samples, bool);

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        if std::mem::replace(&mut self.1, true) {
            return Ok(None);
        }
        self.0.part(format_args!("{{key}}"), seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        self.0.part(format_args!("{{}}"), seed)
    }
}

/// The fields of a struct that are left, and the name of the current one.
struct Fields<'s>(&'s mut Samples, &'static [&'static str], &'static str);

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refused> {
        while let [name, rest @ ..] = self.1 {
            (self.1, self.2) = (rest, name);
            if self.0.name(name) {
                return seed.deserialize(StrDeserializer::new(name)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        self.0.part(format_args!(".{}", self.2), seed)
    }
}

/// A variant of an enum, which must have no data.
struct Variant<'s>(&'s mut Samples, &'static str);

impl Variant<'_> {
    fn refuse<T>(self) -> Result<T, Refused> {
        let reason = format!("its variant `{}` has data", self.1);
        Err(self.0.fail(reason))
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Refused> {
        let variant = seed.deserialize(StrDeserializer::new(self.1))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Refused> {
        self.refuse()
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Refused> {
        self.refuse()
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Refused> {
        self.refuse()
    }
}
