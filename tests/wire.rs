//! Chosen tasks as JSON: `{"task": "…", "params": {…}}`, and arrays, objects and `null` of these.

use std::collections::BTreeMap;

use kart::{AnyTask, Artifact, TaskExt, task};
use serde_json::{Value, json};

#[task]
async fn leaf(n: u8) -> kart::Result<u8> {
    Ok(n)
}

#[task]
async fn word(text: &str, #[param(default = 1)] times: usize) -> kart::Result<String> {
    Ok(text.repeat(times))
}

#[task]
async fn unit() -> kart::Result<u8> {
    Ok(1)
}

#[task]
async fn wraps(#[requires] inner: u8) -> kart::Result<u8> {
    Ok(inner)
}

#[expect(clippy::too_many_arguments, reason = "all shapes at once")]
#[task]
async fn everything(
    name: &str,
    #[requires] one: u8,
    #[requires] text: &str,
    #[requires] list: Vec<u8>,
    #[requires] slice: &[String],
    #[requires] map: BTreeMap<u32, u8>,
    #[requires] some: Option<u8>,
    #[requires] none: Option<u8>,
    #[requires] handle: Artifact<u8>,
    #[requires] handles: Vec<Artifact<u8>>,
) -> kart::Result<usize> {
    let _ = (name, one, text, list, map, some, none, handle, handles);
    Ok(slice.len())
}

fn everything_chosen() -> Everything {
    Everything {
        name: "all".to_owned(),
        one: Wraps {
            inner: Leaf { n: 1 }.into(),
        }
        .into(),
        text: Word::new("a".to_owned()).into(),
        list: kart::dep((0..3).map(|n| Leaf { n })),
        slice: kart::dep([Word::new("b".to_owned())]),
        map: kart::dep([(10, Leaf { n: 1 }), (9, Leaf { n: 2 })]),
        some: kart::dep(Some(Unit)),
        none: kart::dep(None::<Leaf>),
        handle: Leaf { n: 4 }.into(),
        handles: kart::dep([Leaf { n: 5 }, Leaf { n: 6 }]),
    }
}

fn leaf_json(n: u8) -> Value {
    json!({"task": "Leaf", "params": {"n": n}})
}

#[test]
fn tasks_are_written_by_name_in_the_shape_of_their_values() {
    let word = |text: &str| json!({"task": "Word", "params": {"text": text, "times": 1}});
    let expected = json!({
        "name": "all",
        "one": {"task": "Wraps", "params": {"inner": leaf_json(1)}},
        "text": word("a"),
        "list": [leaf_json(0), leaf_json(1), leaf_json(2)],
        "slice": [word("b")],
        "map": {"10": leaf_json(1), "9": leaf_json(2)},
        "some": {"task": "Unit", "params": {}},
        "none": null,
        "handle": leaf_json(4),
        "handles": [leaf_json(5), leaf_json(6)],
    });
    assert_eq!(serde_json::to_value(everything_chosen()).unwrap(), expected);
}

#[test]
fn what_was_written_is_read_as_the_same_task() {
    let task = everything_chosen();
    let text = serde_json::to_string(&task).unwrap();
    let read: Everything = serde_json::from_str(&text).unwrap();
    assert_eq!(read.key(), task.key());
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}

#[test]
fn reading_fills_the_defaults_of_the_tasks_within() {
    let with = |inner: Value| serde_json::from_value::<Wraps>(json!({ "inner": inner }));
    let short = with(json!({"task": "Unit"})).unwrap();
    assert_eq!(short.key(), Wraps { inner: Unit.into() }.key());
}

/// What is said of a task whose one requirement, a `u8`, is written so.
fn refused(inner: &Value) -> String {
    serde_json::from_value::<Wraps>(json!({ "inner": inner }))
        .unwrap_err()
        .to_string()
}

#[test]
fn what_does_not_fit_is_refused_with_what_was_expected() {
    for (inner, parts) in [
        (
            json!({"task": "Word", "params": {"text": "a"}}),
            vec!["`Word`", "`u8`"],
        ),
        (
            json!({"task": "Nobody"}),
            vec!["`Nobody`", "linked into this program"],
        ),
        (
            json!({"task": "Leaf", "params": {"n": 1}, "parms": 1}),
            vec!["unknown member `parms`"],
        ),
        (
            json!({"task": "Leaf", "params": {"n": 1, "m": 1}}),
            vec!["`Leaf`", "unknown field `m`"],
        ),
        (
            json!({"task": "Leaf", "params": {"n": 300}}),
            vec!["`Leaf`", "parameter `n`", "300"],
        ),
        (json!({"task": "Leaf"}), vec!["`Leaf`", "missing field `n`"]),
        (json!({"params": {"n": 1}}), vec!["`task` is missing"]),
        (json!(7), vec!["\"task\"", "found a number"]),
        (json!(null), vec!["found null"]),
        (json!([leaf_json(1)]), vec!["found an array"]),
    ] {
        let error = refused(&inner);
        for part in parts {
            assert!(error.contains(part), "no {part} for {inner}: {error}");
        }
    }
}

#[test]
fn a_list_is_refused_for_the_one_that_does_not_fit() {
    #[task]
    async fn sums(#[requires] all: Vec<u8>) -> kart::Result<u8> {
        Ok(all.iter().sum())
    }
    let read = |all: Value| serde_json::from_value::<Sums>(json!({ "all": all }));
    assert!(read(json!([])).is_ok());
    let word = json!({"task": "Word", "params": {"text": "a"}});
    let error = read(json!([leaf_json(1), word])).unwrap_err().to_string();
    assert!(
        error.contains("`Word`") && error.contains("`u8`"),
        "{error}"
    );
    let error = read(json!("Leaf")).unwrap_err().to_string();
    assert!(error.contains("found a string"), "{error}");
}

#[test]
fn one_task_may_make_a_whole_collection() {
    #[task]
    async fn makes_list() -> kart::Result<Vec<u8>> {
        Ok(vec![1])
    }
    #[task]
    async fn takes_list(#[requires] all: &[u8]) -> kart::Result<usize> {
        Ok(all.len())
    }
    let task = TakesList {
        all: MakesList.into(),
    };
    let json = serde_json::to_value(&task).unwrap();
    assert_eq!(
        json,
        json!({"all": {"task": MakesList::spec().name, "params": {}}})
    );
    let read: TakesList = serde_json::from_value(json).unwrap();
    assert_eq!(read.key(), task.key());
}

#[test]
fn a_task_of_any_type_is_written_and_read_through_the_registry() {
    for task in [
        AnyTask::from(everything_chosen()),
        AnyTask::from(Wraps { inner: Unit.into() }),
        AnyTask::from(Unit),
    ] {
        let wire = task.to_json().unwrap();
        let read = AnyTask::from_json(wire.clone()).unwrap();
        assert_eq!(read.to_json().unwrap(), wire);
        assert_eq!(read.try_key().unwrap(), task.try_key().unwrap());
    }
    let nested =
        json!({"task": "Wraps", "params": {"inner": {"task": "Leaf", "params": {"n": "x"}}}});
    let error = AnyTask::from_json(nested).unwrap_err().to_string();
    for part in [
        "`Wraps`",
        "parameter `inner`",
        "`Leaf`",
        "parameter `n`",
        "\"x\"",
    ] {
        assert!(error.contains(part), "no {part}: {error}");
    }
    let error = AnyTask::named("Leaf", json!([1])).unwrap_err().to_string();
    assert!(
        error.contains("`Leaf`") && error.contains("found an array"),
        "{error}"
    );
}

#[test]
fn the_registry_knows_each_task_with_its_parameters() {
    let tasks = kart::registry::tasks();
    let leaf = tasks.iter().find(|spec| spec.name == "Leaf").unwrap();
    let params: Vec<_> = leaf
        .params
        .iter()
        .map(|param| (param.name, param.ty))
        .collect();
    assert_eq!(params, [("n", "u8")]);
    assert!(leaf.file.ends_with("wire.rs") && leaf.line > 0);
    assert!(tasks.is_sorted_by_key(|spec| spec.name));
    kart::registry::check().unwrap();
}
