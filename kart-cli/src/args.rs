//! What can be written on the command line.

use std::ffi::OsString;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use kart_core::{Coordination, OnCodeChange, ParamKind, ParamSpec, TaskSpec};

use crate::logging::{self, LogSettings, logging_args};

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) command: Command,
    pub(crate) settings: Settings,
    pub(crate) log: LogSettings,
    /// The root's parameters as written, by the names of the fields.
    pub(crate) values: Vec<(&'static str, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run,
    Plan,
}

/// How to run, whatever the task.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) workspace: String,
    pub(crate) workers: Option<usize>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) grace: Option<Duration>,
    pub(crate) coordination: Coordination,
    pub(crate) on_code_change: OnCodeChange,
    pub(crate) ttl: Option<Duration>,
    pub(crate) wait: Option<Duration>,
    pub(crate) limits: Vec<(String, u32)>,
    pub(crate) rerun: Vec<String>,
}

/// Reads a command line; `run` where no command is named.
pub(crate) fn parse(
    spec: &'static TaskSpec,
    args: Vec<OsString>,
) -> Result<Invocation, clap::Error> {
    let matches = command(spec).try_get_matches_from(args)?;
    let (command, matches) = match matches.subcommand() {
        Some(("plan", matches)) => (Command::Plan, matches),
        Some((_, matches)) => (Command::Run, matches),
        None => (Command::Run, &matches),
    };
    Ok(Invocation {
        command,
        settings: settings(matches),
        log: LogSettings::of(matches),
        values: values(spec, matches),
    })
}

fn command(spec: &'static TaskSpec) -> clap::Command {
    let about = spec.doc.lines().next().unwrap_or_default();
    let run = clap::Command::new("run").about(format!(
        "Run what is missing of {} (the default)",
        spec.name
    ));
    let plan = clap::Command::new("plan").about("Say what would run, and why; write nothing");
    with_options(clap::Command::new("kart"), spec)
        .about(about)
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .subcommand(with_options(run, spec))
        .subcommand(with_options(plan, spec))
}

fn with_options(command: clap::Command, spec: &'static TaskSpec) -> clap::Command {
    let command = spec.params.iter().fold(
        command.next_help_heading(format!("Parameters of {}", spec.name)),
        |command, param| command.arg(parameter(param)),
    );
    logging_args(command)
        .next_help_heading("Settings")
        .arg(
            Arg::new("kart.workspace")
                .long("workspace")
                .value_name("URL|DIR")
                .env("KART_WORKSPACE")
                .default_value("./kart-workspace")
                .help("Where the outputs are: a directory, gs://…, s3://…, az://…"),
        )
        .arg(
            Arg::new("kart.workers")
                .long("workers")
                .value_name("N")
                .value_parser(value_parser!(u16).range(1..))
                .help("How many task bodies run at once [default: the number of CPUs]"),
        )
        .arg(
            Arg::new("kart.deadline")
                .long("deadline")
                .value_name("DURATION")
                .env("KART_DEADLINE")
                .value_parser(humantime::parse_duration)
                .help("Stop in good order after this long, such as 55m; run again to go on"),
        )
        .arg(
            Arg::new("kart.grace")
                .long("grace")
                .value_name("DURATION")
                .value_parser(humantime::parse_duration)
                .help("How long bodies may go on when the run stops [default: 8s]"),
        )
        .arg(
            Arg::new("kart.on-code-change")
                .long("on-code-change")
                .value_name("WHAT")
                .value_parser(["ignore", "warn", "rerun"])
                .default_value("warn")
                .help("What to do about outputs that other code made, as the run log tells"),
        )
        .arg(
            Arg::new("kart.shared")
                .long("shared")
                .action(ArgAction::SetTrue)
                .conflicts_with("kart.alone")
                .help("Share the work with all others that run with --shared on this workspace"),
        )
        .arg(
            Arg::new("kart.alone")
                .long("alone")
                .action(ArgAction::SetTrue)
                .help("Claim nothing: the caller sees to it that nobody else runs"),
        )
        .arg(
            Arg::new("kart.wait")
                .long("wait")
                .value_name("DURATION")
                .value_parser(humantime::parse_duration)
                .help("How long to wait while another run has the task [default: not at all]"),
        )
        .arg(
            Arg::new("kart.ttl")
                .long("ttl")
                .value_name("DURATION")
                .env("KART_TTL")
                .value_parser(humantime::parse_duration)
                .help("How long a process may be silent before others take over [default: 60s]"),
        )
        .arg(
            Arg::new("kart.limit")
                .long("limit")
                .value_name("NAME=N")
                .action(ArgAction::Append)
                .value_parser(limit)
                .help("Units of a named limit that tasks share"),
        )
        .arg(
            Arg::new("kart.rerun")
                .long("rerun")
                .value_name("TASK")
                .action(ArgAction::Append)
                .help("Run the tasks of this name again, and all that depends on them; to be given again if the run is cut off"),
        )
}

fn parameter(param: &'static ParamSpec) -> Arg {
    let help = match param.kind {
        ParamKind::Dependency => format!("{} (a task as JSON)", param.doc),
        _ => param.doc.to_owned(),
    };
    let help = match (param.kind, param.default) {
        (ParamKind::Secret, _) => format!("{help} (secret)"),
        (_, Some(default)) => format!("{help} [default: {default}]"),
        (_, None) => help,
    };
    Arg::new(param.name)
        .long(long(param.name))
        .value_name(param.ty)
        .allow_negative_numbers(true)
        .required(param.default.is_none())
        .help(help.trim().to_owned())
}

/// Options of kart's own; a parameter of such a name is `--task-NAME`.
const OWN: [&str; 12] = [
    "alone",
    "deadline",
    "grace",
    "help",
    "limit",
    "on-code-change",
    "rerun",
    "shared",
    "ttl",
    "wait",
    "workers",
    "workspace",
];

/// The option of a parameter.
pub(crate) fn long(param: &str) -> String {
    let long = param.replace('_', "-");
    if OWN.contains(&long.as_str()) || logging::OPTIONS.contains(&long.as_str()) {
        return format!("task-{long}");
    }
    long
}

fn limit(text: &str) -> Result<(String, u32), String> {
    let (name, units) = text
        .split_once('=')
        .ok_or("expected a name and a number, such as `gpu=1`")?;
    let units = units
        .parse()
        .map_err(|error| format!("`{units}`: {error}"))?;
    Ok((name.to_owned(), units))
}

fn settings(matches: &ArgMatches) -> Settings {
    Settings {
        workspace: matches
            .get_one::<String>("kart.workspace")
            .cloned()
            .unwrap_or_default(),
        workers: matches
            .get_one::<u16>("kart.workers")
            .copied()
            .map(usize::from),
        deadline: matches.get_one("kart.deadline").copied(),
        grace: matches.get_one("kart.grace").copied(),
        coordination: match (
            matches.get_flag("kart.shared"),
            matches.get_flag("kart.alone"),
        ) {
            (true, _) => Coordination::Shared,
            (_, true) => Coordination::None,
            _ => Coordination::Exclusive,
        },
        on_code_change: match matches.get_one("kart.on-code-change").map(String::as_str) {
            Some("ignore") => OnCodeChange::Ignore,
            Some("rerun") => OnCodeChange::Rerun,
            _ => OnCodeChange::Warn,
        },
        ttl: matches.get_one("kart.ttl").copied(),
        wait: matches.get_one("kart.wait").copied(),
        limits: all(matches, "kart.limit"),
        rerun: all(matches, "kart.rerun"),
    }
}

fn all<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, id: &str) -> Vec<T> {
    matches
        .get_many::<T>(id)
        .into_iter()
        .flatten()
        .cloned()
        .collect()
}

fn values(spec: &'static TaskSpec, matches: &ArgMatches) -> Vec<(&'static str, String)> {
    let given = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
    spec.params
        .iter()
        .filter(|param| given(param.name))
        .filter_map(|param| Some((param.name, matches.get_one::<String>(param.name)?.clone())))
        .collect()
}
