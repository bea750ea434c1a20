//! Rows with named columns.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::Format;
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
