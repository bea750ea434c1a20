//! `config`: the settings, and where each comes from.

use serde_json::json;

use crate::End;
use crate::config::{Config, SETTINGS};
use crate::out::{Ink, Out};

pub(crate) fn config(config: &Config, out: &Out) -> Result<(), End> {
    if out.is_json {
        let settings: serde_json::Map<_, _> = config
            .values
            .iter()
            .map(|(name, set)| {
                (
                    (*name).to_owned(),
                    json!({"value": set.text, "source": set.source.to_string()}),
                )
            })
            .collect();
        let limits: serde_json::Map<_, _> = config
            .limits
            .iter()
            .map(|(name, (units, source))| {
                (
                    name.clone(),
                    json!({"value": units, "source": source.to_string()}),
                )
            })
            .collect();
        let tasks: serde_json::Map<_, _> = config
            .tasks
            .iter()
            .map(|(name, params)| {
                (
                    name.clone(),
                    serde_json::to_value(params).unwrap_or_default(),
                )
            })
            .collect();
        out.json(&json!({"settings": settings, "limits": limits, "tasks": tasks}));
        return Ok(());
    }
    for setting in &SETTINGS {
        let (value, source) = match config.values.get(setting.name) {
            Some(set) => (set.text.as_str(), set.source.to_string()),
            None => (setting.otherwise, "default".to_owned()),
        };
        let source = out.ink(Ink::Dim, format!("({source})"));
        out.line(format!("{:<18} {value:<24} {source}", setting.name));
    }
    for (name, (units, source)) in &config.limits {
        let source = out.ink(Ink::Dim, format!("({source})"));
        out.line(format!(
            "{:<18} {units:<24} {source}",
            format!("limit {name}")
        ));
    }
    for (task, params) in &config.tasks {
        for (param, value) in params {
            let path = config
                .path
                .as_deref()
                .unwrap_or_else(|| std::path::Path::new("kart.toml"));
            let source = out.ink(Ink::Dim, format!("({})", path.display()));
            out.line(format!("{task} {param} = {value} {source}"));
        }
    }
    Ok(())
}
