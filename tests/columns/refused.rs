//! Rows whose type does not show their columns.

use std::collections::BTreeMap;

use kart::format::{Format, Parquet};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Place;

fn refused<T: Serialize + DeserializeOwned + 'static>() -> String {
    let error = <Parquet as Format<Vec<T>>>::encode(&Vec::new()).unwrap_err();
    let error = error.to_string();
    for part in ["\nhint: ", "`ParquetBatches`", "`ArrowIpcBatches`"] {
        assert!(error.contains(part), "{error}");
    }
    error.lines().next().unwrap().to_owned()
}

macro_rules! row {
    ($name:ident: $type:ty) => {
        #[derive(Serialize, Deserialize)]
        struct $name {
            id: u8,
            inner: Inside<$type>,
        }
    };
}

#[derive(Serialize, Deserialize)]
struct Inside<T> {
    value: Vec<T>,
}

#[derive(Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Mixed {
    Number(i64),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    A { a: u8 },
    B { b: u8 },
}

#[derive(Serialize, Deserialize)]
struct Tree {
    children: Vec<Tree>,
}

#[derive(Serialize, Deserialize)]
struct Flat {
    id: u8,
    #[serde(flatten)]
    place: Place,
}

#[derive(Serialize, Deserialize)]
struct FlatOptions {
    id: u8,
    #[serde(flatten)]
    more: Options,
}

#[derive(Serialize, Deserialize)]
struct Options {
    more: Option<u8>,
}

row!(WithShape: Shape);
row!(WithMixed: Mixed);
row!(WithTagged: Tagged);
row!(WithValue: serde_json::Value);
row!(WithTree: Tree);
row!(WithFlat: Flat);
row!(WithTwice: Option<Option<u8>>);
row!(WithWide: u128);

#[test]
fn what_has_no_one_type_is_refused_by_the_name_of_its_field() {
    let inner = |refused: String| {
        let start = "the type of the field `inner.value[]` shows no column: ";
        refused.strip_prefix(start).unwrap_or(&refused).to_owned()
    };
    assert_eq!(
        inner(refused::<WithShape>()),
        "its variant `Circle` has data"
    );
    assert_eq!(
        inner(refused::<WithMixed>()),
        "its values have different types"
    );
    assert_eq!(
        inner(refused::<WithTagged>()),
        "invalid type: string \"text\", expected internally tagged enum Tagged"
    );
    assert_eq!(
        inner(refused::<WithValue>()),
        "its values have different types"
    );
    assert_eq!(
        inner(refused::<WithFlat>()),
        "its field `id` is read from a map, as by `#[serde(flatten)]`"
    );
    assert_eq!(
        inner(refused::<WithTwice>()),
        "`None` and `Some(None)` would be stored alike"
    );
    assert_eq!(
        inner(refused::<WithWide>()),
        "there are no columns of integers with 128 bits"
    );
    let tree = refused::<WithTree>();
    assert!(
        tree.starts_with("the type of the field `inner.value[].children[]"),
        "{tree}"
    );
    assert!(tree.ends_with("it contains itself"), "{tree}");

    for refused in [refused::<Flat>(), refused::<FlatOptions>()] {
        assert_eq!(
            refused,
            "the type of the rows shows no columns: its field `id` is read from a map, as by `#[serde(flatten)]`"
        );
    }
    for refused in [refused::<u64>(), refused::<BTreeMap<String, u64>>()] {
        assert_eq!(
            refused,
            "the type of the rows shows no columns: it is no struct with named fields"
        );
    }
}
