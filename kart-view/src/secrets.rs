//! What nobody is shown.

use kart_core::{AnyTask, ParamKind, TaskSpec, registry};
use serde_json::Value as Json;

/// A text without the secret parameters of a task, and of the tasks that are its parameters: what an error says may
/// quote them.
#[must_use]
pub fn redacted(task: &AnyTask, text: &str) -> String {
    let secrets = secrets(task);
    let mut text = text.to_owned();
    for secret in secrets {
        text = text.replace(&secret, "***");
    }
    text
}

/// The secret parameters of a task, and of the tasks that are its parameters, as they may stand in a text.
#[must_use]
pub fn secrets(task: &AnyTask) -> Vec<String> {
    let mut secrets = Vec::new();
    let hides = |kind: ParamKind| matches!(kind, ParamKind::Secret | ParamKind::Dependency);
    // Most tasks have neither, and are not written down for it.
    if task.spec().params.iter().any(|param| hides(param.kind)) {
        collect(&task.to_json().unwrap_or_default(), &mut secrets);
    }
    // One may be a part of another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

fn collect(json: &Json, secrets: &mut Vec<String>) {
    match json {
        Json::Array(items) => items.iter().for_each(|item| collect(item, secrets)),
        Json::Object(members) => {
            let name = members.get("task").and_then(Json::as_str);
            let is_named = |spec: &&&TaskSpec| Some(spec.name) == name;
            if let Some(spec) = registry::tasks().iter().find(is_named) {
                for param in spec.params {
                    if param.kind == ParamKind::Secret {
                        secrets.extend(text(&members["params"][param.name]));
                    }
                }
            }
            members.values().for_each(|member| collect(member, secrets));
        }
        _ => {}
    }
}

fn text(secret: &Json) -> Option<String> {
    match secret {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
    .filter(|text| !text.is_empty())
}
