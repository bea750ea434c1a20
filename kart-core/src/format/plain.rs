//! The formats that add nothing to the value: text and bytes.

use bytes::Bytes;

use super::Format;
use crate::BoxError;

/// UTF-8 text as it is, `.txt`.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl Format<String> for Text {
    const EXTENSION: &'static str = "txt";
    const MEDIA_TYPE: &'static str = "text/plain; charset=utf-8";

    fn encode(value: &String) -> Result<Bytes, BoxError> {
        Ok(Bytes::copy_from_slice(value.as_bytes()))
    }

    fn decode(bytes: Bytes) -> Result<String, BoxError> {
        Ok(String::from_utf8(bytes.into())?)
    }
}

/// Bytes as they are, `.bin`.
#[derive(Clone, Copy, Debug)]
pub struct Raw;

impl Format<Bytes> for Raw {
    const EXTENSION: &'static str = "bin";

    fn encode(value: &Bytes) -> Result<Bytes, BoxError> {
        Ok(value.clone())
    }

    fn decode(bytes: Bytes) -> Result<Bytes, BoxError> {
        Ok(bytes)
    }
}

impl Format<Vec<u8>> for Raw {
    const EXTENSION: &'static str = "bin";

    fn encode(value: &Vec<u8>) -> Result<Bytes, BoxError> {
        Ok(Bytes::copy_from_slice(value))
    }

    fn decode(bytes: Bytes) -> Result<Vec<u8>, BoxError> {
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_stored_as_it_is() {
        let text = "häßlich\n".to_owned();
        let bytes = Text::encode(&text).unwrap();
        assert_eq!(bytes, text.as_bytes());
        assert_eq!(<Text as Format<String>>::decode(bytes).unwrap(), text);
    }

    #[test]
    fn what_is_not_text_is_refused_with_its_place() {
        let error = <Text as Format<String>>::decode(Bytes::from_static(b"ab\xff")).unwrap_err();
        assert!(error.to_string().contains("index 2"), "{error}");
    }

    #[test]
    fn bytes_are_stored_as_they_are() {
        let value = vec![0_u8, 255, 10];
        let bytes = Raw::encode(&value).unwrap();
        assert_eq!(
            <Raw as Format<Vec<u8>>>::decode(bytes.clone()).unwrap(),
            value
        );
        assert_eq!(
            <Raw as Format<Bytes>>::decode(bytes.clone()).unwrap(),
            bytes
        );
    }
}
