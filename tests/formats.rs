//! What the formats behind features store, read by other programs.
//!
//! `KART_TEST_PYTHON` names a Python with pyarrow, duckdb, zstandard and msgpack (`.ci/run` makes one); without
//! it this is left out.
#![cfg(all(feature = "parquet", feature = "zstd"))]

use std::process::Command;

use bytes::Bytes;
use kart::format::{Json, MessagePack, Raw, Zstd};
use kart::{File, RunError, Runner, TaskExt as _, Workspace, task};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    score: Option<f64>,
    count: i64,
}

fn rows() -> Vec<Row> {
    let row = |n: i64| Row {
        name: format!("röw {n}"),
        score: (n % 3 > 0).then_some(0.5),
        count: n,
    };
    (0..1000).map(row).collect()
}

#[task(path = "rows.parquet")]
fn parquet() -> kart::Result<Vec<Row>> {
    Ok(rows())
}

#[task(path = "rows.arrow")]
fn arrow() -> kart::Result<Vec<Row>> {
    Ok(rows())
}

#[task(path = "rows.csv")]
fn csv() -> kart::Result<Vec<Row>> {
    Ok(rows())
}

#[task(path = "rows.json.zst", format = Zstd<Json>)]
fn squeezed() -> kart::Result<Vec<Row>> {
    Ok(rows())
}

#[task(path = "rows.msgpack.zst", format = Zstd<MessagePack>)]
fn packed() -> kart::Result<Vec<Row>> {
    Ok(rows())
}

/// A file that another library has written, as it is.
#[task(path = "raw.parquet")]
async fn copied(
    #[requires(Parquet)] rows: kart::Artifact<Vec<Row>>,
    #[context] cx: &kart::Context,
) -> anyhow::Result<File> {
    let file = cx.new_file()?;
    std::fs::copy(rows.file().await?.path(), file.path())?;
    Ok(file)
}

#[task]
fn all(
    #[requires(Parquet)] parquet: Vec<Row>,
    #[requires(Arrow)] arrow: Vec<Row>,
    #[requires(Csv)] csv: Vec<Row>,
    #[requires(Squeezed)] squeezed: Vec<Row>,
    #[requires(Packed)] packed: Vec<Row>,
    #[requires(Copied)] copied: &File,
) -> std::io::Result<u64> {
    for read in [parquet, arrow, csv, squeezed, packed] {
        assert_eq!(read, rows());
    }
    copied.size()
}

#[tokio::test]
async fn every_format_is_read_as_it_was_written_and_by_other_programs() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let runner = Runner::new(&workspace).memory_budget(0);
    runner.run(All).await.unwrap();

    let Some(python) = std::env::var_os("KART_TEST_PYTHON") else {
        eprintln!("left out: other programs (KART_TEST_PYTHON is not set)");
        return;
    };
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/formats/read.py");
    let read = Command::new(python)
        .arg(reader)
        .arg(directory.path())
        .status()
        .unwrap();
    assert!(read.success());
}

/// What is damaged is an error that names the object, and nothing is published from it.
#[tokio::test]
async fn a_damaged_object_is_an_error_that_names_it() {
    let squeeze = |bytes: Vec<u8>| <Zstd<Raw> as kart::Format<Vec<u8>>>::encode(&bytes).unwrap();
    let deep = Bytes::from("[".repeat(1_000_000));
    let cut = |name: &str, bytes: Bytes| (name.to_owned(), bytes.slice(..bytes.len() / 2));
    let good = Workspace::open("memory://").unwrap();
    Runner::new(&good).run(All).await.unwrap();
    let mut damaged = vec![
        ("rows.json.zst".to_owned(), squeeze(vec![b' '; 64 << 20])),
        ("rows.json.zst".to_owned(), squeeze(deep.to_vec())),
        (
            "rows.csv".to_owned(),
            [b"name,score,count\n", &deep[..]].concat().into(),
        ),
        ("rows.parquet".to_owned(), deep.clone()),
        ("rows.arrow".to_owned(), deep),
    ];
    for path in [
        "rows.parquet",
        "rows.arrow",
        "rows.json.zst",
        "rows.msgpack.zst",
    ] {
        damaged.push(cut(path, good.read(path).await.unwrap().unwrap()));
    }
    for (path, bytes) in damaged {
        let workspace = Workspace::open("memory://").unwrap();
        workspace.replace(&path, bytes).await.unwrap();
        let error = Runner::new(&workspace).run(All).await.unwrap_err();
        assert!(matches!(error, RunError::Failed(_)), "{path}: {error:?}");
        let story = format!("{error:#}");
        assert!(story.contains(&format!("memory://{path}")), "{story}");
        assert!(!All.is_complete(&workspace).await.unwrap());
    }
}
