//! Between a value and the bytes of its object. Pure: nothing here reads or writes a store.

#[cfg(feature = "arrow")]
mod columns;
#[cfg(feature = "zstd")]
mod compressed;
mod file;
mod json;
mod plain;
#[cfg(feature = "arrow")]
mod schema;
mod table;
mod unknown;
mod watch;

use bytes::Bytes;

#[cfg(feature = "arrow")]
pub use columns::{ArrowIpc, ArrowIpcBatches};
#[cfg(feature = "parquet")]
pub use columns::{Parquet, ParquetBatches};
#[cfg(feature = "zstd")]
pub use compressed::Zstd;
pub use file::File;
pub use json::{Json, JsonLines, MessagePack};
pub use plain::{Raw, Text};
pub use table::Csv;
pub use unknown::UnknownFields;
pub(crate) use unknown::decode;

use crate::BoxError;

/// How a value of type `T` is stored: an object's bytes and nothing else, so that any other tool can
/// read it.
///
/// # Examples
///
/// A format of one's own is a marker type and two functions. This one keeps readings as `name=value`
/// lines, and its decoder says which line it could not read:
///
/// ```
/// use std::collections::BTreeMap;
///
/// use bytes::Bytes;
/// use kart::{BoxError, format::Format};
///
/// struct Properties;
///
/// impl Format<BTreeMap<String, f64>> for Properties {
///     const EXTENSION: &'static str = "properties";
///     const MEDIA_TYPE: &'static str = "text/plain; charset=utf-8";
///
///     fn encode(readings: &BTreeMap<String, f64>) -> Result<Bytes, BoxError> {
///         let lines = readings.iter().map(|(name, value)| format!("{name}={value}\n"));
///         Ok(lines.collect::<String>().into())
///     }
///
///     fn decode(bytes: Bytes) -> Result<BTreeMap<String, f64>, BoxError> {
///         let text = std::str::from_utf8(&bytes)?;
///         let reading = |(index, line): (usize, &str)| {
///             let (name, value) = line
///                 .split_once('=')
///                 .ok_or_else(|| format!("line {}: no `=` in `{line}`", index + 1))?;
///             let value = value.parse().map_err(|error| format!("line {}: {error}", index + 1))?;
///             Ok((name.to_owned(), value))
///         };
///         text.lines().enumerate().map(reading).collect()
///     }
/// }
///
/// let readings = BTreeMap::from([("inside".to_owned(), 21.5), ("outside".to_owned(), -3.0)]);
/// let bytes = Properties::encode(&readings)?;
/// assert_eq!(bytes, "inside=21.5\noutside=-3\n");
/// assert_eq!(Properties::decode(bytes)?, readings);
///
/// let error = Properties::decode(Bytes::from("inside=21.5\noutside\n")).unwrap_err();
/// assert_eq!(error.to_string(), "line 2: no `=` in `outside`");
/// # Ok::<(), BoxError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "the format `{Self}` cannot store a value of type `{T}`",
    label = "not a format for `{T}`",
    note = "`Json` and `MessagePack` store what is `Serialize + DeserializeOwned`; `JsonLines` and `Csv` a `Vec` of such; `Text` a `String`; `Raw` a `Vec<u8>` or `Bytes`; each of them a `kart::File` as it is",
    note = "for anything else implement `kart::format::Format<{T}>` for a marker type of your own"
)]
pub trait Format<T>: 'static {
    /// The file name extension, without a dot.
    const EXTENSION: &'static str;

    /// The media type, for what serves the object over HTTP.
    const MEDIA_TYPE: &'static str = "application/octet-stream";

    #[doc(hidden)]
    const STORES_FILES: bool = false;

    /// The bytes to store.
    ///
    /// # Errors
    ///
    /// The value has no form in this format.
    fn encode(value: &T) -> Result<Bytes, BoxError>;

    /// The value that was stored.
    ///
    /// # Errors
    ///
    /// The bytes are not, from the first to the last, what [`encode`](Self::encode) gives for some value.
    fn decode(bytes: Bytes) -> Result<T, BoxError>;

    /// Decodes as [`decode`](Self::decode) does, and reports the stored fields that `T` does not have: kart refuses such
    /// an output of its own, since its type has changed; see [`OnTypeChange`](crate::OnTypeChange).
    ///
    /// kart's formats of named fields implement it. Without an implementation nothing is reported.
    ///
    /// They see what a `Deserialize` ignores. They cannot see what serde reads into memory before it looks at the type:
    /// fields that a struct with `#[serde(flatten)]` ignores, and those in untagged and internally tagged enums.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](Self::decode).
    fn decode_reporting(bytes: Bytes, unknown: &mut UnknownFields) -> Result<T, BoxError> {
        let _ = unknown;
        Self::decode(bytes)
    }
}
