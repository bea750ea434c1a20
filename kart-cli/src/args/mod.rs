//! What can be written on the command line.

mod task;
mod tree;

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgMatches, ColorChoice};
use kart_core::{TaskSpec, registry};

pub(crate) use task::option_of;
pub(crate) use tree::app;

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
    Accept,
    Gc,
    Check,
    Config,
    Completions,
    #[cfg(feature = "serve")]
    Serve,
    #[cfg(feature = "restate")]
    Worker,
}

impl Command {
    /// Whether it starts runs, whose attempts an engine may have made.
    pub(crate) fn orders(self) -> bool {
        match self {
            Command::Run | Command::Config => true,
            #[cfg(feature = "serve")]
            Command::Serve => true,
            _ => false,
        }
    }
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
        Takes::Target,
        "Delete an output, so that it is made again",
    ),
    entry(
        Command::Accept,
        "accept",
        Takes::Target,
        "Take what lies at the path of an output for that output, such as after an edit",
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
        Takes::Task,
        "Show the settings and the parameters, and where each comes from",
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
    #[cfg(feature = "restate")]
    entry(
        Command::Worker,
        "worker",
        Takes::Nothing,
        "Make what runs with --engine order",
    ),
];

/// What was written.
pub(crate) struct Parsed {
    pub(crate) command: Command,
    /// The program's name, as it was called.
    pub(crate) program: String,
    /// The task that was named; the root where none was.
    pub(crate) task: &'static TaskSpec,
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
