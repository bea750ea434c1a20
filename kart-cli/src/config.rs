//! The layers that settings come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kart_core::{
    Coordination, Durability, OnCodeChange, OnTypeChange, Runner, TaskSpec, Verify, Workspace,
};
use toml::{Table, Value as Toml};

use crate::End;
use crate::args::Parsed;
use crate::setting::{SETTINGS, Setting, UNDER_WAY};

/// Where a value comes from, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Option,
    File(PathBuf),
    Environment(String),
    Toml(PathBuf),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Option => f.write_str("option"),
            Source::File(path) | Source::Toml(path) => write!(f, "{}", path.display()),
            Source::Environment(name) => write!(f, "environment, {name}"),
            Source::Default => f.write_str("default"),
        }
    }
}

impl Source {
    /// Where the value of a setting stands that comes from there.
    pub(crate) fn place_of(&self, setting: &Setting) -> String {
        match self {
            Source::Option => format!("'--{}'", setting.name),
            Source::Toml(path) => format!("`{}` in {}", setting.toml(), path.display()),
            source => source.to_string(),
        }
    }
}

/// A setting's value as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) text: String,
    pub(crate) source: Source,
}

/// All settings, each with where it comes from.
pub(crate) struct Config {
    pub(crate) values: BTreeMap<&'static str, Set>,
    pub(crate) limits: BTreeMap<String, (u32, Source)>,
    /// Parameters by the names of their tasks, from kart.toml.
    pub(crate) tasks: BTreeMap<String, Table>,
    /// The file that settings were read from.
    pub(crate) path: Option<PathBuf>,
    /// Whether the workers of an engine make the attempts.
    pub(crate) is_on_engine: bool,
}

impl Config {
    /// Puts the layers together.
    pub(crate) fn load(parsed: &Parsed) -> Result<Self, End> {
        let mut config = Config {
            values: BTreeMap::new(),
            limits: BTreeMap::new(),
            tasks: BTreeMap::new(),
            path: None,
            is_on_engine: false,
        };
        config.read_toml(parsed)?;
        for setting in SETTINGS {
            let env = std::env::var(setting.env())
                .ok()
                .filter(|text| !text.is_empty());
            let env = env.map(|text| (text, Source::Environment(setting.env())));
            let option =
                flagged(setting.name, parsed).or_else(|| parsed.get::<String>(setting.name));
            let option = option.map(|text| (text, Source::Option));
            if let Some((text, source)) = option.or(env) {
                config.set(setting, text, source)?;
            } else if let (Some(default), false) =
                (setting.default, config.values.contains_key(setting.name))
            {
                config.set(setting, default.to_owned(), Source::Default)?;
            }
        }
        for text in parsed.all("limit") {
            let (name, units) = limit(&text).map_err(|reason| {
                End::wrong_use(format!(
                    "invalid value '{text}' for '--limit <NAME=N>': {reason}"
                ))
            })?;
            config.limits.insert(name, (units, Source::Option));
        }
        config.is_on_engine = parsed.command.orders() && config.values.contains_key("engine");
        Ok(config)
    }

    fn set(&mut self, setting: &'static Setting, text: String, source: Source) -> Result<(), End> {
        if let Err(reason) = setting.check.check(&text) {
            let place = match &source {
                Source::Option => format!("'--{} <{}>'", setting.name, setting.value),
                source => source.place_of(setting),
            };
            return Err(End::wrong_use(format!(
                "invalid value '{text}' for {place}: {reason}"
            )));
        }
        self.values.insert(setting.name, Set { text, source });
        Ok(())
    }

    fn read_toml(&mut self, parsed: &Parsed) -> Result<(), End> {
        let named = parsed
            .get::<String>("config")
            .or_else(|| std::env::var("KART_CONFIG").ok());
        let path = PathBuf::from(named.as_deref().unwrap_or("kart.toml"));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(());
            }
            Err(error) => {
                return Err(End::wrong_use(format!(
                    "failed to read the settings in {}: {error}",
                    path.display()
                )));
            }
        };
        let table: Table = toml::from_str(&text).map_err(|error| {
            End::wrong_use(format!(
                "failed to read the settings in {}: {error}",
                path.display()
            ))
        })?;
        self.path = Some(path.clone());
        for (key, value) in table {
            self.take_toml(&path, &key, value).map_err(|reason| {
                End::wrong_use(format!("`{key}` in {}: {reason}", path.display()))
            })??;
        }
        Ok(())
    }

    fn take_toml(
        &mut self,
        path: &Path,
        key: &str,
        value: Toml,
    ) -> Result<Result<(), End>, String> {
        match (key, value) {
            ("limits", Toml::Table(limits)) => {
                for (name, units) in limits {
                    let units = units
                        .as_integer()
                        .and_then(|units| u32::try_from(units).ok());
                    let units = units.ok_or_else(|| {
                        format!("the limit `{name}` is a number, such as `{name} = 1`")
                    })?;
                    self.limits
                        .insert(name, (units, Source::Toml(path.to_owned())));
                }
            }
            ("tasks", Toml::Table(tasks)) => {
                let linked = kart_core::registry::tasks();
                for (name, params) in tasks {
                    let Toml::Table(params) = params else {
                        return Err(format!(
                            "`{name}` is a table of parameters, such as `[tasks.{name}]`"
                        ));
                    };
                    let spec = linked.iter().find(|spec| is_named(spec, &name));
                    let spec = spec.ok_or_else(|| {
                        let names = linked.iter().map(|spec| spec.name);
                        format!(
                            "there is no task `{name}`{}",
                            crate::out::nearest(&name, names)
                        )
                    })?;
                    for param in params.keys() {
                        if !spec.params.iter().any(|known| known.name == param) {
                            let names = spec.params.iter().map(|param| param.name);
                            return Err(format!(
                                "{} has no parameter `{param}`{}",
                                spec.name,
                                crate::out::nearest(param, names)
                            ));
                        }
                    }
                    self.tasks.insert(spec.name.to_owned(), params);
                }
            }
            ("limits" | "tasks", _) => return Err("it is a table".to_owned()),
            (key, value) => {
                let Some(setting) = SETTINGS.iter().find(|setting| setting.toml() == key) else {
                    let names: Vec<String> = SETTINGS.iter().map(Setting::toml).collect();
                    let names = names.iter().map(String::as_str).chain(["limits", "tasks"]);
                    return Err(format!(
                        "there is no such setting{}",
                        crate::out::nearest(key, names)
                    ));
                };
                let text = match value {
                    Toml::String(text) => text,
                    Toml::Integer(_) | Toml::Boolean(_) => value.to_string(),
                    _ => return Err("it is a text, a number or a bool".to_owned()),
                };
                return Ok(self.set(setting, text, Source::Toml(path.to_owned())));
            }
        }
        Ok(Ok(()))
    }

    /// A setting that has a default.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |set| &set.text)
    }

    /// A setting that may have no value.
    #[cfg(feature = "restate")]
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|set| set.text.as_str())
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.values.get(name)?.text.parse().ok()
    }

    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        humantime::parse_duration(&self.values.get(name)?.text).ok()
    }

    /// How many bodies run at once, or are under way on the engine.
    pub(crate) fn workers(&self) -> usize {
        let cpus = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let otherwise = || if self.is_on_engine { UNDER_WAY } else { cpus() };
        self.parsed("workers").unwrap_or_else(otherwise)
    }

    /// What holds for a setting that has no value.
    pub(crate) fn otherwise(&self, setting: &Setting) -> String {
        if self.is_on_engine && setting.name == "workers" {
            return UNDER_WAY.to_string();
        }
        setting.otherwise.to_owned()
    }

    pub(crate) fn fail_fast(&self) -> bool {
        self.text("fail-fast") == "true"
    }

    pub(crate) fn coordination(&self) -> Coordination {
        match self.text("coordination") {
            "shared" => Coordination::Shared,
            "none" => Coordination::None,
            _ => Coordination::Exclusive,
        }
    }

    pub(crate) fn on_code_change(&self) -> OnCodeChange {
        match self.text("on-code-change") {
            "ignore" => OnCodeChange::Ignore,
            "rerun" => OnCodeChange::Rerun,
            _ => OnCodeChange::Warn,
        }
    }

    pub(crate) fn verify(&self) -> Verify {
        match self.text("verify") {
            "always" => Verify::Always,
            "never" => Verify::Never,
            _ => Verify::Known,
        }
    }

    pub(crate) fn on_type_change(&self) -> OnTypeChange {
        match self.text("on-type-change") {
            "warn" => OnTypeChange::Warn,
            "rerun" => OnTypeChange::Rerun,
            _ => OnTypeChange::Refuse,
        }
    }

    /// A runner with these settings.
    pub(crate) fn runner(&self, parsed: &Parsed, workspace: &Workspace) -> Result<Runner, End> {
        if let Some(requests) = self.parsed("store-concurrency") {
            let _ = workspace.clone().store_concurrency(requests);
        }
        if self.text("durability") == "power" {
            let _ = workspace.clone().durability(Durability::Power);
        }
        let mut runner = Runner::new(workspace)
            .workers(self.workers())
            .fail_fast(self.fail_fast())
            .coordination(self.coordination())
            .on_code_change(self.on_code_change())
            .on_type_change(self.on_type_change())
            .verify(self.verify());
        if let Some(deadline) = self.duration("deadline") {
            runner = runner.deadline(deadline);
        }
        if let Some(grace) = self.duration("grace") {
            runner = runner.grace(grace);
        }
        if let Some(ttl) = self.duration("ttl") {
            runner = runner.ttl(ttl);
        }
        if let Some(wait) = self.duration("wait") {
            runner = runner.wait(wait);
        }
        for (name, (units, _)) in &self.limits {
            runner = runner.limit(name, *units);
        }
        runner = runner.abandon_reruns(parsed.flag("abandon"));
        for name in parsed.all("rerun") {
            runner = runner.rerun(name);
        }
        for name in parsed.all("fresh") {
            runner = runner.fresh(name);
        }
        Ok(runner)
    }
}

/// `--shared` and `--alone` are short for a coordination.
fn flagged(setting: &str, parsed: &Parsed) -> Option<String> {
    if setting != "coordination" {
        return None;
    }
    let shared = parsed.flag("shared").then_some("shared");
    shared
        .or(parsed.flag("alone").then_some("none"))
        .map(str::to_owned)
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

/// Whether a task goes by that name: the stable name or the last part of it.
pub(crate) fn is_named(spec: &TaskSpec, name: &str) -> bool {
    spec.name == name || spec.name.rsplit('/').next() == Some(name)
}
