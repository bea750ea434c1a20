//! The settings: what each is, and what its values look like.

#[cfg(feature = "restate")]
use std::ops::RangeInclusive;
#[cfg(feature = "restate")]
use std::time::Duration;

use crate::args::Command;

/// One setting: `--name`, `KART_NAME` and `name` in kart.toml.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) value: &'static str,
    pub(crate) help: &'static str,
    pub(crate) default: Option<&'static str>,
    /// What holds where it has no value.
    pub(crate) otherwise: &'static str,
    pub(crate) check: Check,
    of: &'static [Command],
}

/// What a value has to be.
pub(crate) enum Check {
    Reads(fn(&str) -> Result<(), String>),
    OneOf(&'static [&'static str]),
}

impl Check {
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        match self {
            Check::Reads(reads) => reads(text),
            Check::OneOf(choices) if choices.contains(&text) => Ok(()),
            Check::OneOf(choices) => Err(format!(
                "it is one of {}{}",
                choices.join(", "),
                crate::out::nearest(text, choices.iter().copied())
            )),
        }
    }
}

impl Setting {
    /// Whether it is an option of that command.
    pub(crate) fn is_of(&self, command: Command) -> bool {
        #[cfg(feature = "restate")]
        if command == Command::Worker {
            return self.of.is_empty() || OF_WORKERS.contains(&self.name);
        }
        // A service runs what it is asked for.
        #[cfg(feature = "serve")]
        let command = match command {
            Command::Serve => Command::Run,
            command => command,
        };
        self.of.is_empty() || self.of.contains(&command) || command == Command::Config
    }

    /// Its variable in the environment.
    pub(crate) fn env(&self) -> String {
        format!("KART_{}", self.name.to_uppercase().replace('-', "_"))
    }

    /// What holds where nothing is given, as the help of that command says.
    pub(crate) fn default_of(&self, command: Command) -> String {
        let default = self.default.unwrap_or(self.otherwise);
        if cfg!(feature = "restate") && self.name == "workers" && command.orders() {
            return format!("{default}; with --engine {UNDER_WAY}");
        }
        default.to_owned()
    }

    pub(crate) fn toml(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// How many attempts are under way on an engine unless said otherwise: enough for many workers, and few enough that
/// those of higher priority need not wait long.
pub(crate) const UNDER_WAY: usize = 1000;

/// What a worker has a say in: all else is the affair of whoever orders.
#[cfg(feature = "restate")]
const OF_WORKERS: [&str; 7] = [
    "workers",
    "durability",
    "verify",
    "grace",
    "store-concurrency",
    "engine",
    "log-format",
];

const RUN: &[Command] = &[Command::Run];
const PLANS: &[Command] = &[Command::Run, Command::Plan, Command::Why];

#[rustfmt::skip]
pub(crate) static SETTINGS: &[Setting] = &[
    Setting { name: "workspace", value: "URL|DIR", help: "Where the outputs are: a directory, gs://…, s3://…, az://…", default: Some("./kart-workspace"), otherwise: "", check: Check::Reads(any), of: &[] },
    Setting { name: "workers", value: "N", help: "How many task bodies run at once", default: None, otherwise: "the number of CPUs", check: Check::Reads(count), of: &[Command::Run, Command::Plan] },
    Setting { name: "deadline", value: "DURATION", help: "Stop gracefully after this long, such as 55m; run again to resume", default: None, otherwise: "none", check: Check::Reads(duration), of: RUN },
    Setting { name: "grace", value: "DURATION", help: "How long bodies may go on when the run stops", default: None, otherwise: "8s", check: Check::Reads(duration), of: RUN },
    Setting { name: "wait", value: "DURATION", help: "How long to wait while another run has the task", default: None, otherwise: "not at all", check: Check::Reads(duration), of: RUN },
    Setting { name: "ttl", value: "DURATION", help: "How long a process may be silent before others take over", default: None, otherwise: "60s", check: Check::Reads(duration), of: RUN },
    Setting { name: "coordination", value: "HOW", help: "How runs keep out of each other's way: exclusive, shared or none", default: Some("exclusive"), otherwise: "", check: Check::OneOf(&["exclusive", "shared", "none"]), of: RUN },
    Setting { name: "on-code-change", value: "WHAT", help: "What to do about outputs that other code made, as the run log tells: ignore, warn or rerun", default: Some("warn"), otherwise: "", check: Check::OneOf(&["ignore", "warn", "rerun"]), of: PLANS },
    Setting { name: "on-type-change", value: "WHAT", help: "What to do about outputs with fields that their type no longer has: refuse, warn or rerun", default: Some("refuse"), otherwise: "", check: Check::OneOf(&["refuse", "warn", "rerun"]), of: RUN },
    Setting { name: "verify", value: "WHAT", help: "Which outputs to verify when they are read, by the hash that was recorded: known (those that have one), always or never", default: Some("known"), otherwise: "", check: Check::OneOf(&["known", "always", "never"]), of: RUN },
    Setting { name: "durability", value: "WHAT", help: "What outputs in a directory survive without being made again: the end of the process, or power cuts too (process, power)", default: Some("process"), otherwise: "", check: Check::OneOf(&["process", "power"]), of: RUN },
    Setting { name: "fail-fast", value: "BOOL", help: "Whether the first failure keeps everything else from starting", default: Some("false"), otherwise: "", check: Check::OneOf(&["true", "false"]), of: RUN },
    Setting { name: "store-concurrency", value: "N", help: "How many requests for outputs are under way at once at a bucket", default: None, otherwise: "64", check: Check::Reads(count), of: &[Command::Run, Command::Plan, Command::Tree] },
    #[cfg(feature = "restate")]
    Setting { name: "engine", value: "restate=URL", help: "The ingress of the engine whose workers make the attempts, such as restate=http://127.0.0.1:8080", default: None, otherwise: "none, they are made here", check: Check::Reads(engine), of: RUN },
    #[cfg(feature = "restate")]
    Setting { name: "batch", value: "N|DURATION", help: "How many tasks travel to a worker together, for very small ones: so many, or what comes within a time such as 50ms", default: None, otherwise: "1", check: Check::Reads(batch), of: RUN },
    Setting { name: "log-format", value: "FORMAT", help: "How to log: text, or json, one object a line on stderr, also for each task that is done", default: Some("text"), otherwise: "", check: Check::OneOf(&["text", "json"]), of: RUN },
];

#[expect(clippy::unnecessary_wraps, reason = "one of several checks")]
fn any(_: &str) -> Result<(), String> {
    Ok(())
}

fn count(text: &str) -> Result<(), String> {
    match text.parse::<u32>() {
        Ok(0) => Err("it is at least 1".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn duration(text: &str) -> Result<(), String> {
    let parsed = humantime::parse_duration(text);
    parsed
        .map(drop)
        .map_err(|error| format!("{error}; a duration is such as `90s`, `55m` or `1h 30m`"))
}

/// How long the first task of a batch may wait for others: a clock cannot tell less, and nobody means more.
#[cfg(feature = "restate")]
const BATCH_WAITS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(1);

#[cfg(feature = "restate")]
fn batch(text: &str) -> Result<(), String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return count(text);
    }
    match humantime::parse_duration(text) {
        Ok(wait) if BATCH_WAITS.contains(&wait) => Ok(()),
        Ok(_) => Err("as a duration it is at least 1ms and at most 1m, such as 50ms".to_owned()),
        Err(_) => Err("it is a count, such as 50, or a duration, such as 50ms".to_owned()),
    }
}

#[cfg(feature = "restate")]
fn engine(text: &str) -> Result<(), String> {
    let known = text
        .strip_prefix("restate=")
        .is_some_and(|url| !url.is_empty());
    known
        .then_some(())
        .ok_or_else(|| "it is such as restate=http://127.0.0.1:8080".to_owned())
}
