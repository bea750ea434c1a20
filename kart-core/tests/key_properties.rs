//! What holds for every value, key and path.

use std::collections::{BTreeMap, BTreeSet};

use kart_core::key::{Key, canonical, path};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn canonical_text<T: Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8(canonical::to_vec(value).unwrap()).unwrap()
}

fn rewritten(json: &str) -> String {
    let mut out = Vec::new();
    canonical::write_json(&mut out, json).unwrap();
    String::from_utf8(out).unwrap()
}

/// Text with more than its share of characters that are escaped or sorted in another way.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        3 => prop::char::range(' ', '~'),
        2 => prop::char::range('\0', '\u{1f}'),
        1 => prop::sample::select(vec!['"', '\\', '/', '.', '%', '(', ')', '\u{7f}', 'é', '日']),
        1 => prop::char::range('\u{d000}', '\u{d7ff}'),
        1 => prop::char::range('\u{e000}', '\u{ffff}'),
        1 => prop::char::range('\u{10000}', '\u{10ffff}'),
    ];
    vec(character, 0..8).prop_map(String::from_iter)
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        any::<i32>().prop_map(f64::from),
        any::<i32>().prop_map(|value| f64::from(value) / 1000.0),
    ]
    .prop_filter("finite", |value| value.is_finite())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|value| Value::Number(value.into())),
        any::<u64>().prop_map(|value| Value::Number(value.into())),
        finite().prop_map(|value| Value::Number(Number::from_f64(value).unwrap())),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 48, 6, |value| {
        prop_oneof![
            vec(value.clone(), 0..6).prop_map(Value::Array),
            btree_map(text(), value, 0..6)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// Equal as JSON: a float that is whole reads back as an integer.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) if left.is_f64() || right.is_f64() => {
            left.as_f64() == right.as_f64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, value)| right.get(name).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

/// A map that hands over its entries in the order in which they are here.
#[derive(Clone, Debug)]
struct Entries<K, V>(Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Entries<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[derive(Clone, Debug, Serialize)]
struct Newtype<T>(T);

#[derive(Clone, Debug, Serialize)]
struct Unit;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
enum Mode {
    Slow,
    Fast,
}

#[derive(Clone, Debug, Serialize)]
enum Shape {
    Unit,
    Newtype(f64),
    Tuple(i128, char),
    Struct { z: Option<u8>, a: f32, m: String },
}

/// Every kind of value that serde knows.
#[derive(Clone, Debug, Serialize)]
struct Record {
    unit: (),
    unit_struct: Unit,
    tuple: (bool, u128, Newtype<String>),
    shapes: Vec<Shape>,
    by_number: BTreeMap<i32, Option<Shape>>,
    by_mode: BTreeMap<Mode, char>,
    by_bool: BTreeMap<bool, u8>,
    by_char: BTreeMap<char, u8>,
    by_float: Entries<Newtype<f64>, u8>,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let small = any::<u32>()
        .prop_map(f32::from_bits)
        .prop_filter("finite", |value| value.is_finite());
    prop_oneof![
        Just(Shape::Unit),
        finite().prop_map(Shape::Newtype),
        any::<(i128, char)>().prop_map(|(number, character)| Shape::Tuple(number, character)),
        (any::<Option<u8>>(), small, text()).prop_map(|(z, a, m)| Shape::Struct { z, a, m }),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let mode = prop_oneof![Just(Mode::Slow), Just(Mode::Fast)];
    let maps = (
        btree_map(any::<i32>(), proptest::option::of(shape()), 0..4),
        btree_map(mode, any::<char>(), 0..3),
        btree_map(any::<bool>(), any::<u8>(), 0..3),
        btree_map(any::<char>(), any::<u8>(), 0..4),
        btree_map(any::<u64>(), any::<u8>(), 0..4),
        btree_map(
            text().prop_map(|text| format!("rest {text}")),
            any::<i64>(),
            0..4,
        ),
    );
    let tuple = (any::<bool>(), any::<u128>(), text().prop_map(Newtype));
    (tuple, vec(shape(), 0..4), maps).prop_map(
        |(tuple, shapes, (by_number, by_mode, by_bool, by_char, by_bits, rest))| Record {
            unit: (),
            unit_struct: Unit,
            tuple,
            shapes,
            by_number,
            by_mode,
            by_bool,
            by_char,
            by_float: Entries(
                by_bits
                    .into_iter()
                    .map(|(bits, value)| (Newtype(f64::from_bits(bits)), value))
                    .filter(|(Newtype(float), _)| float.is_finite())
                    .collect(),
            ),
            rest,
        },
    )
}

/// Takes a segment's encoding off.
fn decode(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            out.push(u8::from_str_radix(&segment[at + 1..at + 3], 16).unwrap());
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap()
}

fn check_segment(text: &str) -> Result<(), TestCaseError> {
    let segment = path::encode_segment(text);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.=,+@-%()".contains(&byte);
    prop_assert!(segment.bytes().all(allowed), "{segment}");
    prop_assert!(!segment.is_empty() && segment.len() <= 150, "{segment}");
    prop_assert!(
        !segment.starts_with('.') && !segment.ends_with('.'),
        "{segment}"
    );
    if !segment.contains('(') {
        prop_assert_eq!(decode(&segment), text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_value_is_its_json_text(value in json()) {
        let text = serde_json::to_string(&value).unwrap();
        let back: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(canonical_text(&value), canonical_text(&back));
        prop_assert_eq!(canonical_text(&value), rewritten(&text));
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(canonical_text(&value), rewritten(&pretty));
    }

    #[test]
    fn every_kind_of_value_is_its_json_text(value in record()) {
        let text = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(canonical_text(&value), rewritten(&text));
    }

    #[test]
    fn the_text_reads_back_as_the_value(value in json()) {
        let text = canonical_text(&value);
        let back = serde_json::from_str(&text).unwrap();
        prop_assert!(same(&value, &back), "{text}");
        prop_assert_eq!(rewritten(&text), text);
    }

    #[test]
    fn the_order_of_members_is_nothing(
        (first, second) in btree_map(text(), json(), 0..12).prop_flat_map(|members| {
            let members = Vec::from_iter(members);
            (Just(members.clone()).prop_shuffle(), Just(members).prop_shuffle())
        })
    ) {
        prop_assert_eq!(canonical_text(&Entries(first)), canonical_text(&Entries(second)));
    }

    #[test]
    fn members_are_sorted_by_utf16(names in btree_set(text(), 0..16)) {
        let mut sorted = Vec::from_iter(&names);
        sorted.sort_by_key(|name| name.encode_utf16().collect::<Vec<_>>());
        let members: Vec<String> = sorted
            .into_iter()
            .map(|name| format!("{}:1", canonical_text(name)))
            .collect();
        let expected = format!("{{{}}}", members.join(","));
        let entries = Entries(names.iter().map(|name| (name, 1)).collect());
        prop_assert_eq!(canonical_text(&entries), expected);
    }

    #[test]
    fn a_member_twice_is_an_error(names in vec(text(), 1..6), index in any::<prop::sample::Index>()) {
        let twice = index.get(&names).clone();
        let entries = Entries(names.into_iter().chain([twice]).map(|name| (name, ())).collect());
        let error = canonical::to_vec(&entries).unwrap_err();
        prop_assert!(matches!(error, canonical::CanonicalError::DuplicateKey(_)), "{error}");
    }

    #[test]
    fn floats_read_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        if !value.is_finite() {
            prop_assert!(canonical::to_vec(&value).is_err());
            return Ok(());
        }
        let back: f64 = canonical_text(&value).parse().unwrap();
        prop_assert_eq!(back.to_bits(), (value + 0.0).to_bits());
    }

    #[test]
    fn small_floats_read_back(bits in any::<u32>()) {
        let value = f32::from_bits(bits);
        if !value.is_finite() {
            prop_assert!(canonical::to_vec(&value).is_err());
            return Ok(());
        }
        let text = canonical_text(&value);
        prop_assert_eq!(text.parse::<f32>().unwrap().to_bits(), (value + 0.0).to_bits());
        prop_assert_eq!(text, rewritten(&serde_json::to_string(&value).unwrap()));
    }

    #[test]
    fn integers_are_exact(value in any::<i128>(), unsigned in any::<u128>()) {
        prop_assert_eq!(canonical_text(&value), value.to_string());
        prop_assert_eq!(canonical_text(&unsigned), unsigned.to_string());
        prop_assert_eq!(rewritten(&value.to_string()), value.to_string());
    }

    #[test]
    fn no_text_breaks_the_parser(text in "[\\[\\]{}:,\"\\\\ 0-9a-z.+-]{0,24}") {
        let mut out = Vec::new();
        let accepted = canonical::write_json(&mut out, &text);
        // serde_json checks no range of numbers and no members' names in a raw value.
        let refused = matches!(
            accepted,
            Err(canonical::CanonicalError::Infinity | canonical::CanonicalError::DuplicateKey(_))
        );
        let valid = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert!(accepted.is_ok() == valid || refused, "{text}: {accepted:?}");
    }

    #[test]
    fn keys_read_back(bytes in vec(any::<u8>(), 0..64)) {
        let key = Key::of(&bytes);
        prop_assert_eq!(key.to_string().parse::<Key>(), Ok(key));
        let json = serde_json::to_string(&key).unwrap();
        prop_assert_eq!(serde_json::from_str::<Key>(&json).unwrap(), key);
        prop_assert!(key.to_string().to_uppercase().parse::<Key>().is_err()
            || !key.to_string().contains(|digit: char| digit.is_ascii_lowercase()));
    }

    #[test]
    fn a_parameter_is_one_segment(text in any::<String>(), short in text(), long in "[a/.é%(]{40,200}") {
        for text in [&text, &short, &long] {
            check_segment(text)?;
        }
    }

    #[test]
    fn distinct_texts_are_distinct_segments(
        texts in btree_set(prop_oneof![text(), "[a./%2EF()]{0,5}", "[a/]{48,52}", any::<String>()], 2..40)
    ) {
        // A segment is a text too, and nothing but itself may come out as it.
        let all: BTreeSet<String> = texts
            .iter()
            .map(|text| path::encode_segment(text))
            .chain(texts.iter().cloned())
            .collect();
        let segments: BTreeSet<String> = all.iter().map(|text| path::encode_segment(text)).collect();
        prop_assert_eq!(segments.len(), all.len());
    }
}

#[test]
fn special_texts_are_one_segment_each() {
    let long = "x".repeat(300);
    let longer = "x".repeat(301);
    let texts = [
        "",
        ".",
        "..",
        "...",
        "/",
        "//",
        "\\",
        "\0",
        "%2F",
        "%",
        "(empty)",
        "CON",
        "con",
        "con.txt",
        "%43ON",
        "LPT1",
        "é",
        "日本語",
        "😀",
        "~",
        " ",
        "a ",
        "a",
        &long,
        &longer,
    ];
    for text in texts {
        check_segment(text).unwrap();
    }
    let segments = BTreeSet::from_iter(texts.map(path::encode_segment));
    assert_eq!(segments.len(), texts.len());
}
