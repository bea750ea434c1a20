//! Whoever gets a value gets what later runs get: what decoding the stored bytes gives.
#![allow(
    clippy::option_option,
    reason = "`Some(None)` is what JSON stores as `None`"
)]

use kart::{Artifact, Context, Runner, TaskExt, task};
use serde::{Deserialize, Serialize};

use crate::common::memory;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Reading {
    name: Option<String>,
    #[serde(skip)]
    scratch: u32,
}

fn empty() -> Reading {
    Reading {
        // CSV has one text for both.
        name: Some(String::new()),
        scratch: 7,
    }
}

const STORED: Reading = Reading {
    name: None,
    scratch: 0,
};

#[task(format = kart::format::Csv)]
async fn readings() -> kart::Result<Vec<Reading>> {
    Ok(vec![empty()])
}

#[task(format = kart::format::Csv)]
async fn other_readings() -> kart::Result<Vec<Reading>> {
    Ok(vec![empty()])
}

#[task]
async fn owns(#[requires(Readings)] readings: Vec<Reading>) -> kart::Result<bool> {
    Ok(readings == [STORED])
}

#[task]
async fn shares(#[requires(Readings)] readings: &[Reading]) -> kart::Result<bool> {
    Ok(readings == [STORED])
}

#[task]
async fn shares_too(#[requires(Readings)] readings: &[Reading]) -> kart::Result<bool> {
    Ok(readings == [STORED])
}

#[task]
async fn asks(#[context] cx: &Context) -> kart::Result<bool> {
    Ok(*cx.get(OtherReadings).await? == [STORED])
}

#[tokio::test]
async fn consumers_get_the_same_in_the_run_that_makes_a_value_as_later() {
    let workspace = memory();
    let runner = Runner::new(&workspace).workers(1);
    // The second time around all that they require is in the store.
    for _ in 0..2 {
        runner.run(Owns).await.unwrap();
        runner.run(Shares).await.unwrap();
        runner.run(Asks).await.unwrap();
        let made = [
            Owns.load(&workspace).await.unwrap(),
            Shares.load(&workspace).await.unwrap(),
            Asks.load(&workspace).await.unwrap(),
        ];
        assert_eq!(made, [true; 3]);
        for removed in [
            Owns.remove(&workspace).await,
            Shares.remove(&workspace).await,
            Asks.remove(&workspace).await,
        ] {
            assert!(removed.unwrap());
        }
    }
}

#[task]
async fn all(
    #[requires(Owns)] owns: bool,
    #[requires((Shares, SharesToo))] both: (bool, bool),
    #[requires(Asks)] asks: bool,
) -> kart::Result<[bool; 4]> {
    Ok([owns, both.0, both.1, asks])
}

#[tokio::test]
async fn those_that_share_a_value_and_those_that_own_it_get_the_same_in_one_run() {
    let workspace = memory();
    let made = kart::build(All, &workspace).await.unwrap();
    assert_eq!(*made, [true; 4]);
}

#[tokio::test]
async fn build_gives_what_the_store_gives() {
    let workspace = memory();
    let made = kart::build(Readings, &workspace).await.unwrap();
    assert_eq!(*made, [STORED]);
    let later = kart::build(Readings, &workspace).await.unwrap();
    assert_eq!(made, later);
}

/// JSON has one text for `None` and `Some(None)`.
#[task]
async fn twice() -> kart::Result<Vec<Option<Option<u32>>>> {
    Ok(vec![Some(None), Some(Some(1))])
}

#[task]
async fn holds(
    #[requires(Readings)] readings: Artifact<Vec<Reading>>,
    #[requires(Twice)] twice: Vec<Option<Option<u32>>>,
) -> anyhow::Result<bool> {
    Ok(*readings.load().await? == [STORED] && twice == [None, Some(Some(1))])
}

#[tokio::test]
async fn artifacts_and_the_report_give_what_the_store_gives() {
    let workspace = memory();
    let runner = Runner::new(&workspace);
    let report = runner.run(Holds).await.unwrap();
    assert!(report.output(&Holds).await.unwrap());
    assert_eq!(report.output(&Readings).await.unwrap(), [STORED]);
    let report = runner.rerun("Twice").run(Twice).await.unwrap();
    let made = report.output(&Twice).await.unwrap();
    assert_eq!(made, [None, Some(Some(1))]);
}
