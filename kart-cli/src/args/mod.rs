//! What can be written on the command line.

mod task;

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, ColorChoice, value_parser};
use kart_core::{TaskSpec, registry};

use crate::config::SETTINGS;

pub(crate) use task::option_of;

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run,
    Plan,
    Tree,
    Graph,
    List,
    Show,
    Cat,
    Why,
    History,
    Runs,
    Rm,
    Gc,
    Check,
    Config,
    Completions,
    #[cfg(feature = "serve")]
    Serve,
}

/// What stands after a command's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// A task, by its name, and its parameters; the root where none is named.
    Task,
    /// A task like that, or the key or the path of an output.
    Target,
}

struct Entry {
    command: Command,
    name: &'static str,
    takes: Takes,
    about: &'static str,
}

const fn entry(command: Command, name: &'static str, takes: Takes, about: &'static str) -> Entry {
    Entry {
        command,
        name,
        takes,
        about,
    }
}

static COMMANDS: &[Entry] = &[
    entry(
        Command::Run,
        "run",
        Takes::Task,
        "Run what is missing (the default)",
    ),
    entry(
        Command::Plan,
        "plan",
        Takes::Task,
        "Say what would run, why, and how long it may take; write nothing",
    ),
    entry(
        Command::Tree,
        "tree",
        Takes::Task,
        "Show the task and all that it requires as a tree, with what is complete",
    ),
    entry(
        Command::Graph,
        "graph",
        Takes::Task,
        "Draw the task and all that it requires",
    ),
    entry(
        Command::List,
        "list",
        Takes::Nothing,
        "List the tasks of this program",
    ),
    entry(
        Command::Show,
        "show",
        Takes::Target,
        "Tell all about one task: parameters, requirements, consumers, who made it and when",
    ),
    entry(Command::Cat, "cat", Takes::Target, "Print an output"),
    entry(
        Command::Why,
        "why",
        Takes::Target,
        "Say why a task would run or not, against the last time it ran",
    ),
    entry(
        Command::History,
        "history",
        Takes::Target,
        "List the attempts of a task in all runs",
    ),
    entry(
        Command::Runs,
        "runs",
        Takes::Nothing,
        "List the runs on this workspace, the newest first",
    ),
    entry(
        Command::Rm,
        "rm",
        Takes::Task,
        "Delete an output, so that it is made again",
    ),
    entry(
        Command::Gc,
        "gc",
        Takes::Nothing,
        "Find what kart has written and no task needs any more",
    ),
    entry(
        Command::Check,
        "check",
        Takes::Nothing,
        "Check tasks, resources, the workspace, the clock",
    ),
    entry(
        Command::Config,
        "config",
        Takes::Nothing,
        "Show the settings, and where each comes from",
    ),
    entry(
        Command::Completions,
        "completions",
        Takes::Nothing,
        "Print completions for a shell",
    ),
    #[cfg(feature = "serve")]
    entry(
        Command::Serve,
        "serve",
        Takes::Task,
        "Answer HTTP: start runs, show them, tell of them",
    ),
];

/// What was written.
pub(crate) struct Parsed {
    pub(crate) command: Command,
    /// The program's name, as it was called.
    pub(crate) program: String,
    /// The task that was named; the root where none was.
    pub(crate) task: &'static TaskSpec,
    /// Whether it was named.
    pub(crate) is_named: bool,
    /// The matches from the outermost command to the innermost.
    chain: Vec<ArgMatches>,
}

impl Parsed {
    /// An option that was written, the innermost if several were.
    pub(crate) fn get<T: Clone + Send + Sync + 'static>(&self, id: &str) -> Option<T> {
        let given = |matches: &&ArgMatches| {
            matches.try_contains_id(id).is_ok()
                && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        let matches = self.chain.iter().rev().find(given)?;
        matches.try_get_one::<T>(id).ok().flatten().cloned()
    }

    /// An option that may be written several times.
    pub(crate) fn all(&self, id: &str) -> Vec<String> {
        let each = |matches: &ArgMatches| -> Vec<String> {
            let values = matches.try_get_many::<String>(id).ok().flatten();
            values.into_iter().flatten().cloned().collect()
        };
        self.chain.iter().flat_map(each).collect()
    }

    pub(crate) fn flag(&self, id: &str) -> bool {
        self.get::<bool>(id).unwrap_or(false)
    }

    /// The parameter of the task as it was written. Those before the name of another task are that of the root.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        self.get(&task::id(self.task, name))
    }

    /// An option of the root's that stands before another task.
    pub(crate) fn misplaced(&self, root: &'static TaskSpec) -> Option<&'static str> {
        if std::ptr::eq(root, self.task) {
            return None;
        }
        let is_given = |name: &str| self.get::<String>(&task::id(root, name)).is_some();
        let mut names = root.params.iter().map(|param| param.name);
        names.find(|name| is_given(name))
    }
}

/// Reads a command line; `run` where no command is named.
pub(crate) fn parse(root: &'static TaskSpec, args: Vec<OsString>) -> Result<Parsed, clap::Error> {
    let program = args
        .first()
        .map(std::path::Path::new)
        .and_then(|path| path.file_stem())
        .map_or_else(
            || "kart".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
    let chosen = args.iter().skip(1).find_map(|arg| {
        let entry = |entry: &&Entry| arg.to_str() == Some(entry.name);
        COMMANDS.iter().find(entry).map(|entry| entry.command)
    });
    let app = app(root, &program, chosen, choice(&args));
    let mut matches = app.try_get_matches_from(args)?;
    let mut chain = Vec::new();
    let mut command = Command::Run;
    let mut task = None;
    loop {
        let below = matches.remove_subcommand();
        chain.push(matches);
        let Some((name, inner)) = below else { break };
        if let Some(entry) = COMMANDS.iter().find(|entry| entry.name == name) {
            command = entry.command;
        } else {
            task = registry::tasks().into_iter().find(|spec| spec.name == name);
        }
        matches = inner;
    }
    Ok(Parsed {
        command,
        program,
        task: task.unwrap_or(root),
        is_named: task.is_some(),
        chain,
    })
}

/// Whether clap writes in colour; by what the environment says where nothing is written.
fn choice(args: &[OsString]) -> ColorChoice {
    let written = args.windows(2).find_map(|pair| match pair[0].to_str()? {
        "--color" => pair[1].to_str(),
        _ => None,
    });
    let joined = args
        .iter()
        .find_map(|arg| arg.to_str()?.strip_prefix("--color="));
    match written.or(joined) {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

/// The whole command line. Only the chosen command has a subcommand for each task, so that a program with many tasks
/// starts at once.
pub(crate) fn app(
    root: &'static TaskSpec,
    program: &str,
    chosen: Option<Command>,
    color: ColorChoice,
) -> clap::Command {
    let about = root.doc.lines().next().unwrap_or_default();
    let with_tasks =
        |command| chosen.is_none_or(|chosen| chosen == command || chosen == Command::Completions);
    let mut app = clap::Command::new(program.to_owned())
        .about(about.to_owned())
        .color(color)
        .subcommand_help_heading("Commands")
        .disable_help_subcommand(true)
        .after_help(AFTER_HELP);
    app = task::with_params(app, root);
    app = with_settings(app, Command::Run);
    app = with_options(app, Command::Run);
    app = with_globals(app);
    if with_tasks(Command::Run) {
        app = task::with_tasks(app, |command| command.hide(true));
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

Exit status: 0 all is complete, 1 a task failed, 2 wrong use, 75 stopped or busy: run again.";

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
        let default = setting
            .default
            .map(|default| format!(" [default: {default}]"));
        command = command.arg(
            Arg::new(setting.name)
                .long(setting.name)
                .value_name(setting.value)
                .help(format!("{}{}", setting.help, default.unwrap_or_default())),
        );
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
                    .help("Run the tasks of this name again, and all that depends on them; to be given again if the run is cut off"),
            );
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

/// What a command has for itself.
fn with_options(command: clap::Command, of: Command) -> clap::Command {
    let command = command.next_help_heading("Options");
    let yes = || switch("yes", "Do not ask").short('y');
    match of {
        Command::Run => command.arg(text(
            "report",
            "FILE",
            "Write a report of the run as one HTML file",
        )),
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
            .arg(yes()),
        Command::Gc => command
            .arg(
                text(
                    "root",
                    "JSON",
                    "One more task whose outputs are kept: {\"task\": \"…\", \"params\": {…}}",
                )
                .action(ArgAction::Append),
            )
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
        #[cfg(feature = "serve")]
        Command::Serve => crate::command::serve::options(command),
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
    command
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
        .arg(switch("json", "Write results as JSON").global(true))
        .arg(
            switch("quiet", "Say nothing but results, warnings and errors")
                .short('q')
                .global(true),
        )
        .arg(
            text("color", "WHEN", "Colours [default: auto]")
                .value_parser(["auto", "always", "never"])
                .global(true),
        )
}
