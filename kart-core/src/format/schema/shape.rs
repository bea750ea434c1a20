//! The columns that a sample row shows when it is serialized.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields};
use serde::ser::{self, Serialize, Serializer};
use serde_arrow::schema::{STRATEGY_KEY, Strategy};

use super::{SchemaError, text_type};

/// What texts that look like dates and times become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Texts {
    AsTheyLook,
    AsText,
}

/// Returns the columns of a row.
pub(super) fn columns<T: Serialize>(row: &T, texts: Texts) -> Result<Fields, SchemaError> {
    let column = row.serialize(Shape(texts))?;
    match column.data_type {
        DataType::Struct(fields) if !column.is_nullable => Ok(fields),
        _ => Err(ser::Error::custom("it is no struct with named fields")),
    }
}

/// What a column consists of.
pub(super) struct Column {
    data_type: DataType,
    is_nullable: bool,
    is_tuple: bool,
}

impl Column {
    fn of(data_type: DataType) -> Self {
        Column {
            is_nullable: data_type == DataType::Null,
            data_type,
            is_tuple: false,
        }
    }

    fn named(self, name: impl Into<String>) -> FieldRef {
        let field = Field::new(name, self.data_type, self.is_nullable);
        if !self.is_tuple {
            return Arc::new(field);
        }
        let strategy = (STRATEGY_KEY.to_owned(), Strategy::TupleAsStruct.to_string());
        Arc::new(field.with_metadata(HashMap::from([strategy])))
    }
}

impl SchemaError {
    /// The same from further up.
    fn below(self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with(['[', '{']) {
            ""
        } else {
            "."
        };
        let path = format!("{name}{dot}{}", self.path);
        SchemaError { path, ..self }
    }
}

impl ser::Error for SchemaError {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        SchemaError::new("", reason.to_string())
    }
}

fn error<T>(reason: &str) -> Result<T, SchemaError> {
    Err(SchemaError::new("", reason))
}

const NONE: &str = "a sample of it is `None` or left out";

#[derive(Clone, Copy)]
struct Shape(Texts);

macro_rules! scalars {
    ($($method:ident($type:ty): $data_type:ident;)+) => {
        $(fn $method(self, _: $type) -> Result<Column, SchemaError> {
            Ok(Column::of(DataType::$data_type))
        })+
    };
}

impl Serializer for Shape {
    type Ok = Column;
    type Error = SchemaError;
    type SerializeSeq = Elements;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = ser::Impossible<Column, SchemaError>;
    type SerializeMap = Entries;
    type SerializeStruct = Parts;
    type SerializeStructVariant = ser::Impossible<Column, SchemaError>;

    scalars! {
        serialize_bool(bool): Boolean;
        serialize_i8(i8): Int8;
        serialize_i16(i16): Int16;
        serialize_i32(i32): Int32;
        serialize_i64(i64): Int64;
        serialize_u8(u8): UInt8;
        serialize_u16(u16): UInt16;
        serialize_u32(u32): UInt32;
        serialize_u64(u64): UInt64;
        serialize_f32(f32): Float32;
        serialize_f64(f64): Float64;
        serialize_char(char): LargeUtf8;
        serialize_bytes(&[u8]): LargeBinary;
    }

    fn serialize_i128(self, _: i128) -> Result<Column, SchemaError> {
        error("there are no columns of integers with 128 bits")
    }

    fn serialize_u128(self, _: u128) -> Result<Column, SchemaError> {
        error("there are no columns of integers with 128 bits")
    }

    fn serialize_str(self, text: &str) -> Result<Column, SchemaError> {
        Ok(Column::of(match self.0 {
            Texts::AsTheyLook => text_type(text),
            Texts::AsText => DataType::LargeUtf8,
        }))
    }

    fn serialize_none(self) -> Result<Column, SchemaError> {
        error(NONE)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Column, SchemaError> {
        let column = value.serialize(self)?;
        if column.is_nullable {
            return error("`None` and `Some(None)` would be stored alike");
        }
        Ok(Column {
            is_nullable: true,
            ..column
        })
    }

    fn serialize_unit(self) -> Result<Column, SchemaError> {
        Ok(Column::of(DataType::Null))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Column, SchemaError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
    ) -> Result<Column, SchemaError> {
        Ok(Column::of(DataType::LargeUtf8))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Column, SchemaError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: &T,
    ) -> Result<Column, SchemaError> {
        error(&format!("its variant `{variant}` has data"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements, SchemaError> {
        Ok(Elements {
            shape: self,
            element: None,
        })
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, SchemaError> {
        Ok(Parts {
            shape: self,
            fields: Vec::new(),
            is_tuple: true,
        })
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Parts, SchemaError> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, SchemaError> {
        error(&format!("its variant `{variant}` has data"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, SchemaError> {
        Ok(Entries {
            shape: self,
            key: None,
            entry: None,
        })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, SchemaError> {
        Ok(Parts {
            shape: self,
            fields: Vec::new(),
            is_tuple: false,
        })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, SchemaError> {
        error(&format!("its variant `{variant}` has data"))
    }
}

/// The elements of a list.
struct Elements {
    shape: Shape,
    element: Option<Column>,
}

impl ser::SerializeSeq for Elements {
    type Ok = Column;
    type Error = SchemaError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SchemaError> {
        let element = value
            .serialize(self.shape)
            .map_err(|error| error.below("[]"))?;
        self.element = Some(element);
        Ok(())
    }

    fn end(self) -> Result<Column, SchemaError> {
        match self.element {
            Some(element) => Ok(Column::of(DataType::LargeList(element.named("element")))),
            None => error("a sample of it has no elements"),
        }
    }
}

/// The fields of a struct or a tuple.
struct Parts {
    shape: Shape,
    fields: Vec<FieldRef>,
    is_tuple: bool,
}

impl Parts {
    fn add<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), SchemaError> {
        let column = value
            .serialize(self.shape)
            .map_err(|error| error.below(name))?;
        self.fields.push(column.named(name));
        Ok(())
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SchemaError> {
        self.add(&self.fields.len().to_string(), value)
    }

    fn column(self) -> Result<Column, SchemaError> {
        if self.fields.is_empty() {
            return error("it has no fields");
        }
        Ok(Column {
            is_tuple: self.is_tuple,
            ..Column::of(DataType::Struct(Fields::from(self.fields)))
        })
    }
}

impl ser::SerializeStruct for Parts {
    type Ok = Column;
    type Error = SchemaError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), SchemaError> {
        self.add(name, value)
    }

    fn skip_field(&mut self, name: &'static str) -> Result<(), SchemaError> {
        Err(SchemaError::new(name, NONE))
    }

    fn end(self) -> Result<Column, SchemaError> {
        self.column()
    }
}

impl ser::SerializeTuple for Parts {
    type Ok = Column;
    type Error = SchemaError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SchemaError> {
        self.element(value)
    }

    fn end(self) -> Result<Column, SchemaError> {
        self.column()
    }
}

impl ser::SerializeTupleStruct for Parts {
    type Ok = Column;
    type Error = SchemaError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SchemaError> {
        self.element(value)
    }

    fn end(self) -> Result<Column, SchemaError> {
        self.column()
    }
}

/// The only entry of a map.
struct Entries {
    shape: Shape,
    key: Option<Column>,
    entry: Option<(Column, Column)>,
}

impl ser::SerializeMap for Entries {
    type Ok = Column;
    type Error = SchemaError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SchemaError> {
        self.key = Some(
            key.serialize(self.shape)
                .map_err(|error| error.below("{key}"))?,
        );
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SchemaError> {
        let value = value
            .serialize(self.shape)
            .map_err(|error| error.below("{}"))?;
        let Some(key) = self.key.take() else {
            return error("a value without a key");
        };
        if self.entry.replace((key, value)).is_some() {
            return error("it is stored as a map and is none, as by `#[serde(flatten)]`");
        }
        Ok(())
    }

    fn end(self) -> Result<Column, SchemaError> {
        let Some((key, value)) = self.entry else {
            return error("a sample of it has no entries");
        };
        if key.is_nullable {
            return error("the key of a map is an `Option`");
        }
        let entry = Fields::from(vec![key.named("key"), value.named("value")]);
        let entry = Field::new("entries", DataType::Struct(entry), false);
        Ok(Column::of(DataType::Map(Arc::new(entry), false)))
    }
}
