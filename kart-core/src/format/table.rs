//! Rows with named columns.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};

use super::{Format, UnknownFields};
use crate::BoxError;

/// Comma-separated rows under a header row, `.csv`. A row is a struct with named fields.
///
/// No rows give an empty object: without a row the column names are not known.
#[derive(Clone, Copy, Debug)]
pub struct Csv;

impl<T: Serialize + DeserializeOwned> Format<Vec<T>> for Csv {
    const EXTENSION: &'static str = "csv";
    const MEDIA_TYPE: &'static str = "text/csv; charset=utf-8";

    fn encode(value: &Vec<T>) -> Result<Bytes, BoxError> {
        if let Some(row) = value.first() {
            check_header(row)?;
        }
        let mut writer = csv::Writer::from_writer(Vec::new());
        for (index, row) in value.iter().enumerate() {
            writer
                .serialize(row)
                .map_err(|error| format!("row {}: {error}", index + 1))?;
        }
        Ok(writer.into_inner()?.into())
    }

    fn decode(bytes: Bytes) -> Result<Vec<T>, BoxError> {
        csv::Reader::from_reader(&*bytes)
            .deserialize()
            .enumerate()
            .map(|(index, row)| row.map_err(|error| format!("row {}: {error}", index + 1).into()))
            .collect()
    }

    fn decode_reporting(bytes: Bytes, unknown: &mut UnknownFields) -> Result<Vec<T>, BoxError> {
        if let Some(fields) = FieldNames::of::<T>() {
            let mut reader = csv::Reader::from_reader(&*bytes);
            let columns = reader
                .headers()
                .map_err(|error| format!("header: {error}"))?;
            for column in columns.iter().filter(|column| !fields.contains(column)) {
                unknown.add(column);
            }
        }
        Self::decode(bytes)
    }
}

/// Finds out which fields a struct reads, which it says before it reads any. Gives the names as an error, since there is no
/// value.
struct FieldNames;

#[derive(Debug)]
struct Found(Option<&'static [&'static str]>);

impl FieldNames {
    /// Returns the names that a row may have; `None` for a type that does not say.
    fn of<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
        T::deserialize(FieldNames).err().and_then(|found| found.0)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a struct with named fields")
    }
}

impl std::error::Error for Found {}

impl de::Error for Found {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Found(None)
    }
}

impl<'de> Deserializer<'de> for FieldNames {
    type Error = Found;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Found> {
        Err(Found(None))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Found> {
        Err(Found(Some(fields)))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Found> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Refuses a row that brings no column names: the reader would take the first row for the header and
/// lose it.
fn check_header<T: Serialize>(row: &T) -> Result<(), BoxError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .serialize(row)
        .map_err(|error| format!("row 1: {error}"))?;
    let text = writer.into_inner()?;
    let records = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(&*text)
        .records()
        .count();
    if records == 2 {
        Ok(())
    } else {
        Err("a row has no column names: make it a struct with named fields".into())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        name: String,
        score: Option<u32>,
    }

    fn row(name: &str, score: Option<u32>) -> Row {
        Row {
            name: name.to_owned(),
            score,
        }
    }

    fn decode(text: &'static str) -> Result<Vec<Row>, BoxError> {
        Csv::decode(Bytes::from(text))
    }

    #[test]
    fn rows_round_trip() {
        let rows = vec![row("a, \"b\"\nc", Some(1)), row("", None)];
        let bytes = Csv::encode(&rows).unwrap();
        assert_eq!(bytes, "name,score\n\"a, \"\"b\"\"\nc\",1\n,\n");
        assert_eq!(<Csv as Format<Vec<Row>>>::decode(bytes).unwrap(), rows);
        assert!(Csv::encode(&Vec::<Row>::new()).unwrap().is_empty());
        assert!(decode("").unwrap().is_empty());
    }

    #[test]
    fn columns_are_found_by_name() {
        assert_eq!(decode("score,name\n7,a\n").unwrap(), [row("a", Some(7))]);
    }

    #[test]
    fn a_bad_row_is_named() {
        let error = decode("name,score\na,1\nb,x\n").unwrap_err().to_string();
        assert!(error.starts_with("row 2: "), "{error}");
        assert!(error.contains("line: 3"), "{error}");
        let error = decode("name,score\na,1,2\n").unwrap_err().to_string();
        assert!(error.contains("found record with 3 fields"), "{error}");
    }

    #[test]
    fn rows_without_names_are_refused() {
        let error = Csv::encode(&vec![(1, 2)]).unwrap_err().to_string();
        assert_eq!(
            error,
            "a row has no column names: make it a struct with named fields"
        );
    }
}
