//! Rows in columns: Arrow's files and Parquet's.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_arrow::Deserializer;

use super::{Format, UnknownFields, schema, watch};
use crate::BoxError;

/// What is decoded takes no more memory than that: a stored object that grows without end is an error.
const MOST_BYTES: usize = 4 << 30;

/// An Arrow IPC file ("Feather"), `.arrow`: a `Vec` of structs, a column for each field.
///
/// The columns follow from the type of the rows, never from the rows, so that many files are one table, also those without
/// rows:
///
/// | type | column |
/// | --- | --- |
/// | numbers, `bool`, `NonZero`, newtypes | as they are |
/// | `String`, `char`, enums without data, IP addresses, paths, UUIDs and other types that serde writes as text | text |
/// | dates and times of `jiff` and `chrono` | dates, times and timestamps in nanoseconds; in UTC where they are points in time |
/// | `Option` | nullable |
/// | structs, tuples, arrays | structs |
/// | `Vec`, sets | lists |
/// | maps | maps |
///
/// Texts with a time zone or an offset of their own stay texts. A timestamp lies between the years 1677 and 2262.
///
/// Types that do not show their columns are an error at the first write: enums with data, `#[serde(flatten)]`,
/// `serde_json::Value`, `Option<Option<_>>`, types that contain themselves, integers of 128 bits. The error names the field.
///
/// A `Vec<RecordBatch>` is stored by [`ArrowIpcBatches`], with a schema of your own.
#[derive(Clone, Copy, Debug)]
pub struct ArrowIpc;

/// An Arrow IPC file of record batches, `.arrow`.
#[derive(Clone, Copy, Debug)]
pub struct ArrowIpcBatches;

/// A Parquet file, `.parquet`: a `Vec` of structs, a column for each field, compressed by Zstandard.
///
/// The columns are those of [`ArrowIpc`]: they follow from the type of the rows. A `Vec<RecordBatch>` is stored by
/// [`ParquetBatches`], with a schema of your own.
#[cfg(feature = "parquet")]
#[derive(Clone, Copy, Debug)]
pub struct Parquet;

/// A Parquet file of record batches, `.parquet`.
#[cfg(feature = "parquet")]
#[derive(Clone, Copy, Debug)]
pub struct ParquetBatches;

const ARROW: &str = "application/vnd.apache.arrow.file";
#[cfg(feature = "parquet")]
const PARQUET: &str = "application/vnd.apache.parquet";

impl Format<Vec<RecordBatch>> for ArrowIpcBatches {
    const EXTENSION: &'static str = "arrow";
    const MEDIA_TYPE: &'static str = ARROW;

    fn encode(batches: &Vec<RecordBatch>) -> Result<Bytes, BoxError> {
        let schema = schema_of(batches);
        let mut writer = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &schema)?;
        for batch in batches {
            writer.write(batch)?;
        }
        Ok(writer.into_inner()?.into())
    }

    fn decode(bytes: Bytes) -> Result<Vec<RecordBatch>, BoxError> {
        let reader = arrow_ipc::reader::FileReader::try_new(std::io::Cursor::new(bytes), None)?;
        bounded(reader)
    }
}

#[cfg(feature = "parquet")]
impl Format<Vec<RecordBatch>> for ParquetBatches {
    const EXTENSION: &'static str = "parquet";
    const MEDIA_TYPE: &'static str = PARQUET;

    fn encode(batches: &Vec<RecordBatch>) -> Result<Bytes, BoxError> {
        use parquet::arrow::ArrowWriter;
        use parquet::basic::{Compression, ZstdLevel};
        use parquet::file::properties::WriterProperties;

        let zstd = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(zstd).build();
        let schema = schema_of(batches);
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties))?;
        for batch in batches {
            writer.write(batch)?;
        }
        Ok(writer.into_inner()?.into())
    }

    fn decode(bytes: Bytes) -> Result<Vec<RecordBatch>, BoxError> {
        use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

        bounded(ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?)
    }
}

/// Rows are record batches of which each field of the struct is a column.
macro_rules! rows {
    ($($(#[$cfg:meta])? $rows:ident, $batches:ident, $extension:literal, $media_type:expr;)+) => {
        $($(#[$cfg])?
        #[diagnostic::do_not_recommend]
        impl<T: Serialize + DeserializeOwned + 'static> Format<Vec<T>> for $rows {
            const EXTENSION: &'static str = $extension;
            const MEDIA_TYPE: &'static str = $media_type;

            fn encode(rows: &Vec<T>) -> Result<Bytes, BoxError> {
                $batches::encode(&to_batches(rows)?)
            }

            fn decode(bytes: Bytes) -> Result<Vec<T>, BoxError> {
                Self::decode_reporting(bytes, &mut UnknownFields::default())
            }

            fn decode_reporting(bytes: Bytes, unknown: &mut UnknownFields) -> Result<Vec<T>, BoxError> {
                from_batches(&$batches::decode(bytes)?, unknown)
            }
        })+
    };
}

rows! {
    ArrowIpc, ArrowIpcBatches, "arrow", ARROW;
    #[cfg(feature = "parquet")]
    Parquet, ParquetBatches, "parquet", PARQUET;
}

/// No batches have no columns.
fn schema_of(batches: &[RecordBatch]) -> Arc<Schema> {
    let first = batches.first();
    first.map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema)
}

fn to_batches<T>(rows: &[T]) -> Result<Vec<RecordBatch>, BoxError>
where
    T: Serialize + DeserializeOwned + 'static,
{
    let columns = schema::columns_of::<T>()?;
    Ok(vec![serde_arrow::to_record_batch(&columns, &rows)?])
}

pub(super) fn from_batches<T: DeserializeOwned>(
    batches: &[RecordBatch],
    unknown: &mut UnknownFields,
) -> Result<Vec<T>, BoxError> {
    let mut rows = Vec::new();
    for batch in batches {
        let batch = Deserializer::from_record_batch(batch)?;
        rows.reserve(batch.len());
        for row in &batch {
            rows.push(watch::deserialize(row, unknown)?);
        }
    }
    Ok(rows)
}

fn bounded<E: Into<BoxError>>(
    read: impl Iterator<Item = Result<RecordBatch, E>>,
) -> Result<Vec<RecordBatch>, BoxError> {
    let mut batches = Vec::new();
    let mut bytes = 0;
    for batch in read {
        let batch = batch.map_err(Into::into)?;
        bytes += batch.get_array_memory_size();
        if bytes > MOST_BYTES {
            return Err(format!("it has more than {} MiB of rows", MOST_BYTES >> 20).into());
        }
        batches.push(batch);
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        name: String,
        score: Option<f64>,
        count: i64,
    }

    fn rows() -> Vec<Row> {
        let row = |n: i64| Row {
            name: format!("row {n}"),
            score: (n % 3 > 0).then_some(0.5),
            count: n,
        };
        (0..1000).map(row).collect()
    }

    fn round_trips<F: Format<Vec<Row>>>() {
        for rows in [rows(), Vec::new()] {
            let bytes = F::encode(&rows).unwrap();
            assert_eq!(F::decode(bytes).unwrap(), rows);
        }
        let bytes = F::encode(&rows()).unwrap();
        assert!(F::decode(bytes.slice(..bytes.len() / 2)).is_err());
        assert!(F::decode(Bytes::from_static(b"something else")).is_err());
        assert!(F::decode(Bytes::new()).is_err());
    }

    #[test]
    fn rows_round_trip_and_what_is_cut_off_is_refused() {
        round_trips::<ArrowIpc>();
        #[cfg(feature = "parquet")]
        round_trips::<Parquet>();
    }

    #[test]
    fn batches_round_trip() {
        let batches = to_batches(&rows()).unwrap();
        let bytes = ArrowIpcBatches::encode(&batches).unwrap();
        assert_eq!(ArrowIpcBatches::decode(bytes).unwrap(), batches);
        #[cfg(feature = "parquet")]
        {
            let bytes = ParquetBatches::encode(&batches).unwrap();
            assert_eq!(ParquetBatches::decode(bytes).unwrap(), batches);
            assert_eq!(
                ParquetBatches::decode(ParquetBatches::encode(&Vec::new()).unwrap()).unwrap(),
                []
            );
        }
    }
}
