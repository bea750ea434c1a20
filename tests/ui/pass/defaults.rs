//! Defaults have the type that the function declares.
#![deny(warnings, missing_docs)]

use std::path::Path;

use kart::task;

/// A number.
#[task]
pub fn one() -> anyhow::Result<u32> {
    Ok(1)
}

/// Defaults of every form.
#[task]
pub fn defaults(
    first: u8,
    #[param(default = "x")] text: &str,
    #[param(default = &[1, 2])] list: &[u8],
    #[param(default = Path::new("a/b"))] place: &Path,
    #[param(default = &(1, 2))] pair: &(u8, u8),
    #[param(default = Vec::new())] owned: Vec<String>,
    #[param(default = 5, insignificant)] count: u32,
    #[requires] one: u32,
) -> anyhow::Result<u32> {
    let _ = (first, text, list, place, pair, owned, count);
    Ok(one)
}

fn main() {
    let task = Defaults::new(7, One);
    assert_eq!(
        (task.first, task.text.as_str(), task.list.as_slice()),
        (7, "x", &[1, 2][..])
    );
    assert_eq!(
        (task.place.as_path(), task.pair, task.count),
        (Path::new("a/b"), (1, 2), 5)
    );
    assert!(task.owned.is_empty());
}
