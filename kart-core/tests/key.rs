//! Keys, canonical text and paths, case by case.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;

use kart_core::key::canonical::{self, CanonicalError};
use kart_core::key::path::{PathText, PathValue, Segment, render};
use kart_core::key::{Key, ViaDisplay as _, ViaJson as _};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

fn canonical_text<T: Serialize + ?Sized>(value: &T) -> String {
    String::from_utf8(canonical::to_vec(value).unwrap()).unwrap()
}

fn canonical_error<T: Serialize + ?Sized>(value: &T) -> String {
    canonical::to_vec(value).unwrap_err().to_string()
}

#[test]
fn values_are_written_as_serde_json_has_them() {
    #[derive(Serialize)]
    enum Shape {
        Unit,
        Newtype(u8),
        Tuple(u8, f32),
        Struct { z: u8, a: u8 },
    }
    #[derive(Serialize)]
    struct Unit;

    assert_eq!(canonical_text(&Shape::Unit), r#""Unit""#);
    assert_eq!(canonical_text(&Shape::Newtype(1)), r#"{"Newtype":1}"#);
    assert_eq!(
        canonical_text(&Shape::Tuple(1, 0.1)),
        r#"{"Tuple":[1,0.1]}"#
    );
    assert_eq!(
        canonical_text(&Shape::Struct { z: 1, a: 2 }),
        r#"{"Struct":{"a":2,"z":1}}"#
    );
    assert_eq!(
        canonical_text(&(Unit, (), None::<u8>, Some(1))),
        "[null,null,null,1]"
    );
    assert_eq!(canonical_text(&['a', '"']), r#"["a","\""]"#);
    assert_eq!(canonical_text(&Bytes(b"\x00\xff")), "[0,255]");
    assert_eq!(
        canonical_text(&(1.0, 1e300, -0.0, 1e21, 1e-7)),
        "[1,1e+300,0,1e+21,1e-7]"
    );
    assert_eq!(
        canonical_text(&[u128::MAX, 0]),
        format!("[{},0]", u128::MAX)
    );
    assert_eq!(canonical_text(&i128::MIN), i128::MIN.to_string());
}

struct Bytes(&'static [u8]);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[test]
fn members_are_sorted() {
    let map = HashMap::from([("\u{fb33}", 1), ("\u{1f600}", 2), ("a", 3), ("", 4)]);
    assert_eq!(
        canonical_text(&map),
        "{\"\":4,\"a\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}"
    );
    let map = HashMap::from([("\n", 1), ("\t", 2), ("\"", 3), ("!", 4)]);
    assert_eq!(canonical_text(&map), r#"{"\t":2,"\n":1,"!":4,"\"":3}"#);
}

/// A map that hands over its entries as they are, whatever they are.
struct Entries<K>(Vec<K>);

impl<K: Serialize> Serialize for Entries<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|key| (key, 0)))
    }
}

#[test]
fn map_keys_are_text() {
    #[derive(Serialize)]
    enum Mode {
        Fast,
    }
    #[derive(Serialize)]
    struct Id(u64);

    assert_eq!(
        canonical_text(&Entries(vec![10, 9, -1])),
        r#"{"-1":0,"10":0,"9":0}"#
    );
    assert_eq!(
        canonical_text(&Entries(vec![true, false])),
        r#"{"false":0,"true":0}"#
    );
    assert_eq!(canonical_text(&Entries(vec!['b', 'a'])), r#"{"a":0,"b":0}"#);
    assert_eq!(canonical_text(&Entries(vec![Mode::Fast])), r#"{"Fast":0}"#);
    assert_eq!(canonical_text(&Entries(vec![Some(Id(7))])), r#"{"7":0}"#);
    assert_eq!(
        canonical_text(&Entries(vec![1.0, 0.5, 1e300])),
        r#"{"0.5":0,"1.0":0,"1e+300":0}"#
    );
    assert_eq!(canonical_text(&Entries(vec![0.1_f32])), r#"{"0.1":0}"#);
}

#[test]
fn errors_say_what_is_wrong() {
    let refused = "a map key must be a string, number, bool or unit variant, not ";
    assert_eq!(canonical_error(&[f64::NAN]), "NaN has no JSON form");
    assert_eq!(
        canonical_error(&f32::NEG_INFINITY),
        "infinity has no JSON form"
    );
    assert_eq!(
        canonical_error(&Entries(vec![f64::NAN])),
        "NaN has no JSON form"
    );
    assert_eq!(
        canonical_error(&Entries(vec!["a\n", "b", "a\n"])),
        "the map has the key `a\n` twice"
    );
    assert_eq!(
        canonical_error(&Entries(vec![vec![1]])),
        format!("{refused}a sequence")
    );
    assert_eq!(
        canonical_error(&Entries(vec![(1, 2)])),
        format!("{refused}a tuple")
    );
    assert_eq!(
        canonical_error(&Entries(vec![None::<u8>])),
        format!("{refused}a none")
    );
    assert_eq!(
        canonical_error(&Entries(vec![Entries(vec![1])])),
        format!("{refused}a map")
    );
    // Two keys that differ in the map, but not as text.
    assert_eq!(
        canonical_error(&Two("1", 1)),
        "the map has the key `1` twice"
    );
}

struct Two<A, B>(A, B);

impl<A: Serialize, B: Serialize> Serialize for Two<A, B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(&self.0, &())?;
        map.serialize_entry(&self.1, &())?;
        map.end()
    }
}

#[test]
fn a_refused_key_that_is_passed_over_does_no_harm() {
    struct Careless;

    impl Serialize for Careless {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            map.serialize_key(&[1]).ok();
            map.serialize_key(&[2]).ok();
            map.end()
        }
    }

    canonical::to_vec(&Careless).unwrap_err();
}

/// As `serde_json::Number` serializes under `arbitrary_precision`.
#[derive(Serialize)]
#[serde(rename = "$serde_json::private::Number")]
struct NumberText {
    #[serde(rename = "$serde_json::private::Number")]
    text: &'static str,
}

#[test]
fn numbers_as_text_are_numbers() {
    for (text, expected) in [
        ("1", "1"),
        ("-0", "0"),
        ("1.0", "1"),
        ("1e2", "100"),
        ("1E-7", "1e-7"),
        ("0.1000", "0.1"),
        (
            "123456789012345678901234567890123456789012345",
            "123456789012345678901234567890123456789012345",
        ),
    ] {
        assert_eq!(canonical_text(&NumberText { text }), expected);
    }
    assert_eq!(
        canonical_error(&NumberText { text: "1e400" }),
        "infinity has no JSON form"
    );
    assert_eq!(
        canonical_error(&NumberText { text: "01" }),
        "the raw text is not JSON: expected the end at byte 1"
    );
}

#[test]
fn raw_values_are_rewritten() {
    let raw = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
    let text = r#" { "b" : [ 1.0 , 100000000000000000001, "\u00e9\/" , { } , [ ] ], "a" : null } "#;
    assert_eq!(
        canonical_text(&raw(text)),
        r#"{"a":null,"b":[1,100000000000000000001,"é/",{},[]]}"#
    );
    assert_eq!(
        canonical_error(&raw(r#"{"a":1,"\u0061":2}"#)),
        "the map has the key `a` twice"
    );
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut out = Vec::new();
    canonical::write_json(&mut out, &deep).unwrap();
    assert_eq!(out, deep.as_bytes());
    for text in [
        "",
        " ",
        "[",
        "[1",
        "[1,]",
        "[,1]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1,}",
        "{1:2}",
        "[1}",
        "1 2",
        "tru",
        "nul",
        "+1",
        ".5",
        "1.",
        "1e",
        "-",
        "\"",
        "\"\\",
        "\"\\\"",
        "\"\\x\"",
        "\"\n\"",
        "\"\\ud800\"",
        "]",
    ] {
        let error = canonical::write_json(&mut Vec::new(), text).unwrap_err();
        assert!(matches!(error, CanonicalError::Raw(_)), "{text}: {error}");
    }
}

#[test]
fn a_key_is_strict_about_its_text() {
    let key = Key::of(b"{}");
    assert_eq!(format!("{key:?}"), key.to_string());
    assert_eq!(serde_json::to_string(&key).unwrap(), format!("\"{key}\""));
    for text in [
        "",
        "0",
        &"0".repeat(31),
        &"0".repeat(33),
        &"A".repeat(32),
        &"g".repeat(32),
        &"é".repeat(16),
    ] {
        let error = text.parse::<Key>().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("a key is 32 lower-case hex digits, not `{text}`")
        );
        let error = serde_json::from_str::<Key>(&format!("{text:?}")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("a key is 32 lower-case hex digits"),
            "{error}"
        );
    }
}

/// The call as generated code has it.
macro_rules! path_text {
    ($value:expr) => {
        (&PathValue($value)).path_text()
    };
}

#[test]
fn a_parameter_is_text_by_display_or_json() {
    /// Has both; `Display` is what people read.
    #[derive(Serialize)]
    struct Day(u32);

    impl fmt::Display for Day {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "day {}", self.0)
        }
    }

    struct Broken;

    impl fmt::Display for Broken {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }

    let owned = String::from("a\"b");
    let optional: Option<String> = Some(owned.clone());
    let texts = [
        path_text!(&owned),
        path_text!("a\"b"),
        path_text!(&PathBuf::from("a\"b")),
        path_text!(&optional),
    ];
    for text in texts {
        assert_eq!(text.into_result().unwrap(), "a\"b");
    }
    assert_eq!(path_text!(&Day(7)).into_result().unwrap(), "day 7");
    assert_eq!(path_text!(&1.0).into_result().unwrap(), "1");
    assert_eq!(
        path_text!(&[1.0, 1e300]).into_result().unwrap(),
        "[1,1e+300]"
    );
    assert_eq!(path_text!(&None::<u8>).into_result().unwrap(), "null");
    let map = BTreeMap::from([("a", 1)]);
    assert_eq!(path_text!(&map).into_result().unwrap(), r#"{"a":1}"#);
    let error = path_text!(&[f64::NAN]).into_result().unwrap_err();
    assert_eq!(error, CanonicalError::NaN);
    let error = path_text!(&Broken).into_result().unwrap_err();
    assert_eq!(error.to_string(), "its `Display` failed");
}

#[test]
fn templates_are_filled_in() {
    use Segment::{Extension, Literal, Name, Param};

    let key = Key::of(b"{}");
    let path = |template: &[Segment], text: &str| {
        render(template, "etl/clean/Clean", key, "json", |_| {
            PathText::display(text)
        })
        .unwrap()
    };
    let default = [Name, Literal("/"), Segment::Key, Literal("."), Extension];
    assert_eq!(path(&default, ""), format!("etl/clean/Clean/{key}.json"));
    assert_eq!(
        path(&[Literal("a/"), Param("x"), Literal(".csv")], "../b"),
        "a/%2E.%2Fb.csv"
    );
    assert_eq!(path(&[Param("x")], ""), "(empty)");
    assert_eq!(path(&[Param("x"), Literal("/a")], "_kart"), "%5Fkart/a");
    assert_eq!(path(&[Param("x"), Literal("/a")], "_KART"), "%5FKART/a");
    assert_eq!(
        path(&[Literal("_"), Param("x"), Literal("/a")], "kart"),
        "%5Fkart/a"
    );
    assert_eq!(
        path(&[Literal("/"), Param("x"), Literal("/a")], "_kart"),
        "/%5Fkart/a"
    );
    assert_eq!(path(&[Param("x")], "_kart"), "%5Fkart");
    assert_eq!(path(&[Param("x"), Literal("s/a")], "_kart"), "_karts/a");
    assert_eq!(path(&[Literal("a/"), Param("x")], "_kart"), "a/_kart");

    let error = render(&[Param("x")], "T", key, "json", |name| {
        assert_eq!(name, "x");
        PathText::json(&f64::INFINITY)
    });
    assert_eq!(error, Err(CanonicalError::Infinity));
    assert_eq!(
        render(&[Param("x")], "T", key, "json", |_| PathText::default()).unwrap(),
        "(empty)"
    );
}
