//! Checkpointed tasks from plain functions: a batch that is cut off resumes where it stopped when you
//! run it again.
//!
//! `#[task]` on a function adds a struct, the checkpointed form of one call. Its output is an object in
//! a directory or a bucket, under a name made of its parameters; what exists is not made again.
//!
//! ```
//! use kart::{Workspace, task};
//!
//! /// One slow unit of work.
//! #[task]
//! async fn unit(n: u64) -> kart::Result<u64> {
//!     Ok(n * n)
//! }
//!
//! /// Gathers them.
//! #[task]
//! async fn sum(#[requires((0..4).map(|n| Unit { n }))] squares: Vec<u64>) -> kart::Result<u64> {
//!     Ok(squares.iter().sum())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kart::RunError> {
//! let workspace = Workspace::open("memory://")?;
//! let total = kart::build(Sum, &workspace).await?;
//! assert_eq!(*total, 14);
//! # Ok(())
//! # }
//! ```

extern crate self as kart;

pub use kart_core::format;
pub use kart_core::{
    AnyTask, Artifact, AttemptFuture, AttemptRequest, AttemptResponse, BoxError, Command,
    Completion, Context, Coordination, Counts, CreateOutcome, Dep, Durability, Error, Estimate,
    Event, Executor, Failure, File, Format, Given, Interrupted, Interruption, Key, Making, Map,
    MissingResource, ObjectInfo, OnCodeChange, OnTypeChange, Outcome, OutputState, Owner,
    ParamError, ParamKind, ParamSpec, Permanent, Plan, Planned, Provenance, Reader,
    RecordedOutcome, Redactor, Report, RequestCounts, Result, RunError, RunId, RunSummary, Runner,
    SavedState, Status, StopReason, StopToken, StoreError, StoredOutput, SubtaskReport, Task,
    TaskCounts, TaskExt, TaskInfo, TaskRecord, TaskReport, TaskSpec, Verify, Worker, Workspace,
    Writer, build, chain, dep, interrupted, key, permanent, registry,
};
#[cfg(feature = "macros")]
pub use kart_macros::task;

#[doc(hidden)]
pub use kart_core::private as __private;

#[cfg(feature = "cli")]
#[doc(hidden)]
pub use kart_cli as __cli;

/// The `main` of a binary of tasks: a command line whose default is to run the named task, by its
/// struct.
///
/// The task's parameters are options (`wait_ms` is `--wait-ms`); see `--help`. The exit status is
/// 0 when all is complete, 1 when a task failed, 2 for wrong use, and 75 when the run was interrupted
/// or another process holds its root: run it again. A closure gives the [`Runner`] what the command
/// line cannot, such as resources; it is called within the runtime.
///
/// ```no_run
/// struct Greeting(&'static str);
///
/// /// Says hello.
/// #[kart::task(path = "hello-{name}.txt")]
/// async fn hello(name: &str, #[resource] greeting: &Greeting) -> kart::Result<String> {
///     Ok(format!("{} {name}", greeting.0))
/// }
///
/// kart::main!(Hello, |runner| runner.resource(Greeting("hello")));
/// ```
#[cfg(feature = "cli")]
#[macro_export]
macro_rules! main {
    ($root:ty) => {
        $crate::main!($root, |runner| runner);
    };
    ($root:ty, $configure:expr) => {
        fn main() -> ::std::process::ExitCode {
            $crate::__cli::main::<$root>($configure)
        }
    };
}
