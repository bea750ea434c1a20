//! Code of the user that panics outside of bodies: an error that names the task and the place.

mod common;

use std::fmt;

use common::memory;
use kart::{AnyTask, Context, Error, RunError, Runner, TaskExt as _, task};
use serde::{Deserialize, Serialize, Serializer};

#[task]
async fn leaf(n: u64) -> kart::Result<u64> {
    Ok(n)
}

fn picked(n: u64, #[expect(unused, reason = "it is not shown")] token: &str) -> Leaf {
    assert!(n < 10, "no leaf {n} for hunter2");
    Leaf { n }
}

#[task]
async fn above(
    n: u64,
    #[param(secret)] token: &str,
    #[requires(picked(n, token))] leaf: u64,
) -> kart::Result<u64> {
    Ok(leaf + token.len() as u64)
}

fn above_of(n: u64) -> Above {
    Above {
        n,
        token: "hunter2".to_owned(),
    }
}

fn assert_names_above(error: &Error) {
    assert!(matches!(error, Error::Requirement { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("Above { n: 10, token: *** }"), "{text}");
    assert!(text.contains("panicked: no leaf 10 for ***"), "{text}");
    assert!(text.contains("tests/panics.rs:"), "{text}");
}

#[tokio::test]
async fn a_requirement_that_panics_is_an_error_that_names_the_task_and_the_place() {
    assert_names_above(&above_of(10).try_key().unwrap_err());
    match Runner::new(&memory()).run(above_of(10)).await.unwrap_err() {
        RunError::Plan(error) => assert_names_above(&error),
        error => panic!("{error:?}"),
    }
}

/// Bears the error of what it asks for.
#[task]
async fn asks(#[context] cx: &Context) -> kart::Result<u64> {
    assert_names_above(&cx.get(above_of(10)).await.unwrap_err());
    Ok(*cx.get(above_of(9)).await?)
}

#[tokio::test]
async fn a_body_gets_the_panic_of_a_requirement_as_an_error_and_goes_on() {
    let report = Runner::new(&memory()).run(Asks).await.unwrap();
    assert_eq!(report.output(&Asks).await.unwrap(), 16);
}

/// Panics where it is shown or written, as it says.
#[derive(Clone, Deserialize)]
struct Bomb(String);

impl Bomb {
    fn at(&self, place: &str) {
        assert!(self.0 != place, "a bomb at {place}");
    }
}

impl fmt::Debug for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at("debug");
        f.write_str(&self.0)
    }
}

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at("display");
        f.write_str(&self.0)
    }
}

impl Serialize for Bomb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.at("serialize");
        serializer.serialize_str(&self.0)
    }
}

#[task(path = "{bomb}.json")]
async fn shown(bomb: Bomb) -> anyhow::Result<u64> {
    anyhow::bail!("{} is no number", bomb.0)
}

fn bomb(place: &str) -> Shown {
    Shown {
        bomb: Bomb(place.to_owned()),
    }
}

#[tokio::test]
async fn a_parameter_whose_display_or_serialize_panics_has_no_key() {
    for (place, param) in [("display", "path"), ("serialize", "bomb")] {
        for error in [
            bomb(place).try_key().unwrap_err(),
            match Runner::new(&memory()).run(bomb(place)).await.unwrap_err() {
                RunError::Plan(error) => error,
                error => panic!("{error:?}"),
            },
        ] {
            let text = error.to_string();
            assert!(text.contains("task Shown has no key"), "{text}");
            assert!(
                text.contains(&format!("parameter `{param}`: panicked: a bomb at {place}")),
                "{text}"
            );
        }
    }
    let error = AnyTask::from(bomb("serialize")).to_json().unwrap_err();
    assert!(error.to_string().contains("panicked: a bomb"), "{error}");
}

#[task]
async fn gets_bombs(#[context] cx: &Context) -> kart::Result<String> {
    let mut errors = String::new();
    for place in ["display", "serialize", "debug"] {
        errors += &kart::chain(&cx.get(bomb(place)).await.unwrap_err());
    }
    Ok(errors)
}

#[tokio::test]
async fn a_parameter_whose_debug_panics_is_named_by_its_task() {
    let error = Runner::new(&memory()).run(bomb("debug")).await.unwrap_err();
    let text = format!("{error:#} {error:?}");
    assert!(
        text.contains("Shown { a parameter's `Debug` panicked: a bomb at debug }"),
        "{text}"
    );
    assert!(text.contains("debug is no number"), "{text}");
    let failed = Runner::new(&memory()).run(GetsBombs).await.unwrap_err();
    let report = failed.report().unwrap();
    let errors = report.output(&GetsBombs).await.unwrap();
    for place in ["display", "serialize", "debug"] {
        assert!(
            errors.contains(&format!("panicked: a bomb at {place}")),
            "{errors}"
        );
    }
}
