//! Every role of a parameter, each in every form in which it can be taken.
#![deny(warnings, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use kart::{Artifact, Context, Dep, task};

/// A text.
#[task]
pub fn text() -> anyhow::Result<String> {
    Ok("text".to_owned())
}

/// Plain parameters.
#[task(path = "plain/{day}-{flag}/{key}.json")]
pub async fn plain(
    day: u32,
    flag: bool,
    name: &str,
    place: &Path,
    list: &[u8],
    pair: &(u8, u8),
    mut owned: Vec<String>,
    #[param(insignificant)] verbose: bool,
    #[param(secret)] token: String,
) -> anyhow::Result<usize> {
    owned.push(token);
    let _ = (name, place, pair, verbose);
    Ok(list.len() + owned.len())
}

/// Required outputs.
#[task]
pub async fn required(
    n: u32,
    prefix: &str,
    #[requires(Text)] owned: String,
    #[requires(Text)] shared: &String,
    #[requires(Text)] as_str: &str,
    #[requires(Text)] counted: Arc<String>,
    #[requires(Text)] handle: Artifact<String>,
    #[requires((0..n).map(|_| Text))] all: Vec<String>,
    #[requires((0..n).map(|_| Text))] slice: &[String],
    #[requires((n > 1).then_some(Text))] maybe: Option<String>,
    #[requires((Text, Text))] both: (String, String),
    #[requires((0..n).map(|i| (format!("{prefix}{i}"), Text)))] named: std::collections::BTreeMap<
        String,
        String,
    >,
    #[requires] chosen: &str,
    #[requires] chosen_list: &[String],
    #[requires] chosen_owned: String,
) -> anyhow::Result<usize> {
    let _ = (
        shared,
        counted,
        handle,
        maybe,
        both,
        named,
        chosen,
        chosen_list,
        chosen_owned,
    );
    Ok(owned.len() + as_str.len() + all.len() + slice.len())
}

/// What the runner gives.
#[task]
pub async fn given(
    #[resource] pool: &u64,
    #[resource] small: u8,
    #[context] cx: &Context,
) -> anyhow::Result<u64> {
    let _ = cx;
    Ok(*pool + u64::from(small))
}

/// The same on the blocking pool.
#[task]
pub fn given_blocking(
    #[resource] pool: &u64,
    #[requires(Text)] text: &str,
    #[context] cx: Context,
) -> anyhow::Result<u64> {
    let _ = cx;
    Ok(*pool + text.len() as u64)
}

fn main() {
    let task = Plain {
        day: 1,
        flag: true,
        name: "n".to_owned(),
        place: "p".into(),
        list: vec![1],
        pair: (1, 2),
        owned: Vec::new(),
        verbose: false,
        token: "hunter2".to_owned(),
    };
    let shown = format!("{task:?}");
    assert!(
        shown.contains("token: ***") && !shown.contains("hunter2"),
        "{shown}"
    );
    let _: Dep<String> = Text.into();
    let _ = (
        Required {
            n: 1,
            prefix: String::new(),
            chosen: Text.into(),
            chosen_list: kart::dep([Text]),
            chosen_owned: Text.into(),
        },
        Given,
        GivenBlocking,
    );
}
