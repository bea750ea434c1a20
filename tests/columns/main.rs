//! Columns whose types follow from the type of the rows, never from the rows.
#![cfg(feature = "parquet")]

mod refused;
mod tables;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroI64, NonZeroU8};
use std::path::PathBuf;
use std::time::Duration;

use jiff::{Timestamp, civil};
use kart::format::{ArrowIpc, ArrowIpcBatches, Format, Parquet, ParquetBatches};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    id: u32,
    day: Option<civil::Date>,
    time: Option<civil::Time>,
    local: Option<civil::DateTime>,
    at: Option<Timestamp>,
    count: Option<NonZeroU8>,
    difference: Option<NonZeroI64>,
    address: Option<IpAddr>,
    ratings: Option<BTreeMap<String, f64>>,
    state: Option<State>,
    place: Option<Place>,
    tags: Vec<Option<String>>,
    days: Vec<civil::Date>,
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Open,
    Closed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    name: String,
    since: Option<civil::Date>,
}

fn null_row(id: u32) -> Row {
    Row {
        id,
        day: None,
        time: None,
        local: None,
        at: None,
        count: None,
        difference: None,
        address: None,
        ratings: None,
        state: None,
        place: None,
        tags: Vec::new(),
        days: Vec::new(),
        note: None,
    }
}

fn full_row(id: u32) -> Row {
    Row {
        id,
        day: Some(civil::date(1969, 7, 20)),
        time: Some(civil::time(23, 59, 58, 1_000)),
        local: Some(civil::date(2024, 2, 29).at(1, 2, 3, 999_999_000)),
        at: Some("2024-03-01T00:00:00.000001Z".parse().unwrap()),
        count: NonZeroU8::new(7),
        difference: NonZeroI64::new(-7),
        address: Some(IpAddr::from([127, 0, 0, 1])),
        ratings: Some(BTreeMap::from([("a".to_owned(), 0.5)])),
        state: Some(State::Closed),
        place: Some(Place {
            name: "Bern".to_owned(),
            since: Some(civil::date(1191, 1, 1)),
        }),
        tags: vec![Some("x".to_owned()), None],
        days: vec![civil::date(2026, 11, 28)],
        note: Some(String::new()),
    }
}

/// The names and types of the columns of no rows, of these, and of each of them, which must be the same.
fn schema<T: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static>(
    rows: &[T],
) -> Vec<String> {
    let mut schemas = Vec::new();
    let each = rows.iter().map(|row| vec![row.clone()]);
    for rows in [Vec::new(), rows.to_vec()].into_iter().chain(each) {
        let bytes = ArrowIpc::encode(&rows).unwrap();
        let batches = ArrowIpcBatches::decode(bytes.clone()).unwrap();
        let read: Vec<T> = ArrowIpc::decode(bytes).unwrap();
        assert_eq!(read, rows);
        let bytes = Parquet::encode(&rows).unwrap();
        let read: Vec<T> = Parquet::decode(bytes.clone()).unwrap();
        assert_eq!(read, rows);
        if !rows.is_empty() {
            let stored = ParquetBatches::decode(bytes).unwrap();
            assert_eq!(stored[0].schema(), batches[0].schema());
        }
        let schema = batches[0].schema();
        let fields = schema.fields().iter();
        let fields: Vec<String> = fields
            .map(|field| {
                let null = if field.is_nullable() { "?" } else { "" };
                format!("{}: {}{null}", field.name(), field.data_type())
            })
            .collect();
        schemas.push(fields);
    }
    schemas.dedup();
    assert_eq!(schemas.len(), 1, "{schemas:#?}");
    schemas.pop().unwrap()
}

#[test]
fn dates_and_times_are_columns_of_their_own_types() {
    assert_eq!(
        schema(&[full_row(1), null_row(2)]),
        [
            "id: UInt32",
            "day: Date32?",
            "time: Time64(ns)?",
            "local: Timestamp(ns)?",
            r#"at: Timestamp(ns, "UTC")?"#,
            "count: UInt8?",
            "difference: Int64?",
            "address: LargeUtf8?",
            r#"ratings: Map("entries": non-null Struct("key": non-null LargeUtf8, "value": non-null Float64), unsorted)?"#,
            "state: LargeUtf8?",
            r#"place: Struct("name": non-null LargeUtf8, "since": Date32)?"#,
            "tags: LargeList(LargeUtf8, field: 'element')",
            "days: LargeList(non-null Date32, field: 'element')",
            "note: LargeUtf8?",
        ]
    );
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Jiff {
    day: civil::Date,
    time: civil::Time,
    local: civil::DateTime,
    at: Timestamp,
    span: jiff::SignedDuration,
}

#[test]
fn the_whole_range_of_dates_and_the_last_digit_of_times_come_back() {
    let row = |day: civil::Date, at: &str| Jiff {
        day,
        time: civil::Time::MAX,
        local: civil::date(1700, 1, 1).at(0, 0, 0, 1),
        at: at.parse().unwrap(),
        span: jiff::SignedDuration::new(-1, -1),
    };
    let rows = [
        row(civil::Date::MIN, "1677-09-22T00:00:00Z"),
        row(civil::Date::MAX, "2262-04-11T23:47:16.854775807Z"),
        row(civil::date(0, 1, 1), "1969-12-31T23:59:59.999999999Z"),
        row(civil::date(-1, 1, 1), "1970-01-01T00:00:00.1Z"),
    ];
    assert_eq!(
        schema(&rows),
        [
            "day: Date32",
            "time: Time64(ns)",
            "local: Timestamp(ns)",
            r#"at: Timestamp(ns, "UTC")"#,
            "span: LargeUtf8",
        ]
    );
    let error = Parquet::encode(&vec![row(civil::Date::MIN, "9999-12-01T00:00:00Z")]).unwrap_err();
    assert!(error.to_string().contains("nanoseconds"), "{error}");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Chrono {
    day: chrono::NaiveDate,
    time: chrono::NaiveTime,
    local: chrono::NaiveDateTime,
    at: Option<chrono::DateTime<chrono::Utc>>,
    offset: chrono::DateTime<chrono::FixedOffset>,
    weekday: chrono::Weekday,
}

#[test]
fn times_with_an_offset_of_their_own_are_texts() {
    let at = "2024-02-29T12:34:56.5+01:00".parse::<chrono::DateTime<_>>();
    let offset: chrono::DateTime<chrono::FixedOffset> = at.unwrap();
    let row = Chrono {
        day: offset.date_naive(),
        time: offset.time(),
        local: offset.naive_local(),
        at: Some(offset.to_utc()),
        offset,
        weekday: chrono::Weekday::Sun,
    };
    assert_eq!(
        schema(&[row]),
        [
            "day: Date32",
            "time: Time64(ns)",
            "local: Timestamp(ns)",
            r#"at: Timestamp(ns, "UTC")?"#,
            "offset: LargeUtf8",
            "weekday: LargeUtf8",
        ]
    );
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Odd {
    letter: char,
    bytes: Vec<u8>,
    pair: (u8, Option<String>),
    array: [f32; 3],
    path: PathBuf,
    v6: Ipv6Addr,
    socket: SocketAddr,
    took: Duration,
    by_day: HashMap<civil::Date, Option<Vec<State>>>,
    #[serde(alias = "old")]
    new: u64,
    checked: Even,
    unit: (),
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<i8>,
    boxed: Box<Place>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
struct Even(u64);

impl TryFrom<u64> for Even {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        if number.is_multiple_of(2) {
            Ok(Even(number))
        } else {
            Err(format!("{number} is odd"))
        }
    }
}

impl From<Even> for u64 {
    fn from(even: Even) -> u64 {
        even.0
    }
}

#[test]
fn whatever_has_one_type_has_a_column() {
    let row = |left_out| Odd {
        letter: 'ß',
        bytes: vec![0, 255],
        pair: (1, None),
        array: [0.5; 3],
        path: PathBuf::from("/tmp"),
        v6: Ipv6Addr::LOCALHOST,
        socket: SocketAddr::from(([127, 0, 0, 1], 80)),
        took: Duration::from_nanos(1_000_000_001),
        by_day: HashMap::from([(civil::date(2024, 2, 29), Some(vec![State::Open]))]),
        new: 1,
        checked: Even(4),
        unit: (),
        left_out,
        boxed: Box::new(Place {
            name: "Ulm".to_owned(),
            since: None,
        }),
    };
    assert_eq!(
        schema(&[row(None), row(Some(1))]),
        [
            "letter: LargeUtf8",
            "bytes: LargeList(non-null UInt8, field: 'element')",
            r#"pair: Struct("0": non-null UInt8, "1": LargeUtf8)"#,
            r#"array: Struct("0": non-null Float32, "1": non-null Float32, "2": non-null Float32)"#,
            "path: LargeUtf8",
            "v6: LargeUtf8",
            "socket: LargeUtf8",
            r#"took: Struct("secs": non-null UInt64, "nanos": non-null UInt32)"#,
            r#"by_day: Map("entries": non-null Struct("key": non-null Date32, "value": LargeList(non-null LargeUtf8, field: 'element')), unsorted)"#,
            "new: UInt64",
            "checked: UInt64",
            "unit: Null?",
            "left_out: Int8?",
            r#"boxed: Struct("name": non-null LargeUtf8, "since": Date32)"#,
        ]
    );
}

/// A time with tenths of a second, which have to be written.
#[derive(Clone, Debug, PartialEq)]
struct Tenths(u8);

impl Serialize for Tenths {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("12:34:56.{}", self.0))
    }
}

impl<'de> Deserialize<'de> for Tenths {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let tenths = text
            .strip_prefix("12:34:56.")
            .and_then(|tenths| tenths.parse().ok());
        tenths
            .map(Tenths)
            .ok_or_else(|| serde::de::Error::custom("no tenths"))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lap {
    time: Tenths,
}

#[test]
fn a_text_that_only_looks_like_a_time_stays_a_text() {
    let row = |tenths| Lap {
        time: Tenths(tenths),
    };
    assert_eq!(schema(&[row(0), row(9)]), ["time: LargeUtf8"]);
}
