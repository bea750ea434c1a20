//! Tasks as subcommands, and their parameters as options.

use clap::Arg;
use kart_core::{ParamKind, ParamSpec, TaskSpec, registry};

use crate::out::brief;
use crate::setting::SETTINGS;

/// A subcommand for each task of the program; `also` gives it what its command has.
pub(super) fn with_tasks(
    command: clap::Command,
    also: impl Fn(clap::Command) -> clap::Command,
) -> clap::Command {
    let tasks = registry::tasks();
    tasks.iter().fold(command, |command, spec| {
        let mut task = clap::Command::new(spec.name).about(brief(spec.doc));
        if let Some(short) = short(spec, &tasks) {
            task = task.visible_alias(short);
        }
        command.subcommand(also(with_params(task, spec)))
    })
}

/// The last part of a task's name, where no other task has the same.
fn short(spec: &TaskSpec, tasks: &[&'static TaskSpec]) -> Option<&'static str> {
    let last = |name: &'static str| name.rsplit('/').next().unwrap_or(name);
    let short = last(spec.name);
    let count = tasks
        .iter()
        .filter(|other| last(other.name) == short)
        .count();
    (count == 1 && short != spec.name).then_some(short)
}

/// The parameters of a task as options.
pub(super) fn with_params(command: clap::Command, spec: &'static TaskSpec) -> clap::Command {
    spec.params.iter().fold(
        command.next_help_heading(format!("Parameters of {}", spec.name)),
        |command, param| command.arg(parameter(spec, param)),
    )
}

/// What clap knows a parameter by.
pub(super) fn id(spec: &TaskSpec, param: &str) -> String {
    format!("{}.{param}", spec.name)
}

fn parameter(spec: &'static TaskSpec, param: &'static ParamSpec) -> Arg {
    let mut help = param.doc.to_owned();
    match param.kind {
        ParamKind::Dependency => {
            help.push_str(" (a task as JSON: {\"task\": \"…\", \"params\": {…}})");
        }
        ParamKind::Secret => help.push_str(" (secret)"),
        ParamKind::Significant | ParamKind::Insignificant => {}
    }
    if let Some(default) = param.default.filter(|_| param.kind != ParamKind::Secret) {
        help = format!("{help} [default: {default}]");
    }
    if param.default.is_none() {
        help.push_str(" [required]");
    }
    Arg::new(id(spec, param.name))
        .long(long(param.name))
        .value_name(param.ty)
        .allow_negative_numbers(true)
        .help(help.trim().to_owned())
}

/// Options of kart's own besides the settings; a parameter of such a name is `--task-NAME`.
const OWN: [&str; 50] = [
    "abandon",
    "ack-permanent",
    "all",
    "allow",
    "allow-all",
    "allow-unauthenticated",
    "alone",
    "batch",
    "color",
    "config",
    "continue-as",
    "continue-with",
    "delete",
    "depth",
    "detach",
    "dispatch-deadline",
    "downstream",
    "dry-run",
    "engine",
    "expand",
    "format",
    "fresh",
    "help",
    "json",
    "last",
    "limit",
    "lines",
    "listen",
    "log-format",
    "margin",
    "max-runs",
    "oidc-audience",
    "oidc-email",
    "oidc-issuer",
    "oidc-keys",
    "older-than",
    "params",
    "platform-limit",
    "public-url",
    "quarantine",
    "quiet",
    "raw",
    "report",
    "rerun",
    "restate-endpoint",
    "restate-identity-key",
    "root",
    "shared",
    "trust-platform",
    "width",
];

/// The option of a parameter.
fn long(param: &str) -> String {
    let long = param.replace('_', "-");
    let is_own = OWN.contains(&long.as_str()) || long == "yes" || long == "verbose";
    if is_own || SETTINGS.iter().any(|setting| setting.name == long) {
        return format!("task-{long}");
    }
    long
}

/// The option of a parameter as it is written.
pub(crate) fn option_of(param: &str) -> String {
    format!("--{}", long(param))
}
