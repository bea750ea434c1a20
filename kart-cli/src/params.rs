//! From values to tasks: the layers of a task's parameters, and one task for each value of a range.

use std::ffi::OsString;
use std::path::PathBuf;

use kart_core::{AnyTask, Given, ParamError, ParamKind, ParamSpec, TaskSpec};
use serde_json::Value as Json;

use crate::args::{Parsed, option_of, parse};
use crate::config::{Config, Source};
use crate::out::{nearest, plural, quoted};
use crate::{End, Session};

/// More tasks than that are a mistyped range.
const MOST_ROOTS: usize = 100_000;

/// A parameter as it was given: one value, or one task for each of several.
struct Values {
    name: &'static str,
    each: Vec<Given>,
    source: Source,
}

/// A file of parameters, and what it holds.
type File = (PathBuf, serde_json::Map<String, Json>);

/// The tasks that the command line names: one, or one for each value of its ranges.
pub(crate) fn roots(session: &Session) -> Result<Vec<AnyTask>, End> {
    let (parsed, config) = (&session.parsed, &session.config);
    if let Some(param) = parsed.misplaced(session.root) {
        return Err(End::wrong_use(format!(
            "'{}' is a parameter of {}: those of {} stand after its name",
            option_of(param),
            session.root.name,
            parsed.task.name
        )));
    }
    of(parsed.task, parsed, config)
}

/// One task and no more.
pub(crate) fn one(session: &Session) -> Result<AnyTask, End> {
    let mut roots = roots(session)?;
    match (roots.pop(), roots.is_empty()) {
        (Some(root), true) => Ok(root),
        _ => Err(End::wrong_use("a range stands for several tasks: name one")),
    }
}

/// The tasks that the program runs if nothing else is said.
pub(crate) fn default_roots(session: &Session) -> Result<Vec<AnyTask>, End> {
    of(session.root, &session.parsed, &session.config)
}

/// The same, and those that `--root` names.
pub(crate) fn all_roots(session: &Session) -> Result<Vec<AnyTask>, End> {
    let mut roots = default_roots(session)?;
    for text in session.parsed.all("root") {
        roots.extend(named(session, &text)?);
    }
    Ok(roots)
}

/// The tasks of a text: a task and its parameters as `run` takes them, or one in JSON.
fn named(session: &Session, text: &str) -> Result<Vec<AnyTask>, End> {
    let invalid = |reason: String| {
        End::wrong_use(format!(
            "invalid value '{text}' for '--root <TASK>': {reason}"
        ))
    };
    if text.trim_start().starts_with('{') {
        let wire = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        return Ok(vec![AnyTask::from_json(wire)?]);
    }
    let words = shlex::split(text).ok_or_else(|| invalid("a quote is not closed".to_owned()))?;
    let args = [session.parsed.program.clone(), "run".to_owned()];
    let args = args.into_iter().chain(words).map(OsString::from);
    let parsed = parse(session.root, args.collect()).map_err(|error| {
        let text = error.to_string();
        invalid(text.lines().next().unwrap_or_default().to_owned())
    })?;
    of(parsed.task, &parsed, &session.config)
}

/// The parameters of a task that are given, each from the strongest layer that has it.
pub(crate) fn layers(
    spec: &'static TaskSpec,
    parsed: &Parsed,
    config: &Config,
) -> Result<Vec<(&'static ParamSpec, Given, Source)>, End> {
    let mut file = params_file(spec, parsed)?;
    let table = config.tasks.get(spec.name);
    let mut given = Vec::new();
    for param in spec.params {
        let option = if std::ptr::eq(spec, parsed.task) {
            parsed.param(param.name)
        } else {
            None
        };
        let env = format!("KART_PARAM_{}", param.name.to_uppercase());
        let mut in_file = || {
            let (path, members) = file.as_mut()?;
            Some((members.remove(param.name)?, path.clone()))
        };
        if let Some(text) = option {
            given.push((param, Given::Text(text), Source::Option));
        } else if let Some((json, path)) = in_file() {
            given.push((param, Given::Json(json), Source::File(path)));
        } else if let Ok(text) = std::env::var(&env) {
            given.push((param, Given::Text(text), Source::Environment(env)));
        } else if let Some(value) = table.and_then(|table| table.get(param.name)) {
            let path = config.path.clone().unwrap_or_default();
            given.push((param, Given::Json(json(value)), Source::Toml(path)));
        }
    }
    Ok(given)
}

fn of(spec: &'static TaskSpec, parsed: &Parsed, config: &Config) -> Result<Vec<AnyTask>, End> {
    let mut given = Vec::new();
    for (param, value, source) in layers(spec, parsed, config)? {
        let values = match &value {
            Given::Text(text) if param.kind != ParamKind::Secret => range(text, param.ty)?,
            _ => None,
        };
        given.push(Values {
            name: param.name,
            each: values.unwrap_or_else(|| vec![value]),
            source,
        });
    }
    let is_given = |name: &str| given.iter().any(|values| values.name == name);
    let lacking = spec
        .params
        .iter()
        .filter(|param| param.default.is_none() && !is_given(param.name));
    let lacking: Vec<String> = lacking
        .map(|param| format!("{} <{}>", option_of(param.name), param.ty))
        .collect();
    if !lacking.is_empty() {
        return Err(End::wrong_use(format!(
            "the parameter{} {} of {} {} missing",
            plural(lacking.len()),
            lacking.join(", "),
            spec.name,
            if lacking.len() == 1 { "is" } else { "are" },
        )));
    }
    each(spec, &given)
}

/// A task for each combination of values.
fn each(spec: &'static TaskSpec, given: &[Values]) -> Result<Vec<AnyTask>, End> {
    let total = given.iter().try_fold(1_usize, |total, values| {
        total.checked_mul(values.each.len())
    });
    let Some(total) = total.filter(|total| *total <= MOST_ROOTS) else {
        return Err(End::wrong_use(format!(
            "the ranges stand for more than {MOST_ROOTS} tasks"
        )));
    };
    let mut tasks = Vec::with_capacity(total);
    for number in 0..total {
        let mut rest = number;
        let mut params = Vec::with_capacity(given.len());
        for values in given.iter().rev() {
            let value = &values.each[rest % values.each.len()];
            rest /= values.each.len();
            params.push((values.name.to_owned(), value.clone()));
        }
        params.reverse();
        let task = AnyTask::given(spec.name, params);
        tasks.push(task.map_err(|error| refused(&error, given))?);
    }
    Ok(tasks)
}

fn refused(error: &ParamError, given: &[Values]) -> End {
    let Some(param) = &error.param else {
        return End::wrong_use(error);
    };
    let source = given
        .iter()
        .find(|values| values.name == param)
        .map(|values| &values.source);
    let place = match source {
        None | Some(Source::Option) => format!("`{}`", option_of(param)),
        Some(Source::Environment(name)) => format!("`{name}`"),
        Some(source) => format!("`{param}` in {source}"),
    };
    End::wrong_use(match &error.given {
        Some(given) => format!("invalid value `{given}` for {place}: {}", error.reason),
        None => format!("invalid value for {place}, which is secret"),
    })
}

/// The parameters in the file that `--params` names.
fn params_file(spec: &'static TaskSpec, parsed: &Parsed) -> Result<Option<File>, End> {
    let Some(name) = parsed
        .get::<String>("params")
        .filter(|_| std::ptr::eq(spec, parsed.task))
    else {
        return Ok(None);
    };
    let failed = |reason: String| {
        End::wrong_use(format!("failed to read the parameters in {name}: {reason}"))
    };
    let text = std::fs::read_to_string(&name).map_err(|error| failed(error.to_string()))?;
    let is_toml = std::path::Path::new(&name)
        .extension()
        .is_some_and(|extension| extension == "toml");
    let value = if is_toml {
        let table: toml::Table =
            toml::from_str(&text).map_err(|error| failed(error.to_string()))?;
        json(&toml::Value::Table(table))
    } else {
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?
    };
    let Json::Object(members) = value else {
        return Err(failed(
            "expected an object, such as {\"day\": \"2024-01-31\"}".to_owned(),
        ));
    };
    for member in members.keys() {
        if !spec.params.iter().any(|param| param.name == member) {
            let names = spec.params.iter().map(|param| param.name);
            return Err(failed(format!(
                "{} has no parameter `{member}`{}",
                spec.name,
                nearest(member, names)
            )));
        }
    }
    Ok(Some((name.into(), members)))
}

/// TOML's moments become the texts that they are written as.
fn json(value: &toml::Value) -> Json {
    match value {
        toml::Value::Datetime(at) => Json::String(at.to_string()),
        toml::Value::Array(items) => Json::Array(items.iter().map(json).collect()),
        toml::Value::Table(members) => Json::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), json(value)))
                .collect(),
        ),
        value => serde_json::to_value(value).unwrap_or(Json::Null),
    }
}

/// `1..5`, `1..=5` and `2024-01-01..=2024-01-31` as one value each; `None` for what is no range.
fn range(text: &str, ty: &str) -> Result<Option<Vec<Given>>, End> {
    let Some((from, to)) = text.split_once("..") else {
        return Ok(None);
    };
    let (to, is_inclusive) = match to.strip_prefix('=') {
        Some(to) => (to, true),
        None => (to, false),
    };
    let values: Vec<Given> = if let (Ok(from), Ok(to)) = (from.parse::<i128>(), to.parse::<i128>())
    {
        // A text may look like a range of numbers and mean itself.
        if ty.contains("str") || ty.contains("String") {
            return Ok(None);
        }
        let to = if is_inclusive {
            to.saturating_add(1)
        } else {
            to
        };
        if to.saturating_sub(from) > MOST_ROOTS as i128 {
            return Err(End::wrong_use(format!(
                "the range `{text}` has more than {MOST_ROOTS} values"
            )));
        }
        (from..to)
            .map(|number| Given::Text(number.to_string()))
            .collect()
    } else if let (Ok(from), Ok(to)) = (
        from.parse::<jiff::civil::Date>(),
        to.parse::<jiff::civil::Date>(),
    ) {
        let days = from.series(jiff::Span::new().days(1)).take(MOST_ROOTS);
        days.take_while(|day| *day < to || (is_inclusive && *day == to))
            .map(|day| Given::Text(day.to_string()))
            .collect()
    } else {
        return Ok(None);
    };
    if values.is_empty() {
        return Err(End::wrong_use(format!("the range `{text}` is empty")));
    }
    Ok(Some(values))
}

/// Options that say where a task runs, and so are given again with it.
const WHERE: [&str; 3] = ["config", "workspace", "engine"];

/// The command line that runs just that task where this one does. What is secret is to be in the variable TOKEN, or
/// whatever its name is.
pub(crate) fn command_of(parsed: &Parsed, task: &AnyTask) -> String {
    let spec = task.spec();
    let mut words = vec![quoted(&parsed.program), "run".to_owned(), quoted(spec.name)];
    for option in WHERE {
        if let Some(value) = parsed.get::<String>(option) {
            words.extend([format!("--{option}"), quoted(&value)]);
        }
    }
    let wire = task.to_shown_json().unwrap_or(Json::Null);
    for param in spec.params {
        let Some(value) = wire
            .pointer("/params")
            .and_then(|params| params.get(param.name))
        else {
            continue;
        };
        words.push(option_of(param.name));
        words.push(match (param.kind, value) {
            (ParamKind::Secret, _) => format!("\"${}\"", param.name.to_uppercase()),
            (_, Json::String(text)) => quoted(text),
            (_, value) => quoted(&value.to_string()),
        });
    }
    words.join(" ")
}
