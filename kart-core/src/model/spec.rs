//! What the macro knows of a task: plain data in statics.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use super::given::{Given, ParamError};
use super::task::{DynTask, Erased};
use crate::key::Segment;

/// Everything about a task that does not depend on its parameters' values.
#[derive(Debug)]
pub struct TaskSpec {
    /// The stable name, `module/path/Struct` below the crate unless `name` was given.
    pub name: &'static str,
    /// Bumped by hand to say that the code now gives another result.
    pub version: u32,
    /// Where the output goes, relative to the workspace.
    pub path: &'static [Segment],
    /// How often a failed attempt is tried again.
    pub retries: u32,
    /// The upper bound of the pause before the first retry; it doubles with each.
    pub backoff: Duration,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// Among ready tasks the higher goes first.
    pub priority: i32,
    /// Units of the runner's named limits held while a body runs.
    pub uses: &'static [(&'static str, u32)],
    /// Whether the output is made by something else.
    pub external: bool,
    /// The struct's fields in order of declaration.
    pub params: &'static [ParamSpec],
    /// What the runner must have been given.
    pub resources: &'static [ResourceSpec],
    /// The function's doc comment.
    pub doc: &'static str,
    /// The source file of the function.
    pub file: &'static str,
    /// The line of the function.
    pub line: u32,
    /// A fingerprint of the function's signature and body: it changes with their tokens, and with neither
    /// comments nor layout.
    pub code: &'static str,
}

impl TaskSpec {
    /// Whether the path holds the key, so that no other result can ever be stored there.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.path
            .iter()
            .any(|segment| matches!(segment, Segment::Key))
    }

    /// Returns whether the path holds the value of a parameter.
    #[must_use]
    pub fn path_holds(&self, param: &str) -> bool {
        let is_it = |segment: &Segment| matches!(segment, Segment::Param(name) if *name == param);
        self.path.iter().any(is_it)
    }
}

/// One field of a task's struct.
#[derive(Debug)]
pub struct ParamSpec {
    /// The field's name.
    pub name: &'static str,
    /// Its type as written on the function.
    pub ty: &'static str,
    /// Its doc comment.
    pub doc: &'static str,
    /// What part it has in the task's identity.
    pub kind: ParamKind,
    /// Its default as written.
    pub default: Option<&'static str>,
}

/// What part a field has in the identity of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Part of the key.
    Significant,
    /// Left out of the key.
    Insignificant,
    /// Part of the key, and never shown.
    Secret,
    /// Tasks that the caller chose; part of the key through their keys.
    Dependency,
}

/// A resource that a task's function asks for.
#[derive(Debug)]
pub struct ResourceSpec {
    /// The parameter's name.
    pub name: &'static str,
    /// The full name of the type.
    pub type_name: fn() -> &'static str,
    /// The type by which the runner finds it.
    pub type_id: fn() -> TypeId,
}

/// Makes a task from its parameters by their names.
pub(crate) type Build = fn(Vec<(String, Given)>) -> Result<Arc<dyn DynTask>, ParamError>;

/// The entry that each `#[task]` makes in the registry of linked tasks.
#[derive(Debug)]
pub struct Registration {
    /// The task's own description.
    pub spec: &'static TaskSpec,
    /// Makes the task from its parameters by their names.
    pub build: Build,
    /// Shows one of its outputs as JSON.
    pub show: fn(&Erased) -> Option<serde_json::Value>,
}

inventory::collect!(Registration);

/// The stable name of a task as a constant: the module path below the crate with `/`, then the
/// struct.
#[doc(hidden)]
#[macro_export]
macro_rules! __task_name {
    ($ident:literal) => {{
        const MODULE: &str = ::core::module_path!();
        const LEN: usize = $crate::private::name_len(MODULE, $ident);
        const BYTES: [u8; LEN] = $crate::private::name_bytes::<LEN>(MODULE, $ident);
        const NAME: &str = $crate::private::name_str(&BYTES);
        NAME
    }};
}

/// Where the module path goes on below the crate's own name.
const fn below_crate(module: &[u8]) -> usize {
    let mut at = 0;
    while at + 1 < module.len() {
        if module[at] == b':' && module[at + 1] == b':' {
            return at + 2;
        }
        at += 1;
    }
    module.len()
}

/// The length in bytes of the name that [`name_bytes`] writes.
#[must_use]
pub const fn name_len(module: &str, ident: &str) -> usize {
    let module = module.as_bytes();
    let mut at = below_crate(module);
    let mut len = ident.len();
    while at < module.len() {
        if module[at] == b':' {
            at += 1;
        }
        len += 1;
        at += 1;
        if at == module.len() {
            len += 1;
        }
    }
    len
}

/// The bytes of a task's stable name; `N` is its [`name_len`].
#[must_use]
pub const fn name_bytes<const N: usize>(module: &str, ident: &str) -> [u8; N] {
    let module = module.as_bytes();
    let ident = ident.as_bytes();
    let mut name = [b'/'; N];
    let mut from = below_crate(module);
    let mut to = 0;
    while from < module.len() {
        if module[from] == b':' {
            from += 1;
        } else {
            name[to] = module[from];
        }
        from += 1;
        to += 1;
    }
    let start = N - ident.len();
    let mut at = 0;
    while at < ident.len() {
        name[start + at] = ident[at];
        at += 1;
    }
    name
}

/// The bytes of [`name_bytes`] as text.
///
/// # Panics
///
/// At compile time, if the bytes are not UTF-8, which those of two `str` always are.
#[must_use]
pub const fn name_str(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(name) => name,
        Err(_) => panic!("a task's name is UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::{name_bytes, name_len, name_str};

    #[test]
    fn the_name_is_the_module_path_below_the_crate_then_the_struct() {
        const DEEP: [u8; name_len("pipeline::etl::clean", "Clean")] =
            name_bytes("pipeline::etl::clean", "Clean");
        const TOP: [u8; name_len("pipeline", "Agg")] = name_bytes("pipeline", "Agg");
        assert_eq!(name_str(&DEEP), "etl/clean/Clean");
        assert_eq!(name_str(&TOP), "Agg");
    }
}
