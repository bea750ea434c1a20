//! The formats that any serde type has: JSON, JSON lines, `MessagePack`.

use std::io::Cursor;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{Format, UnknownFields, watch};
use crate::BoxError;
use crate::key::{CanonicalError, canonical};

/// One compact JSON document, `.json`.
///
/// JSON has no NaN and no infinity: a value that holds one is refused, for it would be stored as
/// `null` and never be read back. [`MessagePack`] has them.
#[derive(Clone, Copy, Debug)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Format<T> for Json {
    const EXTENSION: &'static str = "json";
    const MEDIA_TYPE: &'static str = "application/json";

    fn encode(value: &T) -> Result<Bytes, BoxError> {
        let text = serde_json::to_vec(value)?;
        check_floats(value, &text)?;
        Ok(text.into())
    }

    fn decode(bytes: Bytes) -> Result<T, BoxError> {
        Self::decode_reporting(bytes, &mut UnknownFields::default())
    }

    fn decode_reporting(bytes: Bytes, unknown: &mut UnknownFields) -> Result<T, BoxError> {
        Ok(from_slice(&bytes, unknown)?)
    }
}

fn from_slice<T: DeserializeOwned>(
    text: &[u8],
    unknown: &mut UnknownFields,
) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = watch::deserialize(&mut deserializer, unknown)?;
    deserializer.end()?;
    Ok(value)
}

/// Refuses NaN and infinities, which `serde_json` writes as `null`. Only a text with a `null` can hold
/// one, so that most values are not looked at twice.
fn check_floats<T: Serialize>(value: &T, text: &[u8]) -> Result<(), BoxError> {
    if !text.windows(4).any(|word| word == b"null") {
        return Ok(());
    }
    match canonical::to_vec(value) {
        Err(error @ (CanonicalError::NaN | CanonicalError::Infinity)) => {
            Err(format!("{error}: make it an `Option`, or store it as `MessagePack`").into())
        }
        _ => Ok(()),
    }
}

/// One compact JSON value a line, `.jsonl`.
#[derive(Clone, Copy, Debug)]
pub struct JsonLines;

impl<T: Serialize + DeserializeOwned> Format<Vec<T>> for JsonLines {
    const EXTENSION: &'static str = "jsonl";
    const MEDIA_TYPE: &'static str = "application/jsonl";

    fn encode(value: &Vec<T>) -> Result<Bytes, BoxError> {
        let mut text = Vec::new();
        for (index, item) in value.iter().enumerate() {
            let start = text.len();
            serde_json::to_writer(&mut text, item)
                .map_err(BoxError::from)
                .and_then(|()| check_floats(item, &text[start..]))
                .map_err(|error| format!("item {}: {error}", index + 1))?;
            text.push(b'\n');
        }
        Ok(text.into())
    }

    fn decode(bytes: Bytes) -> Result<Vec<T>, BoxError> {
        Self::decode_reporting(bytes, &mut UnknownFields::default())
    }

    fn decode_reporting(bytes: Bytes, unknown: &mut UnknownFields) -> Result<Vec<T>, BoxError> {
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        // The newline ends the last line, it does not begin another.
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        text.split(|byte| *byte == b'\n')
            .enumerate()
            .map(|(index, line)| decode_line(index + 1, line, unknown))
            .collect()
    }
}

fn decode_line<T: DeserializeOwned>(
    number: usize,
    line: &[u8],
    unknown: &mut UnknownFields,
) -> Result<T, BoxError> {
    from_slice(line, unknown).map_err(|error| {
        // serde_json counts lines too, and always says 1 here.
        let text = error.to_string();
        let reason = text.split(" at line 1 column").next().unwrap_or(&text);
        format!("line {number}, column {}: {reason}", error.column()).into()
    })
}

/// `MessagePack` with named fields, `.msgpack`: as general as JSON, smaller, and exact for every float.
#[derive(Clone, Copy, Debug)]
pub struct MessagePack;

impl<T: Serialize + DeserializeOwned> Format<T> for MessagePack {
    const EXTENSION: &'static str = "msgpack";
    const MEDIA_TYPE: &'static str = "application/vnd.msgpack";

    fn encode(value: &T) -> Result<Bytes, BoxError> {
        Ok(rmp_serde::to_vec_named(value)?.into())
    }

    fn decode(bytes: Bytes) -> Result<T, BoxError> {
        Self::decode_reporting(bytes, &mut UnknownFields::default())
    }

    fn decode_reporting(bytes: Bytes, unknown: &mut UnknownFields) -> Result<T, BoxError> {
        let mut decoder = rmp_serde::Deserializer::new(Cursor::new(&bytes));
        let value = watch::deserialize(&mut decoder, unknown)?;
        let end = decoder.position();
        match bytes.len() as u64 - end {
            0 => Ok(value),
            rest => {
                Err(format!("{rest} bytes too many after the value's end at byte {end}").into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Table = BTreeMap<String, Option<f64>>;

    fn table() -> Table {
        BTreeMap::from([("a".to_owned(), Some(1.5)), ("b".to_owned(), None)])
    }

    #[test]
    fn json_round_trips_and_refuses_a_tail() {
        let bytes = Json::encode(&table()).unwrap();
        assert_eq!(bytes, r#"{"a":1.5,"b":null}"#);
        assert_eq!(<Json as Format<Table>>::decode(bytes).unwrap(), table());
        let error = <Json as Format<u8>>::decode(Bytes::from("1 2")).unwrap_err();
        assert_eq!(error.to_string(), "trailing characters at line 1 column 3");
    }

    #[test]
    fn what_json_has_no_form_for_is_refused_and_not_made_a_null() {
        assert!(Json::encode(&vec![Some(1.5), None]).is_ok());
        let error = Json::encode(&vec![Some(1.5), None, Some(f64::NAN)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "NaN has no JSON form: make it an `Option`, or store it as `MessagePack`"
        );
        let error = JsonLines::encode(&vec![0.5, f64::INFINITY]).unwrap_err();
        assert!(error.to_string().starts_with("item 2: "), "{error}");
    }

    #[test]
    fn json_lines_round_trip_with_and_without_a_last_newline() {
        let items = vec![table(), Table::new()];
        let bytes = JsonLines::encode(&items).unwrap();
        assert_eq!(bytes, "{\"a\":1.5,\"b\":null}\n{}\n");
        assert_eq!(
            <JsonLines as Format<Vec<Table>>>::decode(bytes).unwrap(),
            items
        );
        let bare = <JsonLines as Format<Vec<u8>>>::decode(Bytes::from("1\n2")).unwrap();
        assert_eq!(bare, [1, 2]);
        assert!(JsonLines::encode(&Vec::<u8>::new()).unwrap().is_empty());
        assert!(
            <JsonLines as Format<Vec<u8>>>::decode(Bytes::new())
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn json_lines_name_the_line() {
        let decode = |text: &'static str| <JsonLines as Format<Vec<u8>>>::decode(Bytes::from(text));
        assert_eq!(
            decode("1\n2 3\n").unwrap_err().to_string(),
            "line 2, column 3: trailing characters"
        );
        assert_eq!(
            decode("1\n\n2\n").unwrap_err().to_string(),
            "line 2, column 0: EOF while parsing a value"
        );
    }

    #[test]
    fn message_pack_keeps_every_float_and_refuses_a_tail() {
        let value = vec![f64::INFINITY, -0.0, 1e300];
        let bytes = MessagePack::encode(&value).unwrap();
        assert_eq!(
            <MessagePack as Format<Vec<f64>>>::decode(bytes.clone()).unwrap(),
            value
        );
        let longer = Bytes::from([&bytes[..], &[0, 0]].concat());
        let error = <MessagePack as Format<Vec<f64>>>::decode(longer).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 bytes too many after the value's end at byte 28"
        );
        assert!(<MessagePack as Format<Vec<f64>>>::decode(bytes.slice(..5)).is_err());
    }
}
