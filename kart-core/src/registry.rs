//! The tasks that are linked into this program.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use crate::model::{TaskSpec, linked};

/// All of them, in the order of their names.
///
/// # Examples
///
/// ```
/// /// Cubes.
/// #[kart::task(name = "maths/Cube")]
/// async fn cube(n: u64) -> kart::Result<u64> {
///     Ok(n * n * n)
/// }
///
/// let tasks = kart::registry::tasks();
/// let cube = tasks.iter().find(|spec| spec.name == "maths/Cube").unwrap();
/// assert_eq!(cube.doc, "Cubes.");
/// assert_eq!((cube.params[0].name, cube.params[0].ty), ("n", "u64"));
/// ```
#[must_use]
pub fn tasks() -> Vec<&'static TaskSpec> {
    let mut tasks: Vec<_> = linked().collect();
    tasks.sort_by_key(|spec| (spec.name, spec.file, spec.line));
    tasks
}

/// What tells this build of the program from others: a hash of the names, versions and code of all its tasks. The
/// same tasks give the same, whatever else the program has.
#[must_use]
pub fn fingerprint() -> &'static str {
    static FINGERPRINT: OnceLock<String> = OnceLock::new();
    FINGERPRINT.get_or_init(|| {
        let mut hasher = blake3::Hasher::new();
        for spec in tasks() {
            let line = format!("{}\t{}\t{}\n", spec.name, spec.version, spec.code);
            hasher.update(line.as_bytes());
        }
        hasher.finalize().to_hex()[..16].to_owned()
    })
}

/// Two tasks of one name are linked into this program: their outputs could not be told apart.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DuplicateName {
    /// The name.
    pub name: &'static str,
    /// Where the tasks are, as `file:line`.
    pub places: [String; 2],
}

impl fmt::Display for DuplicateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = &self.places;
        write!(
            f,
            "two tasks are named `{}`, at {first} and at {second}: give one of them another name, with `#[task(name = \"…\")]`",
            self.name
        )
    }
}

impl std::error::Error for DuplicateName {}

/// Checks that no two tasks have one name.
///
/// # Errors
///
/// The first name that two tasks have.
pub fn check() -> Result<(), DuplicateName> {
    check_all(linked())
}

fn check_all(specs: impl IntoIterator<Item = &'static TaskSpec>) -> Result<(), DuplicateName> {
    let place = |spec: &TaskSpec| format!("{}:{}", spec.file, spec.line);
    let mut seen: BTreeMap<&str, &TaskSpec> = BTreeMap::new();
    for spec in specs {
        if let Some(other) = seen.insert(spec.name, spec) {
            let mut places = [place(other), place(spec)];
            places.sort();
            return Err(DuplicateName {
                name: spec.name,
                places,
            });
        }
    }
    Ok(())
}
