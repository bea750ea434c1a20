//! Tasks of every shape under lints that forgive nothing: an expansion must trip none of them.
#![deny(
    warnings,
    missing_docs,
    clippy::pedantic,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    single_use_lifetimes,
    missing_debug_implementations
)]
#![forbid(unsafe_code)]
use kart::{Context, task};
use std::path::Path;

/// A unit.
///
/// # Errors
/// None.
#[task]
pub fn one() -> anyhow::Result<String> {
    Ok(String::new())
}

/// With everything.
///
/// # Errors
/// None.
#[allow(clippy::too_many_arguments)]
#[task(path = "{day}/{flag}-{in}/{key}.txt", version = 2, retries = 3, backoff = "2s", timeout = "1h 30m", priority = -4, uses(gpu = 1, db = 2))]
pub async fn everything(
    day: u32,
    flag: bool,
    r#in: &str,
    place: &Path,
    #[param(default = &[1, 2])] list: &[u8],
    #[param(default = "x", insignificant)] text: &str,
    #[param(secret)] token: String,
    #[requires((0..day).map(|_| One))] ones: Vec<String>,
    #[requires((0..day).map(|_| One))] more: &[String],
    #[requires(One)] owned: String,
    #[requires(One)] shared: &str,
    #[requires] chosen: &String,
    #[resource] pool: &u64,
    #[resource] small: u8,
    #[context] cx: &Context,
) -> anyhow::Result<String> {
    let _ = (
        flag, r#in, place, list, text, &token, &ones, more, &owned, shared, chosen, pool, small, cx,
    );
    tokio_like().await;
    drop((token, ones, owned));
    Ok(String::new())
}
async fn tokio_like() {
    std::future::ready(()).await;
}

#[task]
fn private(
    #[param(default = 3)] count: u8,
    #[requires(One)] one: String,
) -> Result<u8, std::io::Error> {
    drop(one);
    if count == 0 {
        return Err(std::io::Error::other("zero"));
    }
    Ok(count)
}

#[task]
fn four_flags(a: bool, b: bool, c: bool) -> Result<bool, std::io::Error> {
    if a {
        return Err(std::io::Error::other("a"));
    }
    Ok(b && c)
}

/// Old.
/// # Errors
/// None.
#[deprecated(note = "gone")]
#[task]
pub fn old(#[param(default = 1, secret)] x: u8) -> anyhow::Result<u8> {
    Ok(x)
}

/// Rows of a day.
#[task(external, path = "raw/{day}.csv")]
pub async fn raw(day: u32) -> anyhow::Result<Vec<u8>>;

/// A reader.
/// # Errors
/// None.
#[task]
pub fn r#type(
    #[param(default = 1)] r#match: u8,
    #[requires(Raw { day: u32::from(r#match) })] rows: &[u8],
) -> anyhow::Result<usize> {
    Ok(rows.len())
}

#[test]
fn tasks_are_made() {
    #[task(path = "inner/{n}.json")]
    fn inner(n: u32, #[requires(Inner { n: n + 1 })] x: u32) -> anyhow::Result<u32> {
        anyhow::ensure!(x > 1);
        Ok(x)
    }
    let _ = (
        Inner { n: 1 },
        Private { count: 2 },
        FourFlags {
            a: true,
            b: false,
            c: true,
        },
        Type { ..Type::new() },
    );
    let _ = Everything::new(1, true, String::new(), "".into(), String::new(), One);
}

macro_rules! make {
    ($name:ident, $p:ident, $t:ty, $e:expr) => {
        /// Made.
        /// # Errors
        /// None.
        #[task(name = "made/Made")]
        pub fn $name($p: $t, #[requires($e)] one: &str, fixed: u8) -> anyhow::Result<u8> {
            let _ = (one, $p);
            Ok(fixed)
        }
    };
}
make!(made, day, &str, {
    let _ = day;
    One
});
