//! A type that can be read and written, but neither copied nor shown. (One that serde does not know is told so by serde too,
//! in words that change with its version.)
use kart::task;

#[derive(serde::Serialize, serde::Deserialize)]
struct Table;

#[task]
async fn clean(_table: Table) -> anyhow::Result<u32> {
    Ok(1)
}

fn main() {}
