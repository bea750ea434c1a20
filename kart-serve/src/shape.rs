//! What is told in JSON: the same shapes as the command line's `--json`.

use std::time::{Duration, SystemTime};

use kart_core::{
    AnyTask, Counts, Failure, Need, ParamKind, ParamSpec, Plan, Planned, RunSummary, TaskInfo,
    TaskRecord, registry,
};
use serde_json::{Value as Json, json};

/// A moment, in UTC, to the second.
pub(crate) fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// The begin of a text: what is told again and again is not to be as long as a parameter may be.
pub(crate) fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A task by its names.
pub(crate) fn named(task: TaskInfo<'_>) -> Json {
    json!({
        "name": task.name(),
        "key": task.key().to_string(),
        "path": task.path(),
        "description": task.description(),
    })
}

/// A task that was asked for.
pub(crate) fn root(task: TaskInfo<'_>) -> Json {
    json!({
        "description": task.description(),
        "key": task.key().to_string(),
        "path": task.path(),
    })
}

/// A task that failed.
pub(crate) fn failure(task: TaskInfo<'_>, failure: &Failure) -> Json {
    json!({
        "name": task.name(),
        "key": task.key().to_string(),
        "path": task.path(),
        "params": task.params(),
        "description": failure.description,
        "attempts": failure.attempts,
        "permanent": failure.is_permanent(),
        "error": redacted(&task.task(), &failure.chain()),
    })
}

/// A text without the secret parameters of a task: what an error says may quote them.
pub(crate) fn redacted(task: &AnyTask, text: &str) -> String {
    let secret = |kind: ParamKind| kind == ParamKind::Secret;
    let spec = task.spec();
    let mut text = text.to_owned();
    if !spec.params.iter().any(|param| secret(param.kind)) {
        return text;
    }
    let wire = task.to_json().unwrap_or_default();
    for param in spec.params.iter().filter(|param| secret(param.kind)) {
        let value = match &wire["params"][param.name] {
            Json::String(value) => value.clone(),
            Json::Null => continue,
            value => value.to_string(),
        };
        if !value.is_empty() {
            text = text.replace(&value, "***");
        }
    }
    text
}

/// What a run would do.
pub(crate) fn plan(plan: &Plan, workspace: &str, workers: usize) -> Json {
    json!({
        "workspace": workspace,
        "tasks": plan.len(),
        "runs": plan.runs(),
        "complete": plan.count(Need::Complete),
        "estimate": estimate(plan, workers),
        "would_run": plan.tasks().filter(|task| task.need.runs()).map(planned).collect::<Vec<_>>(),
    })
}

/// Every task, with the places of what it requires.
pub(crate) fn graph(plan: &Plan) -> Json {
    let tasks: Vec<Json> = plan
        .tasks()
        .map(|task| {
            let requires = task.task.requires();
            let requires: Vec<usize> = requires.iter().map(TaskInfo::index).collect();
            json!({"task": planned(task), "requires": requires})
        })
        .collect();
    json!({
        "roots": plan.roots().map(|root| root.task.index()).collect::<Vec<_>>(),
        "tasks": tasks,
        "complete": plan.count(Need::Complete),
    })
}

/// A task of a plan.
pub(crate) fn planned(planned: Planned<'_>) -> Json {
    json!({
        "name": planned.task.name(),
        "key": planned.task.key().to_string(),
        "path": planned.task.path(),
        "params": planned.task.params(),
        "description": planned.task.description(),
        "need": need(planned.need),
        "expected_seconds": planned.expected.map(|expected| expected.as_secs_f64()),
    })
}

fn need(need: Need) -> &'static str {
    match need {
        Need::Unasked => "unasked",
        Need::Complete => "complete",
        Need::Missing => "missing",
        Need::OutOfDate => "out_of_date",
        Need::Asked => "asked",
        Need::CodeChanged => "code_changed",
        Need::Downstream => "downstream",
        _ => "other",
    }
}

/// How long what would run may take, by past durations.
fn estimate(plan: &Plan, workers: usize) -> Json {
    let runs = || plan.tasks().filter(|task| task.need.runs());
    let known: Vec<Duration> = runs().filter_map(|task| task.expected).collect();
    let (path, critical) = if known.is_empty() {
        (Vec::new(), Duration::ZERO)
    } else {
        plan.critical_path()
    };
    let work: Duration = known.iter().sum();
    // No schedule is shorter than the critical path, nor than the work shared out among the workers.
    let whole = critical.max(work / u32::try_from(workers).unwrap_or(u32::MAX).max(1));
    json!({
        "seconds": (!known.is_empty()).then_some(whole.as_secs_f64()),
        "workers": workers,
        "work_seconds": work.as_secs_f64(),
        "unknown": runs().count() - known.len(),
        "critical_seconds": critical.as_secs_f64(),
        "critical_path": path.iter().map(|task| task.task.key().to_string()).collect::<Vec<_>>(),
    })
}

/// A run that the log tells of.
pub(crate) fn past_run(run: &RunSummary) -> Json {
    json!({
        "run": run.run.to_string(),
        "state": past_state(run),
        "root": run.root,
        "start": time(run.start),
        "end": run.end.map(time),
        "host": run.host,
        "pid": run.pid,
        "tasks": run.tasks,
        "missing": run.missing,
        "counts": run.counts,
    })
}

/// What went wrong in an attempt of the past. It may quote a secret parameter, which the log does not tell: then
/// nobody can take it out.
pub(crate) fn past_error(record: &TaskRecord) -> Option<String> {
    let error = record.error.clone()?;
    let tasks = registry::tasks();
    let spec = tasks.iter().find(|spec| spec.name == record.task);
    let is_secret = |param: &ParamSpec| param.kind == ParamKind::Secret;
    if spec.is_none_or(|spec| spec.params.iter().any(is_secret)) {
        return Some("*** (the task has secret parameters: what went wrong stands in the log of its process)".into());
    }
    Some(error)
}

/// How a past run ended; the log does not tell one that is under way elsewhere from one that was cut off.
fn past_state(run: &RunSummary) -> &'static str {
    match run.counts {
        None => "open",
        Some(Counts {
            interrupted, left, ..
        }) if interrupted + left > 0 => "interrupted",
        Some(Counts {
            failed, blocked, ..
        }) if failed + blocked > 0 => "failed",
        Some(_) => "complete",
    }
}
