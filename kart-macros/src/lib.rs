//! The `#[task]` attribute; use it through the facade crate `kart`.
//!
//! Data flows one way: `parse` (tokens to data) → `model` (plain data) → `check` (what may be written) → `expand` (data to tokens).
//! Nothing here panics on what a user wrote: an error goes to `diag`, and the item still expands.
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod parse;

mod model;

mod check;

mod expand;

mod diag;
mod names;

use proc_macro::TokenStream;

/// Turns a function into a checkpointed task.
///
/// The function stays as it was written, to be called and tested. Beside it stands a struct of the same visibility, named in
/// `UpperCamelCase`: the checkpointed form of one call, with a field for each parameter that the caller chooses. An import of the
/// function does not bring the struct; import both.
///
/// ```
/// use kart::task;
///
/// /// The text of a day.
/// #[task]
/// async fn fetch_text(day: u32) -> anyhow::Result<String> {
///     Ok(format!("what was said on {day}"))
/// }
///
/// /// Counts the words of a day.
/// #[task(path = "words/{day}.json", version = 2)]
/// async fn count_words(
///     day: u32,
///     #[param(default = 3)] least: usize,
///     #[requires(FetchText { day })] text: &str,
/// ) -> anyhow::Result<usize> {
///     Ok(text.split(' ').filter(|word| word.len() >= least).count())
/// }
///
/// let task = CountWords { least: 5, ..CountWords::new(20_260_101) };
/// ```
///
/// # Options
///
/// | option | meaning | default |
/// | --- | --- | --- |
/// | `version = N` | raise it when the code gives another result: the task and all that depends on it get new keys | 1 |
/// | `name = "a/b/C"` | the task's stable name | the module path below the crate, then the struct |
/// | `struct = Ident` | the struct's name | the function's, in `UpperCamelCase` |
/// | `path = "x/{param}/{key}.ext"` | where the output goes; placeholders are the plain parameters, `{key}`, `{name}` and `{ext}` | `{name}/{key}.{ext}` |
/// | `format = TYPE` | how the output is stored | by the extension of `path`, else JSON |
/// | `retries = N` | how often a failed attempt is made again | 0 |
/// | `backoff = "2s"` | the wait before the first retry; it doubles, with full jitter | `"1s"` |
/// | `timeout = "45m"` | how long one attempt may take | none |
/// | `priority = N` | among ready tasks the higher goes first | 0 |
/// | `uses(gpu = 1, db = 2)` | units of the runner's named limits that are held while it runs | none |
/// | `external` | the output is made by something else | |
/// | `crate = ::path` | where kart lives when it is renamed: `::x` or `crate::x` | `::kart` |
///
/// The extensions `json`, `jsonl`, `ndjson`, `txt`, `bin`, `msgpack`, `mpk` and `csv` name a format.
///
/// # Parameters
///
/// | written | is | in the struct |
/// | --- | --- | --- |
/// | `day: Date` | a parameter, part of the key | a field |
/// | `#[param(default = EXPR)] n: u32` | the same with a default, of the type the function declares | a field |
/// | `#[param(insignificant)] verbose: bool` | a parameter that does not change the result | a field |
/// | `#[param(secret)] token: String` | a parameter that is shown to nobody | a field |
/// | `#[requires(EXPR)] rows: &Table` | the output of the tasks that EXPR names; EXPR sees the plain parameters | |
/// | `#[requires] rows: &Table` | the output of a task that the caller chooses | a field, `Dep<Table>` |
/// | `#[resource] db: &Pool` | something the runner was given, by type | |
/// | `#[context] cx: &Context` | this attempt | |
///
/// The struct owns what the function borrows: `&str` is a `String`, `&[T]` a `Vec<T>`, `&Path` a `PathBuf`, `&T` a `T`. A borrow stands at
/// the top of a type or nowhere, and has no lifetime. A parameter is `x` or `mut x`.
///
/// The function returns `Result<T, E>` with any error type that becomes a `Box<dyn Error + Send + Sync>`. An `async fn` runs on the
/// runtime, a plain `fn` on a thread of its own.
///
/// # External tasks
///
/// A function without a body is an external task: its output is made by something else, at its `path`. There is no function then,
/// only the struct, which has the docs.
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Row {
///     word: String,
/// }
///
/// /// What the scanner leaves.
/// #[kart::task(external, path = "raw/{day}.csv")]
/// async fn raw(day: u32) -> kart::Result<Vec<Row>>;
///
/// let task = Raw { day: 20_260_101 };
/// ```
///
/// # Equivalent code
///
/// The first example, written by hand:
///
/// ```text
/// async fn count_words(day: u32, least: usize, text: &str) -> anyhow::Result<usize> {
///     let _ = (&day,); // only the requirement uses it
///     Ok(text.split(' ').filter(|word| word.len() >= least).count())
/// }
///
/// #[derive(Clone, Debug, Serialize, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct CountWords {
///     day: u32,
///     #[serde(default = "CountWords::default_least")]
///     least: usize,
/// }
///
/// impl CountWords {
///     fn default_least() -> usize { 3 }
///     fn new(day: u32) -> Self { Self { day, least: Self::default_least() } }
/// }
///
/// impl Task for CountWords {
///     type Output = usize;
///     type Format = Json;
///     // the key's parameters, the requirement `FetchText { day }`, the pieces of the path, the call of `count_words`
/// }
/// // and an entry in the registry of linked tasks
/// ```
///
/// # Errors
///
/// What is wrong is a compile error at the smallest piece of it, all errors of one item at once; function and struct are there
/// nevertheless, so that the rest of the file meets no errors that are not its own. `KART_MACRO_DEBUG=name`, or `*`, prints expansions
/// to stderr while compiling.
#[proc_macro_attribute]
pub fn task(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand::task(attr.into(), item.into()).into()
}
