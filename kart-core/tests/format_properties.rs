//! What holds for every format, whatever the value.

use std::collections::BTreeMap;

use bytes::Bytes;
use kart_core::Format;
use kart_core::format::{Csv, Json, JsonLines, MessagePack, Raw, Text};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Named { name: String },
    Pair(i64, bool),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Document {
    count: u64,
    ratio: f64,
    note: Option<String>,
    kinds: Vec<Kind>,
    members: BTreeMap<String, i32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    count: i64,
    ratio: f64,
    flag: bool,
}

fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("JSON has no NaN and no infinity", |float| float.is_finite())
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Plain),
        any::<String>().prop_map(|name| Kind::Named { name }),
        any::<(i64, bool)>().prop_map(|(number, flag)| Kind::Pair(number, flag)),
    ]
}

fn document() -> impl Strategy<Value = Document> {
    let members = btree_map(any::<String>(), any::<i32>(), 0..4);
    (
        any::<u64>(),
        finite(),
        any::<Option<String>>(),
        vec(kind(), 0..4),
        members,
    )
        .prop_map(|(count, ratio, note, kinds, members)| Document {
            count,
            ratio,
            note,
            kinds,
            members,
        })
}

fn row() -> impl Strategy<Value = Row> {
    (any::<String>(), any::<i64>(), finite(), any::<bool>()).prop_map(
        |(name, count, ratio, flag)| Row {
            name,
            count,
            ratio,
            flag,
        },
    )
}

fn comes_back<F: Format<T>, T: PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = F::encode(value).unwrap();
    assert_eq!(&F::decode(bytes).unwrap(), value);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn documents_come_back(document in document()) {
        comes_back::<Json, _>(&document);
        comes_back::<MessagePack, _>(&document);
    }

    #[test]
    fn lines_and_rows_come_back(documents in vec(document(), 0..6), rows in vec(row(), 0..6)) {
        comes_back::<JsonLines, _>(&documents);
        comes_back::<Csv, _>(&rows);
    }

    #[test]
    fn text_and_bytes_come_back_as_they_are(text in any::<String>(), bytes in vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(&Text::encode(&text).unwrap(), text.as_bytes());
        comes_back::<Text, _>(&text);
        prop_assert_eq!(&Raw::encode(&bytes).unwrap(), &bytes);
        comes_back::<Raw, Vec<u8>>(&bytes);
        comes_back::<Raw, Bytes>(&Bytes::from(bytes));
    }

    /// A stored object that was cut short is an error, never another value.
    #[test]
    fn a_document_that_was_cut_short_is_refused(document in document(), cut in any::<prop::sample::Index>()) {
        let json = <Json as Format<Document>>::encode(&document).unwrap();
        let shorter = json.slice(..cut.index(json.len()));
        prop_assert!(<Json as Format<Document>>::decode(shorter).is_err());
        let packed = <MessagePack as Format<Document>>::encode(&document).unwrap();
        let shorter = packed.slice(..cut.index(packed.len()));
        prop_assert!(<MessagePack as Format<Document>>::decode(shorter).is_err());
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = <Json as Format<Document>>::decode(bytes.clone());
        let _ = <JsonLines as Format<Vec<Document>>>::decode(bytes.clone());
        let _ = <MessagePack as Format<Document>>::decode(bytes.clone());
        let _ = <Csv as Format<Vec<Row>>>::decode(bytes.clone());
        let _ = <Text as Format<String>>::decode(bytes);
    }
}
