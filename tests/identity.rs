//! What a task's key is made of, and where its output goes.

mod common;

use std::collections::{BTreeMap, HashMap};

use kart::key::Key;
use kart::{Dep, Error, Runner, TaskExt, task};
use serde::{Deserialize, Serialize};
use serde_json::json;

use common::memory;

#[task(path = "{output_name}.txt")]
async fn run_task_with_wait(wait_ms: u64, output_name: &str) -> anyhow::Result<String> {
    Ok(format!("{output_name} {wait_ms}"))
}

fn unit(output_name: &str) -> RunTaskWithWait {
    RunTaskWithWait {
        wait_ms: 100,
        output_name: output_name.to_owned(),
    }
}

/// The key of the canonical text with these parts.
fn key_of(task: &str, version: u32, params: &str, requires: &str) -> Key {
    let text = format!(
        r#"{{"params":{params},"requires":{requires},"task":"{task}","version":{version}}}"#
    );
    Key::of(text.as_bytes())
}

#[test]
fn the_key_is_the_hash_of_the_canonical_text() {
    assert_eq!(
        unit("0").key().to_string(),
        "6352a0dcc875ed2b200bba0db539e7f8"
    );
    let params = r#"{"output_name":"0","wait_ms":100}"#;
    assert_eq!(unit("0").key(), key_of("RunTaskWithWait", 1, params, "{}"));
    assert_eq!(unit("0").path(), "0.txt");
}

#[test]
fn a_key_is_found_the_same_way_every_time() {
    assert_eq!(unit("a").key(), unit("a").key());
    assert_ne!(unit("a").key(), unit("b").key());
}

mod forwards {
    #[kart::task(name = "Ordered")]
    pub(crate) async fn ordered(a: u8, b: u8) -> kart::Result<u8> {
        Ok(a + b)
    }
}

mod backwards {
    #[kart::task(name = "OrderedToo")]
    pub(crate) async fn ordered(b: u8, a: u8) -> kart::Result<u8> {
        Ok(a + b)
    }
}

#[test]
fn the_order_of_declaration_does_not_count() {
    let params = r#"{"a":1,"b":2}"#;
    assert_eq!(
        forwards::Ordered { a: 1, b: 2 }.key(),
        key_of("Ordered", 1, params, "{}")
    );
    assert_eq!(
        backwards::Ordered { a: 1, b: 2 }.key(),
        key_of("OrderedToo", 1, params, "{}")
    );
}

mod etl {
    pub(crate) mod clean {
        #[kart::task]
        pub(crate) async fn table(n: u8) -> kart::Result<u8> {
            Ok(n)
        }
    }
    #[kart::task]
    pub(crate) async fn table(n: u8) -> kart::Result<u8> {
        Ok(n)
    }
}

#[test]
fn tasks_of_one_name_in_two_modules_are_two_tasks() {
    let (deep, shallow) = (etl::clean::Table { n: 1 }, etl::Table { n: 1 });
    assert_eq!(deep.key(), key_of("etl/clean/Table", 1, r#"{"n":1}"#, "{}"));
    assert_ne!(deep.key(), shallow.key());
    assert_eq!(deep.path(), format!("etl/clean/Table/{}.json", deep.key()));
}

#[task]
async fn verbose(n: u8, #[param(insignificant)] verbose: bool) -> kart::Result<u8> {
    Ok(n + u8::from(verbose))
}

#[tokio::test]
async fn an_insignificant_parameter_does_not_count() {
    #[task]
    async fn both(
        #[requires([true, false].map(|verbose| Verbose { n: 1, verbose }))] both: Vec<u8>,
    ) -> kart::Result<Vec<u8>> {
        Ok(both)
    }
    let (loud, quiet) = (
        Verbose {
            n: 1,
            verbose: true,
        },
        Verbose {
            n: 1,
            verbose: false,
        },
    );
    assert_eq!(loud.key(), quiet.key());
    assert_eq!(loud.key(), key_of("Verbose", 1, r#"{"n":1}"#, "{}"));
    // Side by side in one plan they are one task, which runs once.
    let report = Runner::new(&memory()).run(Both).await.unwrap();
    assert_eq!(report.counts().ran, 2);
    let both = report.output(&Both).await.unwrap();
    assert_eq!(both[0], both[1]);
}

mod old {
    #[kart::task(name = "Source")]
    pub(crate) async fn source() -> kart::Result<u8> {
        Ok(1)
    }
    #[kart::task(name = "Middle")]
    pub(crate) async fn middle(#[requires(Source)] source: u8) -> kart::Result<u8> {
        Ok(source)
    }
    #[kart::task(name = "Last")]
    pub(crate) async fn last(#[requires(Middle)] middle: u8) -> kart::Result<u8> {
        Ok(middle)
    }
}

mod new {
    #[kart::task(name = "Source", version = 2)]
    pub(crate) async fn source() -> kart::Result<u8> {
        Ok(1)
    }
    #[kart::task(name = "Middle")]
    pub(crate) async fn middle(#[requires(Source)] source: u8) -> kart::Result<u8> {
        Ok(source)
    }
    #[kart::task(name = "Last")]
    pub(crate) async fn last(#[requires(Middle)] middle: u8) -> kart::Result<u8> {
        Ok(middle)
    }
}

#[test]
fn a_new_version_reaches_every_key_downstream() {
    let chain = |version| {
        let source = key_of("Source", version, "{}", "{}");
        let middle = key_of("Middle", 1, "{}", &format!(r#"{{"source":"{source}"}}"#));
        let last = key_of("Last", 1, "{}", &format!(r#"{{"middle":"{middle}"}}"#));
        [source, middle, last]
    };
    assert_eq!(
        [old::Source.key(), old::Middle.key(), old::Last.key()],
        chain(1)
    );
    assert_eq!(
        [new::Source.key(), new::Middle.key(), new::Last.key()],
        chain(2)
    );
}

type Nested = Vec<(u8, Option<Vec<u8>>)>;

#[task]
async fn leaf(n: u8) -> kart::Result<u8> {
    Ok(n)
}

#[expect(clippy::too_many_arguments, reason = "all shapes at once")]
#[task]
async fn shapes(
    #[requires(Leaf { n: 0 })] one: u8,
    #[requires((0..2).map(|n| Leaf { n }))] list: Vec<u8>,
    #[requires([("b", 1), ("～", 2), ("a", 0), ("𝄞", 1), ("é", 2)].map(|(name, n)| (name.to_owned(), Leaf { n })))]
    map: BTreeMap<String, u8>,
    #[requires([(10, 1), (9, 0)].map(|(at, n)| (at, Leaf { n })))] numbers: BTreeMap<u32, u8>,
    #[requires(None::<Leaf>)] none: Option<u8>,
    #[requires(Some(Leaf { n: 1 }))] some: Option<u8>,
    #[requires((Leaf { n: 2 }, Leaf { n: 0 }))] tuple: (u8, u8),
    #[requires((0..2).map(|n| (Leaf { n }, (n > 0).then(|| vec![Leaf { n }]))))] nested: Nested,
) -> kart::Result<u8> {
    let _ = (list, map, numbers, none, some, tuple, nested);
    Ok(one)
}

#[test]
fn requirements_have_the_shape_of_their_values() {
    let leaf = |n: u8| {
        format!(
            r#""{}""#,
            key_of("Leaf", 1, &format!(r#"{{"n":{n}}}"#), "{}")
        )
    };
    let (a, b, c) = (leaf(0), leaf(1), leaf(2));
    // Members go by name, maps by the UTF-16 of theirs, and a key that is no string is its JSON text.
    let requires = format!(
        r#"{{"list":[{a},{b}],"map":{{"a":{a},"b":{b},"é":{c},"𝄞":{b},"～":{c}}},"nested":[[{a},null],[{b},[{b}]]],"none":null,"numbers":{{"10":{b},"9":{a}}},"one":{a},"some":{b},"tuple":[{c},{a}]}}"#
    );
    assert_eq!(Shapes.key(), key_of("Shapes", 1, "{}", &requires));
}

#[task]
async fn measures(factor: f64, table: HashMap<String, f32>, big: u128) -> kart::Result<f64> {
    let _ = (table, big);
    Ok(factor)
}

#[test]
fn maps_are_sorted_and_numbers_are_canonical() {
    let measures = |names: &[&str]| Measures {
        factor: 1.0,
        table: names.iter().map(|name| ((*name).to_owned(), 0.1)).collect(),
        big: u128::MAX,
    };
    let params = format!(
        r#"{{"big":{},"factor":1,"table":{{"a":0.1,"b":0.1,"c":0.1}}}}"#,
        u128::MAX
    );
    for names in [["a", "b", "c"], ["c", "b", "a"]] {
        assert_eq!(measures(&names).key(), key_of("Measures", 1, &params, "{}"));
    }
}

#[tokio::test]
async fn a_number_that_is_none_has_no_key_and_its_parameter_is_named() {
    #[task]
    async fn requires_nan(
        #[requires(Measures { factor: f64::INFINITY, table: HashMap::new(), big: 1 })] x: f64,
    ) -> kart::Result<f64> {
        Ok(x)
    }
    let task = Measures {
        factor: f64::NAN,
        table: HashMap::new(),
        big: 1,
    };
    let error = task.try_key().unwrap_err();
    assert!(
        matches!(&error, Error::Key { task, param, .. } if task == "Measures" && param == "factor"),
        "{error:?}"
    );
    assert!(error.to_string().contains("`factor`"), "{error}");
    let error = Runner::new(&memory()).run(RequiresNan).await.unwrap_err();
    assert!(error.to_string().contains("`factor`"), "{error}");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Mode {
    Fast,
    Careful { passes: u8 },
}

#[task]
async fn defaults(
    name: &str,
    #[param(default = 100)] wait_ms: u64,
    #[param(default = Mode::Careful { passes: 2 })] mode: Mode,
) -> kart::Result<usize> {
    let _ = (wait_ms, mode);
    Ok(name.len())
}

#[test]
fn a_default_is_a_value_like_any_other() {
    let task = Defaults::new("x".to_owned());
    let params = r#"{"mode":{"Careful":{"passes":2}},"name":"x","wait_ms":100}"#;
    assert_eq!(task.key(), key_of("Defaults", 1, params, "{}"));
    let other = Defaults {
        mode: Mode::Fast,
        ..Defaults::new("x".to_owned())
    };
    assert_ne!(task.key(), other.key());
}

#[test]
fn reading_a_task_fills_defaults_and_refuses_unknown_fields() {
    let task: Defaults = serde_json::from_value(json!({"name": "x"})).unwrap();
    assert_eq!(
        (task.wait_ms, task.mode),
        (100, Mode::Careful { passes: 2 })
    );
    let error = serde_json::from_value::<Defaults>(json!({"name": "x", "wait": 1})).unwrap_err();
    assert!(
        error.to_string().contains("unknown field `wait`"),
        "{error}"
    );
    let error = serde_json::from_value::<Defaults>(json!({})).unwrap_err();
    assert!(
        error.to_string().contains("missing field `name`"),
        "{error}"
    );
}

#[task(path = "by/{day}/{name}.json")]
async fn dated(day: u32, name: &str) -> kart::Result<String> {
    Ok(format!("{day} {name}"))
}

#[test]
fn no_parameter_climbs_out_of_its_segment() {
    let path = |name: &str| {
        Dated {
            day: 1,
            name: name.to_owned(),
        }
        .path()
    };
    assert_eq!(path("plain"), "by/1/plain.json");
    for name in ["../../etc", "a/b", "..", "a%2fb", "ü n", "nul\0"] {
        let path = path(name);
        assert_eq!(path.split('/').count(), 3, "{path}");
        assert!(path.is_ascii(), "{path}");
        assert!(!path.split('/').any(|segment| segment == ".."), "{path}");
    }
    assert_ne!(path("a/b"), path("a%2Fb"), "two values, two paths");
}

#[task]
async fn chooses(#[requires] one: u8, #[requires] many: Vec<u8>) -> kart::Result<u8> {
    Ok(one + many.iter().sum::<u8>())
}

#[test]
fn a_chosen_task_counts_as_one_that_an_expression_names() {
    let task = Chooses {
        one: Leaf { n: 0 }.into(),
        many: kart::dep((0..2).map(|n| Leaf { n })),
    };
    let (a, b) = (Leaf { n: 0 }.key(), Leaf { n: 1 }.key());
    let requires = format!(r#"{{"many":["{a}","{b}"],"one":"{a}"}}"#);
    assert_eq!(task.key(), key_of("Chooses", 1, "{}", &requires));
    let same: Dep<Vec<u8>> = kart::dep(vec![Dep::from(Leaf { n: 0 }), Dep::from(Leaf { n: 1 })]);
    assert_eq!(
        Chooses {
            many: same,
            ..task.clone()
        }
        .key(),
        task.key()
    );
}
