//! Files of one type of rows, as one table.
//!
//! `KART_TEST_PYTHON` names a Python with pyarrow and duckdb, as in `formats.rs`; without it other programs read nothing.

use std::process::Command;

use kart::{Runner, Workspace, task};

use super::{Row, full_row, null_row};

#[task(path = "{kind}.parquet")]
fn rows(kind: &str) -> kart::Result<Vec<Row>> {
    Ok(of_kind(kind))
}

#[task(path = "{kind}.arrow")]
fn feather(kind: &str) -> kart::Result<Vec<Row>> {
    Ok(of_kind(kind))
}

fn of_kind(kind: &str) -> Vec<Row> {
    match kind {
        "none" => Vec::new(),
        "null" => vec![null_row(1), null_row(2)],
        _ => vec![full_row(3), null_row(4)],
    }
}

const KINDS: [&str; 3] = ["none", "null", "mixed"];

#[task]
fn all(
    #[requires(KINDS.map(|kind| Rows { kind: kind.to_owned() }))] parquet: &[Vec<Row>],
    #[requires(KINDS.map(|kind| Feather { kind: kind.to_owned() }))] arrow: &[Vec<Row>],
) -> kart::Result<usize> {
    let expected: Vec<Vec<Row>> = KINDS.into_iter().map(of_kind).collect();
    assert_eq!(parquet, expected);
    assert_eq!(arrow, expected);
    Ok(parquet.len())
}

#[tokio::test]
async fn files_with_no_rows_null_rows_and_mixed_rows_are_one_table_to_other_programs() {
    let directory = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(directory.path()).unwrap();
    let runner = Runner::new(&workspace).memory_budget(0);
    runner.run(All).await.unwrap();

    let Some(python) = std::env::var_os("KART_TEST_PYTHON") else {
        eprintln!("left out: other programs (KART_TEST_PYTHON is not set)");
        return;
    };
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/columns/read.py");
    let read = Command::new(python)
        .arg(reader)
        .arg(directory.path())
        .status()
        .unwrap();
    assert!(read.success());
}
