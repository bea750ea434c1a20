//! Where `tracing` goes: the log of bodies and libraries, and of the run itself where no line shows it.

mod json;
#[cfg(feature = "serve")]
pub(crate) mod lines;

use std::io::IsTerminal as _;

use clap::{Arg, ArgAction};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::Parsed;
use crate::color::Color;
use crate::config::Config;
use crate::progress::Look;
use crate::progress::screen::Above;

/// Of which the run says what happens; see `Event` of the runtime.
const EVENTS: &str = "kart::event";
/// Libraries that say much when asked for details.
pub(crate) const TALKATIVE: [&str; 6] = ["h2", "hyper", "hyper_util", "reqwest", "rustls", "tower"];

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    /// One object a line, as Google Cloud Logging reads it.
    Json,
}

/// What is logged and shown, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSettings {
    pub(crate) format: Format,
    /// How often `-v` was given.
    pub(crate) verbosity: u8,
    pub(crate) quiet: bool,
    pub(crate) color: Color,
}

/// Where what happens can be seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged {
    /// Whether the log tells of the run's own events.
    pub(crate) events: bool,
    /// Whether stderr is for objects only.
    pub(crate) is_json: bool,
}

/// Adds the options.
pub(crate) fn logging_args(command: clap::Command) -> clap::Command {
    command
        .arg(
            Arg::new("verbose")
                .short('v')
                .long("verbose")
                .action(ArgAction::Count)
                .global(true)
                .help("Log more: -v info, -vv debug, -vvv all; or as KART_LOG or RUST_LOG say"),
        )
        .arg(
            Arg::new("quiet")
                .short('q')
                .long("quiet")
                .action(ArgAction::SetTrue)
                .conflicts_with("verbose")
                .global(true)
                .help("Say nothing but results, warnings and failures"),
        )
        .arg(
            Arg::new("color")
                .long("color")
                .value_name("WHEN")
                .value_parser(["auto", "always", "never"])
                .global(true)
                .help("Colours [default: auto]"),
        )
}

impl LogSettings {
    pub(crate) fn of(parsed: &Parsed, config: &Config) -> Self {
        LogSettings {
            format: match config.text("log-format") {
                "json" => Format::Json,
                _ => Format::Text,
            },
            verbosity: parsed.get("verbose").unwrap_or(0),
            quiet: parsed.flag("quiet"),
            color: match parsed.get::<String>("color").as_deref() {
                Some("always") => Color::Always,
                Some("never") => Color::Never,
                _ => Color::Auto,
            },
        }
    }

    /// Whether stderr is written in colours.
    pub(crate) fn is_colored(self) -> bool {
        self.color.resolve(std::io::stderr().is_terminal())
    }

    /// How the run is shown.
    pub(crate) fn look(self) -> Look {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_terminal = std::io::stderr().is_terminal() && !is_dumb;
        match (self.quiet || self.format == Format::Json, is_terminal) {
            (true, _) => Look::Quiet,
            (false, true) => Look::Bars,
            (false, false) => Look::Lines,
        }
    }

    fn logs_events(self) -> bool {
        self.format == Format::Json || self.verbosity > 0
    }

    /// What is logged, as the environment says, or else as often as `-v` was given.
    fn filter(self, asked: Option<&str>) -> EnvFilter {
        let usual = match (self.format, self.quiet) {
            (_, true) => 0,
            (Format::Text, _) => self.verbosity,
            (Format::Json, _) => self.verbosity.saturating_add(1),
        };
        let level = match usual {
            0 => LevelFilter::WARN,
            1 => LevelFilter::INFO,
            2 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        };
        let mut filter = EnvFilter::builder()
            .with_default_directive(level.into())
            .parse_lossy(asked.unwrap_or_default());
        let directive = |text: &str| text.parse().ok();
        if level == LevelFilter::DEBUG && asked.is_none() {
            for name in TALKATIVE {
                filter = match directive(&format!("{name}=info")) {
                    Some(directive) => filter.add_directive(directive),
                    None => filter,
                };
            }
        }
        // It warns of each connection that a probe has closed, and of each order that waits while the worker stops.
        if asked.is_none()
            && let Some(quiet) = directive("restate_sdk=error")
        {
            filter = filter.add_directive(quiet);
        }
        let asks_for_events = asked.is_some_and(|asked| asked.contains("kart"));
        if !self.logs_events()
            && !asks_for_events
            && let Some(off) = directive(&format!("{EVENTS}=off"))
        {
            filter = filter.add_directive(off);
        }
        filter
    }
}

/// Anything else that sees what is traced.
pub(crate) type Extra = Box<dyn Layer<Registry> + Send + Sync>;

/// Installs the subscriber; one that is there already is left alone, and then nothing is known of the log.
pub(crate) fn init(settings: LogSettings, extra: Vec<Extra>) -> Logged {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let asked = variable("KART_LOG").or_else(|| variable("RUST_LOG"));
    // Whatever is logged within an attempt says of which task it is.
    let attempts = filter_fn(|metadata| metadata.is_span() && metadata.target() == "kart")
        .with_max_level_hint(LevelFilter::INFO);
    let filter = settings.filter(asked.as_deref()).or(attempts);
    let log: Extra = match settings.format {
        Format::Text => tracing_subscriber::fmt::layer()
            .with_ansi(settings.is_colored())
            .with_writer(Above::default)
            .with_filter(filter)
            .boxed(),
        Format::Json => json::Objects.with_filter(filter).boxed(),
    };
    let layers: Vec<Extra> = extra.into_iter().chain([log]).collect();
    let is_ours = tracing_subscriber::registry()
        .with(layers)
        .try_init()
        .is_ok();
    if is_ours && settings.format == Format::Json {
        json::log_panics();
    }
    Logged {
        events: is_ours && settings.logs_events(),
        is_json: is_ours && settings.format == Format::Json,
    }
}
