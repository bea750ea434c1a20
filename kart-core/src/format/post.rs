//! A small binary form.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::Format;
use crate::BoxError;

/// [postcard](https://postcard.jamesmunns.com), `.postcard`: smaller and faster than `MessagePack`, and without
/// names: the type is needed to read it, and must not change.
#[derive(Clone, Copy, Debug)]
pub struct Postcard;

impl<T: Serialize + DeserializeOwned> Format<T> for Postcard {
    const EXTENSION: &'static str = "postcard";

    fn encode(value: &T) -> Result<Bytes, BoxError> {
        Ok(postcard::to_stdvec(value)?.into())
    }

    fn decode(bytes: Bytes) -> Result<T, BoxError> {
        let (value, rest) = postcard::take_from_bytes(&bytes)?;
        match rest.len() {
            0 => Ok(value),
            count => Err(format!("{count} bytes too many after the value's end").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_round_trips_and_a_tail_is_refused() {
        let value = vec![Some(1.5_f64), None];
        let bytes = Postcard::encode(&value).unwrap();
        let decode = <Postcard as Format<Vec<Option<f64>>>>::decode;
        assert_eq!(decode(bytes.clone()).unwrap(), value);
        let longer = Bytes::from([&bytes[..], &[0, 0]].concat());
        let error = decode(longer).unwrap_err().to_string();
        assert_eq!(error, "2 bytes too many after the value's end");
        assert!(decode(bytes.slice(..5)).is_err());
    }

    #[test]
    fn a_length_without_content_takes_no_memory() {
        // A vector of 2^62 numbers.
        let bytes = Bytes::from_static(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40]);
        assert!(<Postcard as Format<Vec<u64>>>::decode(bytes).is_err());
    }
}
