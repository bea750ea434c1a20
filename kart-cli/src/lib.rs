//! The command line that `kart::main!` gives to a binary.
//!
//! It sees the public interface of the runtime and nothing else: `args` says what can be written,
//! `params` makes a task of it, `run` and `plan` do it; `progress` and `logging` show it while it lasts, `print`
//! says what came of it.

mod args;
mod color;
mod logging;
mod params;
mod plan;
mod print;
mod progress;
mod run;
mod signals;
#[cfg(feature = "otel")]
mod telemetry;
#[cfg(not(feature = "otel"))]
#[path = "no_telemetry.rs"]
mod telemetry;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use kart_core::{Runner, Task, TaskExt as _, Workspace};

use crate::args::Invocation;
use crate::run::Watched;
use crate::telemetry::Telemetry;

/// Some task failed, or the workspace does not answer: to run again may help.
const FAILED: u8 = 1;
/// The command line could not be understood, or what it asks for cannot be run as it is.
const WRONG_USE: u8 = 2;
/// The run was stopped before all was complete: run it again. `EX_TEMPFAIL` of `sysexits.h`.
const INTERRUPTED: u8 = 75;

/// The body of the `main` that `kart::main!` writes; `configure` gives the runner what the command
/// line cannot, such as resources.
#[must_use]
pub fn main<T: Task>(configure: impl FnOnce(Runner) -> Runner) -> ExitCode {
    match try_main::<T>(std::env::args_os().collect(), configure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => {
            if let Some(message) = end.message {
                if end.is_json {
                    tracing::error!(target: "kart", "{}", message.trim_end());
                } else {
                    print::note(message.trim_end());
                }
            }
            ExitCode::from(end.status)
        }
    }
}

/// Why the program ends with another status than 0.
#[derive(Debug)]
struct End {
    status: u8,
    /// What is still to be said about it.
    message: Option<String>,
    /// Whether it is said in the log, since stderr is for objects only.
    is_json: bool,
}

impl End {
    fn new(status: u8, message: impl Into<String>) -> Self {
        End {
            status,
            message: Some(message.into()),
            is_json: false,
        }
    }
}

fn try_main<T: Task>(
    args: Vec<OsString>,
    configure: impl FnOnce(Runner) -> Runner,
) -> Result<(), End> {
    let invocation = match args::parse(T::spec(), args) {
        Ok(invocation) => invocation,
        // clap prints help to stdout and mistakes to stderr, in colour where that is a terminal.
        Err(error) => {
            let _ = error.print();
            if error.kind() == clap::error::ErrorKind::ArgumentConflict {
                print::note("Options stand after the command.");
            }
            if !error.use_stderr() {
                return Ok(());
            }
            return Err(End {
                status: WRONG_USE,
                message: None,
                is_json: false,
            });
        }
    };
    let telemetry = Arc::new(Telemetry::new());
    let watched = Watched {
        log: invocation.log,
        logged: logging::init(invocation.log, telemetry.layer()),
        telemetry: Arc::clone(&telemetry),
    };
    let is_json = watched.logged.is_json;
    let result = perform::<T>(invocation, watched, configure);
    telemetry.finish();
    result.map_err(|end| End { is_json, ..end })
}

fn perform<T: Task>(
    invocation: Invocation,
    watched: Watched,
    configure: impl FnOnce(Runner) -> Runner,
) -> Result<(), End> {
    let Invocation {
        command,
        settings,
        values,
        ..
    } = invocation;
    let root: T = params::build(T::spec().params, values).map_err(|error| {
        End::new(
            WRONG_USE,
            format!("error: {error}\n\nFor more information, try '--help'."),
        )
    })?;
    let workspace = Workspace::open(&settings.workspace)
        .map_err(|error| End::new(WRONG_USE, format!("error: {}", kart_core::chain(&error))))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            End::new(
                FAILED,
                format!("error: failed to start the runtime: {error}"),
            )
        })?;
    let result = runtime.block_on(async {
        // Within the runtime, which a resource may need to be made.
        let runner = configure(run::runner(&workspace, &settings));
        match command {
            args::Command::Run => run::run(root, runner, watched).await,
            args::Command::Plan => plan::plan(root, &workspace, runner).await,
        }
    });
    // A plain `fn` that goes on after the grace would keep the process from ending.
    runtime.shutdown_background();
    result
}
