use std::collections::HashSet;

use kart::task;

#[task]
async fn owned(x: HashSet<u8>) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

#[task]
async fn nested(x: &[std::collections::HashSet<String>]) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

fn main() {}
