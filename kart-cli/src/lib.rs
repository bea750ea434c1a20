//! The command line that `kart::main!` gives to a binary.
//!
//! It sees the public interface of the runtime and nothing else. Data flows one way: `args` says what can be written,
//! `config` puts the layers of settings together, `params` makes tasks of values, `command` has a file for each
//! command; `progress` and `logging` show a run while it lasts, `out` what came of it.

mod args;
mod ask;
mod color;
mod command;
mod config;
mod logging;
mod out;
mod params;
mod print;
mod progress;
mod report;
mod setting;
mod signals;
mod target;
#[cfg(feature = "otel")]
mod telemetry;
#[cfg(not(feature = "otel"))]
#[path = "no_telemetry.rs"]
mod telemetry;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use kart_core::{Error, RunError, Runner, Task, TaskExt as _, TaskSpec, Workspace, registry};

use crate::args::{Command, Parsed};
use crate::config::Config;
use crate::logging::{LogSettings, Logged};
use crate::out::Out;
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
    match try_main(T::spec(), std::env::args_os().collect(), configure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => {
            if let Some(message) = end.message {
                if end.is_json && end.status == INTERRUPTED {
                    tracing::warn!(target: "kart", "{}", message.trim_end());
                } else if end.is_json {
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
pub(crate) struct End {
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

    fn wrong_use(message: impl std::fmt::Display) -> Self {
        End::new(
            WRONG_USE,
            format!("error: {message}\n\nFor more information, try '--help'."),
        )
    }

    /// All has been said.
    fn silent(status: u8) -> Self {
        End {
            status,
            message: None,
            is_json: false,
        }
    }
}

/// What no further run could mend is wrong use: an unknown name to run again, a parameter without a key, two tasks on
/// one path, a missing resource.
impl From<RunError> for End {
    fn from(error: RunError) -> Self {
        let status = match error {
            RunError::Settings(_) | RunError::Plan(_) | RunError::Resources(_) => WRONG_USE,
            RunError::Interrupted(_) | RunError::AlreadyRunning(_) => INTERRUPTED,
            RunError::Store(ref error) if error.is_transient() => INTERRUPTED,
            _ => FAILED,
        };
        let hint = match error {
            RunError::AlreadyRunning(_) => {
                "\nrun again later, wait for it with --wait 10m, or start all of them with --shared"
            }
            RunError::Resources(_) => {
                "\n`kart::main!(Root, |runner| runner.resource(..))` gives them"
            }
            _ => "",
        };
        End::new(status, format!("error: {error:#}{hint}"))
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Missing { .. }
            | Error::OtherKey { .. }
            | Error::Torn { .. }
            | Error::Mismatch { .. }
            | Error::Unverified { .. }
            | Error::Decode { .. } => End::from(RunError::Output(error)),
            error => End::from(RunError::from(error)),
        }
    }
}

impl From<kart_core::StoreError> for End {
    fn from(error: kart_core::StoreError) -> Self {
        End::from(RunError::Store(error))
    }
}

/// What a command works with.
pub(crate) struct Session {
    /// The task that `kart::main!` names.
    root: &'static TaskSpec,
    parsed: Parsed,
    config: Config,
    workspace: Workspace,
    runner: Runner,
    out: Out,
    watch: Watch,
}

/// How a run is seen while it lasts.
pub(crate) struct Watch {
    log: LogSettings,
    logged: Logged,
    /// What bodies log, where the service runs.
    #[cfg(feature = "serve")]
    lines: Arc<kart_serve::LogLines>,
    telemetry: Arc<Telemetry>,
}

impl Watch {
    /// Says something on stderr that is no result.
    fn note(&self, text: &str) {
        if self.logged.is_json {
            tracing::info!(target: "kart", "{text}");
        } else {
            print::note(text);
        }
    }
}

fn try_main(
    root: &'static TaskSpec,
    args: Vec<OsString>,
    configure: impl FnOnce(Runner) -> Runner,
) -> Result<(), End> {
    registry::check().map_err(|error| End::new(WRONG_USE, format!("error: {error}")))?;
    let parsed = match args::parse(root, args) {
        Ok(parsed) => parsed,
        // clap prints help to stdout and mistakes to stderr, in colour where that is a terminal.
        Err(error) => {
            let _ = error.print();
            if !error.use_stderr() {
                return Ok(());
            }
            return Err(End::silent(WRONG_USE));
        }
    };
    let config = Config::load(&parsed)?;
    let log = LogSettings::of(&parsed, &config);
    let out = Out::new(&parsed, log);
    match parsed.command {
        Command::List => {
            command::list::list(&parsed, root, &out)?;
            return out.finish();
        }
        Command::Config => {
            command::config::config(&parsed, &config, &out)?;
            return out.finish();
        }
        Command::Completions => return command::completions(root, &parsed),
        _ => {}
    }
    let telemetry = Arc::new(Telemetry::new());
    let extra = telemetry.layer().into_iter();
    #[cfg(feature = "serve")]
    let lines = Arc::default();
    #[cfg(feature = "serve")]
    let extra =
        extra.chain((parsed.command == Command::Serve).then(|| logging::lines::layer(&lines)));
    let watch = Watch {
        log,
        logged: logging::init(log, extra.collect()),
        #[cfg(feature = "serve")]
        lines,
        telemetry: Arc::clone(&telemetry),
    };
    let is_json = watch.logged.is_json;
    let result = perform(root, parsed, config, out, watch, configure);
    telemetry.finish();
    result.map_err(|end| End { is_json, ..end })
}

fn perform(
    root: &'static TaskSpec,
    parsed: Parsed,
    config: Config,
    out: Out,
    watch: Watch,
    configure: impl FnOnce(Runner) -> Runner,
) -> Result<(), End> {
    let workspace = Workspace::open(config.text("workspace"))
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
        let runner = config.runner(&parsed, &workspace)?;
        // Within the runtime, which a resource may need to be made.
        let runner = configure(runner);
        let session = Session {
            root,
            parsed,
            config,
            workspace,
            runner,
            out,
            watch,
        };
        command::run_command(&session).await?;
        session.out.finish()
    });
    // A plain `fn` that goes on after the grace would keep the process from ending.
    runtime.shutdown_background();
    result
}
