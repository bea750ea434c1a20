//! The command line as clap knows it.

use clap::{Arg, ArgAction, ColorChoice, value_parser};
use kart_core::TaskSpec;

use super::{COMMANDS, Command, Takes, task};
use crate::logging::logging_args;
use crate::out::brief;
use crate::setting::{Check, SETTINGS};

/// The whole command line. Only the chosen command has a subcommand for each task, so that a program with many tasks
/// starts at once.
pub(crate) fn app(
    root: &'static TaskSpec,
    program: &str,
    chosen: Option<Command>,
    color: ColorChoice,
) -> clap::Command {
    let about = brief(root.doc);
    let with_tasks =
        |command| chosen.is_none_or(|chosen| chosen == command || chosen == Command::Completions);
    let mut app = clap::Command::new(program.to_owned())
        .about(about)
        .color(color)
        .subcommand_help_heading("Commands")
        .disable_help_subcommand(true)
        .after_help(AFTER_HELP);
    app = task::with_params(app, root);
    app = with_settings(app, Command::Run);
    app = with_options(app, Command::Run);
    app = with_globals(app);
    if with_tasks(Command::Run) {
        app = task::with_tasks(app, |command| {
            with_options(
                with_settings(command.hide(true), Command::Run),
                Command::Run,
            )
        });
    }
    for entry in COMMANDS {
        let mut command = clap::Command::new(entry.name).about(entry.about);
        if entry.takes != Takes::Nothing || entry.command == Command::Gc {
            command = task::with_params(command, root);
        }
        command = with_settings(command, entry.command);
        command = with_options(command, entry.command);
        if entry.takes == Takes::Target {
            command = command.arg(
                Arg::new("target")
                    .value_name("KEY|PATH")
                    .help("An output by its key, of which a few digits will do, or by its path"),
            );
        }
        if entry.takes != Takes::Nothing && with_tasks(entry.command) {
            command = command
                .subcommand_help_heading("Tasks")
                .subcommand_value_name("TASK");
            command = task::with_tasks(command, |command| {
                with_options(with_settings(command, entry.command), entry.command)
            });
        }
        app = app.subcommand(command);
    }
    app
}

const AFTER_HELP: &str = "\
Settings and parameters come, the strongest first, from options, --params FILE, the environment (KART_WORKSPACE for \
--workspace, KART_PARAM_DAY for the parameter `day`) and kart.toml; `config` shows which.

Exit status: 0 all is complete, 1 a task failed, 2 wrong use, 75 stopped or already running: run again.";

/// Settings of that command as options.
fn with_settings(command: clap::Command, of: Command) -> clap::Command {
    let mut command = command.next_help_heading("Settings");
    if of == Command::Run {
        command = command
            .arg(
                Arg::new("shared")
                    .long("shared")
                    .action(ArgAction::SetTrue)
                    .conflicts_with_all(["alone", "coordination"])
                    .help(
                        "Share the work with all others that run with --shared on this workspace",
                    ),
            )
            .arg(
                Arg::new("alone")
                    .long("alone")
                    .action(ArgAction::SetTrue)
                    .conflicts_with("coordination")
                    .help("Claim nothing: the caller sees to it that nobody else runs"),
            );
    }
    for setting in SETTINGS.iter().filter(|setting| setting.is_of(of)) {
        let default = setting.default_of(of);
        let arg = Arg::new(setting.name)
            .long(setting.name)
            .value_name(setting.value)
            .help(format!("{} [default: {default}]", setting.help));
        command = command.arg(match setting.check {
            // The help names them already; completions want to know.
            Check::OneOf(choices) => arg
                .value_parser(choices.to_vec())
                .hide_possible_values(true),
            Check::Reads(_) => arg,
        });
    }
    if matches!(
        of,
        Command::Run | Command::Plan | Command::Tree | Command::Why
    ) {
        command = command
            .arg(
                Arg::new("limit")
                    .long("limit")
                    .value_name("NAME=N")
                    .action(ArgAction::Append)
                    .help("Units of a named limit that tasks share"),
            )
            .arg(
                Arg::new("rerun")
                    .long("rerun")
                    .value_name("TASK")
                    .action(ArgAction::Append)
                    .help("Run the tasks of this name again, and all that depends on them; remembered until all of it is made; repeatable"),
            )
            .arg(switch("abandon", "Drop the unfinished reruns of this root, so that what they have not made stays as it is; then run as usual"));
    }
    command
}

fn text(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(id).value_name(value).help(help)
}

fn number(id: &'static str, help: &'static str) -> Arg {
    text(id, "N", help).value_parser(value_parser!(u32))
}

fn switch(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(id).action(ArgAction::SetTrue).help(help)
}

fn run(command: clap::Command) -> clap::Command {
    let report = text(
        "report",
        "FILE",
        "Write a report of the run as one HTML file",
    );
    let fresh = Arg::new("fresh")
        .long("fresh")
        .value_name("TASK")
        .action(ArgAction::Append)
        .help("Discard what the tasks of this name have saved, before they run; repeatable");
    let command = command.arg(report).arg(fresh);
    #[cfg(feature = "restate")]
    let command = command.arg(switch(
        "detach",
        "Leave the run to the workers of the engine, and do not wait for it",
    ));
    command
}

/// What a command has for itself.
fn with_options(command: clap::Command, of: Command) -> clap::Command {
    let command = command.next_help_heading("Options");
    let yes = || switch("yes", "Do not ask").short('y');
    let root = |help: &str| {
        Arg::new("root")
            .long("root")
            .value_name("TASK")
            .action(ArgAction::Append)
            .help(format!(
                "{help}, as `run` takes it, such as \"Day --date 2026-01-01..=2026-01-31\""
            ))
    };
    match of {
        #[cfg(feature = "serve")]
        Command::Serve => crate::command::serve::options(command),
        #[cfg(feature = "restate")]
        Command::Worker => crate::command::worker::options(command),
        Command::Run => run(command),
        Command::Plan => command.arg(switch(
            "all",
            "Name every task, not the first ten of each kind",
        )),
        Command::Tree => command
            .arg(number("depth", "How many levels are shown").default_value("12"))
            .arg(
                number(
                    "width",
                    "How many tasks of one kind are shown below another",
                )
                .default_value("10"),
            )
            .arg(number("lines", "How many lines are shown in all").default_value("200")),
        Command::Graph => command
            .arg(
                text("format", "FORMAT", "What it is written in")
                    .value_parser(["dot", "mermaid", "json", "svg", "html"])
                    .default_value("mermaid"),
            )
            .arg(
                number(
                    "expand",
                    "Up to how many tasks each is drawn; above, tasks of one name are one",
                )
                .default_value("60"),
            ),
        Command::Cat => command.arg(switch("raw", "The stored bytes as they are")),
        Command::History | Command::Runs => {
            command.arg(number("last", "How many are shown").default_value("20"))
        }
        Command::Rm => command
            .arg(switch(
                "downstream",
                "Also what depends on it, of all that the root requires",
            ))
            .arg(root(
                "One more task that is looked through for what depends on it",
            ))
            .arg(yes()),
        Command::Gc => command
            .arg(root("One more task whose outputs are kept"))
            .arg(text(
                "older-than",
                "DURATION",
                "Only what was written so long ago [default: 7d]",
            ))
            .arg(switch(
                "dry-run",
                "Only say what would be done (the default)",
            ))
            .arg(
                switch("quarantine", "Move it out of the way, to _kart/trash/")
                    .conflicts_with("dry-run"),
            )
            .arg(
                switch("delete", "Delete what has been in quarantine for so long")
                    .conflicts_with_all(["quarantine", "dry-run"]),
            )
            .arg(yes()),
        Command::Accept => command.arg(yes()),
        Command::Check => command
            .arg(switch(
                "outputs",
                "Read all outputs, and name those that are not what was written",
            ))
            .arg(
                switch(
                    "repair",
                    "Record again what the run log knows of outputs that a copy has taken it from",
                )
                .requires("outputs"),
            ),
        Command::Completions => command.arg(
            Arg::new("shell")
                .required(true)
                .value_name("SHELL")
                .value_parser(value_parser!(clap_complete::Shell)),
        ),
        _ => command,
    }
}

/// What every command has.
fn with_globals(command: clap::Command) -> clap::Command {
    let command = command
        .next_help_heading("Everywhere")
        .arg(
            text(
                "config",
                "FILE",
                "Settings in TOML [default: kart.toml, if it is there]",
            )
            .global(true),
        )
        .arg(text("params", "FILE", "Parameters of the task, in JSON or TOML").global(true))
        .arg(switch("json", "Write results as JSON").global(true));
    logging_args(command)
}
