//! The command line that `kart::main!` gives to a binary.
//!
//! It sees the public interface of the runtime and nothing else: `args` says what can be written,
//! `params` makes a task of it, `run` and `plan` do it, `print` says what came of it.

mod args;
mod params;
mod plan;
mod print;
mod run;

use std::ffi::OsString;
use std::process::ExitCode;

use kart_core::{Task, TaskExt as _, Workspace};

use crate::args::Invocation;

/// Some task failed, or the run could not be made.
const FAILED: u8 = 1;
/// The command line could not be understood.
const WRONG_USE: u8 = 2;

/// The body of the `main` that `kart::main!` writes.
#[must_use]
pub fn main<T: Task>() -> ExitCode {
    match try_main::<T>(std::env::args_os().collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("{}", stop.message.trim_end());
            ExitCode::from(stop.status)
        }
    }
}

/// Why the program ends with another status than 0.
#[derive(Debug)]
struct Stop {
    status: u8,
    message: String,
}

impl Stop {
    fn failed(message: impl Into<String>) -> Self {
        Stop {
            status: FAILED,
            message: message.into(),
        }
    }

    fn wrong_use(message: impl Into<String>) -> Self {
        Stop {
            status: WRONG_USE,
            message: message.into(),
        }
    }
}

fn try_main<T: Task>(args: Vec<OsString>) -> Result<(), Stop> {
    let invocation = match args::parse(T::spec(), args) {
        Ok(invocation) => invocation,
        // clap prints help to stdout and mistakes to stderr, and knows which is which.
        Err(error) if error.use_stderr() => {
            return Err(Stop::wrong_use(error.render().ansi().to_string()));
        }
        Err(error) => {
            let _ = error.print();
            return Ok(());
        }
    };
    let Invocation {
        command,
        settings,
        values,
    } = invocation;
    let root: T = params::build(T::spec().params, values).map_err(|error| {
        Stop::wrong_use(format!(
            "error: {error}\n\nFor more information, try '--help'."
        ))
    })?;
    let workspace = Workspace::open(&settings.workspace)
        .map_err(|error| Stop::wrong_use(format!("error: {}", kart_core::chain(&error))))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::failed(format!("error: failed to start the runtime: {error}")))?;
    runtime.block_on(async {
        match command {
            args::Command::Run => run::run(root, &workspace, &settings).await,
            args::Command::Plan => plan::plan(root, &workspace, &settings).await,
        }
    })
}
