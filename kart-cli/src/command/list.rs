//! `list`: the tasks of the program.

use kart_core::{ParamKind, TaskSpec, registry};
use serde_json::json;

use crate::End;
use crate::args::{Parsed, option_of};
use crate::out::{Ink, Out, brief};

pub(crate) fn list(parsed: &Parsed, root: &'static TaskSpec, out: &Out) -> Result<(), End> {
    let tasks = registry::tasks();
    if out.is_json {
        let tasks: Vec<_> = tasks.iter().map(|spec| described(spec)).collect();
        out.json(&json!({"root": root.name, "tasks": tasks}));
        return Ok(());
    }
    for spec in &tasks {
        let note = match (std::ptr::eq(*spec, root), spec.external) {
            (true, _) => " (the default)",
            (_, true) => " (made by something else)",
            _ => "",
        };
        out.line(format!("{}{note}", out.ink(Ink::Bold, spec.name)));
        if !spec.doc.is_empty() {
            out.line(format!("    {}", brief(spec.doc)));
        }
        for param in spec.params {
            let default = match (param.kind, param.default) {
                (ParamKind::Secret, _) => " (secret)".to_owned(),
                (_, Some(default)) => format!(" [default: {default}]"),
                _ => String::new(),
            };
            let option = format!("{} <{}>", option_of(param.name), param.ty);
            let doc = brief(param.doc);
            out.line(format!("    {option:<28} {doc}{default}").trim_end());
        }
    }
    if !out.is_quiet {
        out.line(out.ink(
            Ink::Dim,
            format!("\n`{} run TASK --help` tells more", parsed.program),
        ));
    }
    Ok(())
}

/// All that is known of a task apart from its parameters' values.
fn described(spec: &TaskSpec) -> serde_json::Value {
    let params: Vec<_> = spec
        .params
        .iter()
        .map(|param| {
            json!({
                "name": param.name,
                "type": param.ty,
                "doc": param.doc,
                "kind": match param.kind {
                    ParamKind::Significant => "significant",
                    ParamKind::Insignificant => "insignificant",
                    ParamKind::Secret => "secret",
                    ParamKind::Dependency => "dependency",
                },
                "default": param.default.map(|default| if param.kind == ParamKind::Secret { "***" } else { default }),
            })
        })
        .collect();
    json!({
        "name": spec.name,
        "doc": spec.doc,
        "version": spec.version,
        "external": spec.external,
        "params": params,
        "retries": spec.retries,
        "timeout_seconds": spec.timeout.map(|timeout| timeout.as_secs_f64()),
        "priority": spec.priority,
        "uses": spec.uses.iter().map(|(name, units)| (name.to_string(), json!(units))).collect::<serde_json::Map<_, _>>(),
        "file": spec.file,
        "line": spec.line,
        "code": spec.code,
    })
}
