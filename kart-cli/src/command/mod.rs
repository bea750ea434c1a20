//! The commands, a file each.

mod check;
mod check_outputs;
pub(crate) mod config;
mod draw;
#[cfg(feature = "restate")]
mod engine;
#[cfg(not(feature = "restate"))]
#[path = "no_engine.rs"]
mod engine;
mod gc;
mod graph;
mod history;
pub(crate) mod list;
mod plan;
mod rm;
mod run;
mod saved_state;
#[cfg(feature = "serve")]
pub(crate) mod serve;
mod show;
mod svg;
mod tree;
mod why;
#[cfg(feature = "restate")]
pub(crate) mod worker;

pub(crate) use run::written;

use clap::ColorChoice;
use kart_core::TaskSpec;

use crate::args::{self, Command, Parsed};
use crate::{End, Session};

/// Does what was asked for, within the runtime.
pub(crate) async fn run_command(session: &Session) -> Result<(), End> {
    match session.parsed.command {
        Command::Run => run::run(session).await,
        Command::Plan => plan::plan(session).await,
        Command::Tree => tree::tree(session).await,
        Command::Graph => graph::graph(session).await,
        Command::Show => show::show(session).await,
        Command::Cat => show::cat(session).await,
        Command::Why => why::why(session).await,
        Command::History => history::history(session).await,
        Command::Runs => history::runs(session).await,
        Command::Rm => rm::rm(session).await,
        Command::Gc => gc::gc(session).await,
        Command::Accept => check_outputs::accept(session).await,
        Command::Check if session.parsed.flag("outputs") => {
            check_outputs::check_outputs(session).await
        }
        Command::Check => check::check(session).await,
        Command::List => list::list(&session.parsed, session.root, &session.out),
        Command::Config => config::config(&session.parsed, &session.config, &session.out),
        Command::Completions => completions(session.root, &session.parsed),
        #[cfg(feature = "serve")]
        Command::Serve => serve::serve(session).await,
        #[cfg(feature = "restate")]
        Command::Worker => worker::worker(session).await,
    }
}

/// Prints the completions for a shell.
pub(crate) fn completions(root: &'static TaskSpec, parsed: &Parsed) -> Result<(), End> {
    let Some(shell) = parsed.get::<clap_complete::Shell>("shell") else {
        return Err(End::wrong_use("which shell?"));
    };
    let mut app = args::app(
        root,
        &parsed.program,
        Some(Command::Completions),
        ColorChoice::Never,
    );
    clap_complete::generate(shell, &mut app, &parsed.program, &mut std::io::stdout());
    Ok(())
}
