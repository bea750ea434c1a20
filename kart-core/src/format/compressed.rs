//! Compression around another format.

use std::io::Read as _;
use std::marker::PhantomData;

use bytes::Bytes;

use super::{Format, UnknownFields};
use crate::BoxError;

/// Another format, compressed by [Zstandard](https://facebook.github.io/zstd), with `.zst` after its extension:
/// `#[task(path = "{key}.json.zst", format = Zstd<Json>)]`.
///
/// A value takes no more than `MIB` mebibytes when it is not compressed, 1024 unless said otherwise: a stored object
/// that grows without end when it is read is an error.
#[derive(Debug)]
pub struct Zstd<F, const MIB: u64 = 1024>(PhantomData<F>);

/// The level that the `zstd` program has by itself.
const LEVEL: i32 = 3;

impl<F, T, const MIB: u64> Format<T> for Zstd<F, MIB>
where
    F: Format<T>,
{
    const EXTENSION: &'static str = Joined::<F, T>::EXTENSION;
    const MEDIA_TYPE: &'static str = "application/zstd";

    fn encode(value: &T) -> Result<Bytes, BoxError> {
        let bytes = F::encode(value)?;
        if bytes.len() as u64 > MIB << 20 {
            return Err(too_large(MIB));
        }
        Ok(zstd::bulk::compress(&bytes, LEVEL)?.into())
    }

    fn decode(bytes: Bytes) -> Result<T, BoxError> {
        F::decode(decompress(&bytes, MIB)?)
    }

    fn decode_reporting(bytes: Bytes, unknown: &mut UnknownFields) -> Result<T, BoxError> {
        F::decode_reporting(decompress(&bytes, MIB)?, unknown)
    }
}

fn decompress(bytes: &[u8], mib: u64) -> Result<Bytes, BoxError> {
    let decoder = zstd::stream::Decoder::with_buffer(bytes)?;
    let mut text = Vec::new();
    let most = mib << 20;
    decoder.take(most + 1).read_to_end(&mut text)?;
    if text.len() as u64 > most {
        return Err(too_large(mib));
    }
    Ok(text.into())
}

fn too_large(mib: u64) -> BoxError {
    format!(
        "it has more than {mib} MiB when it is not compressed: allow for more by `Zstd<Format, MIB>`"
    )
    .into()
}

/// Makes one text of two.
struct Joined<F, T>(PhantomData<(F, T)>);

const LONGEST: usize = 64;

impl<F: Format<T>, T> Joined<F, T> {
    const TEXT: ([u8; LONGEST], usize) = {
        let (first, second) = (F::EXTENSION.as_bytes(), b".zst");
        let mut text = [0; LONGEST];
        let mut at = 0;
        while at < first.len() {
            text[at] = first[at];
            at += 1;
        }
        while at < first.len() + second.len() {
            text[at] = second[at - first.len()];
            at += 1;
        }
        (text, at)
    };

    const EXTENSION: &'static str = {
        let (text, length) = &Self::TEXT;
        match std::str::from_utf8(text.split_at(*length).0) {
            Ok(text) => text,
            Err(_) => panic!("two texts make a text"),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::super::{Json, Text};
    use super::*;

    #[test]
    fn it_says_what_is_in_it() {
        assert_eq!(<Zstd<Json> as Format<u8>>::EXTENSION, "json.zst");
        assert_eq!(
            <Zstd<Zstd<Text>> as Format<String>>::EXTENSION,
            "txt.zst.zst"
        );
    }

    #[test]
    fn a_value_round_trips_and_what_is_cut_off_is_refused() {
        let value = "abc".repeat(1000);
        let bytes = <Zstd<Text>>::encode(&value).unwrap();
        assert!(bytes.len() < 100);
        let decode = <Zstd<Text> as Format<String>>::decode;
        assert_eq!(decode(bytes.clone()).unwrap(), value);
        assert!(decode(bytes.slice(..bytes.len() - 1)).is_err());
        assert!(decode(Bytes::from("no frame")).is_err());
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 3 << 20], LEVEL).unwrap();
        assert!(bomb.len() < 1000);
        let error = <Zstd<Text, 2> as Format<String>>::decode(bomb.into()).unwrap_err();
        assert!(error.to_string().contains("more than 2 MiB"), "{error}");
        let error = <Zstd<Text, 2>>::encode(&" ".repeat(3 << 20)).unwrap_err();
        assert!(error.to_string().contains("more than 2 MiB"), "{error}");
    }
}
