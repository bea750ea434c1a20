//! The columns of rows, found from their type alone: a sample row is made by deserializing it from nothing, and serializing it
//! shows what it consists of.
//!
//! Where a type refuses a sample, as a date refuses most texts and a non-zero number refuses 0, it is given the next one. The
//! other variants of enums, and other kinds of values where any is accepted, are tried too: they must show the same columns.

mod sample;
mod samples;
mod shape;
mod values;

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::{DataType, FieldRef, Fields, TimeUnit};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::samples::Samples;
use self::shape::Texts;
use self::values::DATE;
use super::UnknownFields;
use super::columns::from_batches;

/// More samples than that are not made of one row.
const MOST_SAMPLES: usize = 10_000;

/// Why a type shows no columns.
#[derive(Debug)]
pub(super) struct SchemaError {
    /// The path of the field; empty for the row itself.
    path: String,
    reason: String,
}

impl SchemaError {
    fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        SchemaError {
            path: path.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.path {
            "" => f.write_str("the type of the rows shows no columns")?,
            path => write!(f, "the type of the field `{path}` shows no column")?,
        }
        write!(
            f,
            ": {}\nhint: give the field another type, or store `RecordBatch`es with a schema of your own by `ParquetBatches` or `ArrowIpcBatches`",
            self.reason
        )
    }
}

impl std::error::Error for SchemaError {}

/// The columns of types that were written before.
static KNOWN: Mutex<BTreeMap<TypeId, Fields>> = Mutex::new(BTreeMap::new());

/// Returns the columns of a type of rows.
pub(super) fn columns_of<T>() -> Result<Fields, SchemaError>
where
    T: Serialize + DeserializeOwned + 'static,
{
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(columns) = known().get(&TypeId::of::<T>()) {
        return Ok(columns.clone());
    }
    let columns = find::<T>()?;
    known().insert(TypeId::of::<T>(), columns.clone());
    Ok(columns)
}

fn find<T: Serialize + DeserializeOwned>() -> Result<Fields, SchemaError> {
    let mut samples = Samples::default();
    let row: T = first(&mut samples)?;
    let columns = shape::columns(&row, Texts::AsTheyLook)?;
    for (path, choice) in samples.others() {
        if let Some(other) = samples.with::<T>(&path, choice)? {
            compare(&path, &columns, &shape::columns(&other, Texts::AsTheyLook)?)?;
        }
    }
    if columns.iter().any(|column| has_times(column.data_type()))
        && !times_round_trip(&columns, &row, &mut samples)?
    {
        return shape::columns(&row, Texts::AsText);
    }
    Ok(columns)
}

/// Makes a row that its type accepts.
fn first<T: DeserializeOwned>(samples: &mut Samples) -> Result<T, SchemaError> {
    for _ in 0..MOST_SAMPLES {
        if let Some(row) = samples.next()? {
            return Ok(row);
        }
    }
    Err(SchemaError::new("", "it refuses too many samples"))
}

fn compare(path: &str, columns: &Fields, others: &Fields) -> Result<(), SchemaError> {
    if columns == others {
        return Ok(());
    }
    Err(SchemaError::new(path, "its values have different types"))
}

fn has_times(data_type: &DataType) -> bool {
    match data_type {
        DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..) => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_times(field.data_type())),
        DataType::LargeList(field) | DataType::Map(field, _) => has_times(field.data_type()),
        _ => false,
    }
}

/// Returns whether times are the same when they are read back, with and without a fraction of a second: a type may write what
/// looks like a time, and read another form only.
fn times_round_trip<T: Serialize + DeserializeOwned>(
    columns: &[FieldRef],
    row: &T,
    samples: &mut Samples,
) -> Result<bool, SchemaError> {
    let mut round_trip = round_trips(columns, row);
    for (path, choice) in samples.whole_seconds() {
        let whole = samples.with::<T>(&path, choice)?;
        round_trip &= whole.is_some_and(|row| round_trips(columns, &row));
    }
    Ok(round_trip)
}

fn round_trips<T: Serialize + DeserializeOwned>(columns: &[FieldRef], row: &T) -> bool {
    let read = || {
        let batch = serde_arrow::to_record_batch(columns, &[row]).ok()?;
        let mut rows: Vec<T> = from_batches(&[batch], &mut UnknownFields::default()).ok()?;
        rows.pop()
    };
    let Some(read) = read() else {
        return false;
    };
    serde_json::to_value(row).ok() == serde_json::to_value(read).ok()
}

/// The precision of all times.
const UNIT: TimeUnit = TimeUnit::Nanosecond;

/// Returns the type of a column of texts that look like the sample: dates and times as such.
fn text_type(text: &str) -> DataType {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (Some(date), time),
        None => (None, text),
    };
    let is_time = |time: &str, hour: &str| {
        let rest = time
            .strip_prefix(hour)
            .and_then(|rest| rest.strip_prefix(":34:56"));
        let fraction = rest.map(|rest| rest.strip_prefix('.').unwrap_or(rest));
        fraction.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
    };
    let utc = time.strip_suffix('Z');
    match (date, utc) {
        (None, None) if text == DATE => DataType::Date32,
        (None, None) if is_time(time, "12") => DataType::Time64(UNIT),
        (Some(DATE), None) if is_time(time, "12") => DataType::Timestamp(UNIT, None),
        (Some(DATE), Some(utc)) if is_time(utc, "11") => {
            DataType::Timestamp(UNIT, Some(Arc::from("UTC")))
        }
        _ => DataType::LargeUtf8,
    }
}
