//! Attributes of the function, and what the struct has of them.
#![deny(warnings, missing_docs)]

use kart::task;

/// Old.
#[deprecated(note = "gone")]
#[task]
pub fn old(#[param(default = 1)] x: u8, #[param(secret)] y: u8) -> anyhow::Result<u8> {
    Ok(x + y)
}

/// Hidden.
#[doc(hidden)]
#[must_use]
#[inline]
#[task]
pub async fn hidden(#[allow(unused_variables)] x: u8) -> anyhow::Result<u8> {
    #![allow(unused_mut)]
    let mut y = 1;
    Ok(y)
}

#[allow(non_snake_case)]
#[task]
fn odd(X: u8, #[requires(Hidden { x: X })] Y: u8) -> anyhow::Result<u8> {
    Ok(X + Y)
}

#[expect(clippy::too_many_arguments, unused_variables)]
#[task]
fn many(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    #[param(default = 1)] i: u8,
) -> anyhow::Result<u8> {
    Ok(i)
}

/// What a scanner leaves.
#[task(external, path = "raw/{day}.csv")]
pub async fn raw(day: u32) -> anyhow::Result<Vec<(u32, String)>>;

#[task]
fn rows(day: u32, #[requires(Raw { day })] rows: &[(u32, String)]) -> anyhow::Result<usize> {
    Ok(rows.len())
}

fn main() {
    let _ = (
        Odd { X: 1 },
        Rows { day: 1 },
        Many::new(1, 2, 3, 4, 5, 6, 7, 8),
    );
}
