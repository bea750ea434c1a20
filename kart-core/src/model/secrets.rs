//! What nobody is shown.

use serde_json::Value as Json;

use super::any::AnyTask;
use super::spec::ParamKind;
use super::wire;

impl AnyTask {
    /// The secret parameters of the task, and of the tasks that are its parameters, as they may stand in a text; the
    /// longest first.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = Vec::new();
        let hides = |kind: ParamKind| matches!(kind, ParamKind::Secret | ParamKind::Dependency);
        // Most tasks have neither, and are not written down for it.
        if self.spec().params.iter().any(|param| hides(param.kind)) {
            collect(&self.to_json().unwrap_or_default(), &mut secrets);
        }
        // One may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }

    /// A text with `***` for each of the task's [`secrets`](Self::secrets): what an error says may quote them.
    #[must_use]
    pub fn redacted(&self, text: &str) -> String {
        let hide = |text: String, secret: &String| text.replace(secret, "***");
        self.secrets().iter().fold(text.to_owned(), hide)
    }
}

fn collect(json: &Json, secrets: &mut Vec<String>) {
    match json {
        Json::Array(items) => items.iter().for_each(|item| collect(item, secrets)),
        Json::Object(members) => {
            let name = members.get("task").and_then(Json::as_str);
            if let Some(entry) = name.and_then(wire::registered) {
                let params = entry.spec.params.iter();
                for param in params.filter(|param| param.kind == ParamKind::Secret) {
                    secrets.extend(text(&members["params"][param.name]));
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
