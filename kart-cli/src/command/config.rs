//! `config`: the settings and the parameters of a task, and where each comes from.

use kart_core::{Given, ParamKind};
use serde_json::{Map, Value as Json, json};

use crate::End;
use crate::args::Parsed;
use crate::config::{Config, Source};
use crate::out::{Ink, Out};
use crate::params::layers;
use crate::setting::SETTINGS;

/// A line: what it is, its value, where that comes from.
struct Line {
    name: String,
    value: Json,
    source: String,
}

pub(crate) fn config(parsed: &Parsed, config: &Config, out: &Out) -> Result<(), End> {
    let settings: Vec<Line> = SETTINGS
        .iter()
        .map(|setting| {
            let set = config.values.get(setting.name);
            Line {
                name: setting.name.to_owned(),
                value: set.map_or(Json::Null, |set| set.text.clone().into()),
                source: set
                    .map_or(Source::Default, |set| set.source.clone())
                    .to_string(),
            }
        })
        .collect();
    let limits = config.limits.iter().map(|(name, (units, source))| Line {
        name: name.clone(),
        value: (*units).into(),
        source: source.to_string(),
    });
    let limits: Vec<Line> = limits.collect();
    let params = layers(parsed.task, parsed, config)?;
    let params: Vec<Line> = params
        .into_iter()
        .map(|(param, given, source)| Line {
            name: param.name.to_owned(),
            value: match given {
                _ if param.kind == ParamKind::Secret => "***".into(),
                Given::Json(json) => json,
                Given::Text(text) => text.into(),
            },
            source: source.to_string(),
        })
        .collect();
    if out.is_json {
        out.json(&json!({
            "settings": object(settings),
            "limits": object(limits),
            "params": object(params),
        }));
        return Ok(());
    }
    for (line, setting) in settings.iter().zip(SETTINGS) {
        let otherwise = Json::from(config.otherwise(setting));
        let value = if line.value.is_null() {
            &otherwise
        } else {
            &line.value
        };
        show(out, &line.name, value, &line.source);
    }
    for line in &limits {
        show(
            out,
            &format!("limit {}", line.name),
            &line.value,
            &line.source,
        );
    }
    for line in &params {
        show(
            out,
            &format!("{} {}", parsed.task.name, line.name),
            &line.value,
            &line.source,
        );
    }
    Ok(())
}

fn show(out: &Out, name: &str, value: &Json, source: &str) {
    let value = match value {
        Json::String(text) => text.clone(),
        value => value.to_string(),
    };
    let source = out.ink(Ink::Dim, format!("({source})"));
    out.line(format!("{name:<18} {value:<24} {source}"));
}

fn object(lines: Vec<Line>) -> Map<String, Json> {
    let member = |line: Line| {
        (
            line.name,
            json!({"value": line.value, "source": line.source}),
        )
    };
    lines.into_iter().map(member).collect()
}
