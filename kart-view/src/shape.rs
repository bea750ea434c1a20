//! What is told in JSON, by the command line's `--json` and by the service alike.

use std::time::{Duration, SystemTime};

use kart_core::{
    Counts, Failure, OutputState, ParamKind, ParamSpec, Plan, Planned, RequestCounts, RunSummary,
    Status, TaskInfo, TaskRecord, registry,
};
use serde_json::{Map, Value as Json, json};

/// A moment, in UTC, to the second.
#[must_use]
pub fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// The begin of a text: what is told again and again is not to be as long as a parameter may be.
#[must_use]
pub fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A task by its names.
#[must_use]
pub fn named(task: TaskInfo<'_>) -> Json {
    json!({
        "name": task.name(),
        "key": task.key().to_string(),
        "path": task.path(),
        "description": task.description(),
    })
}

/// A task that was asked for.
#[must_use]
pub fn root(task: TaskInfo<'_>) -> Json {
    json!({
        "description": task.description(),
        "key": task.key().to_string(),
        "path": task.path(),
    })
}

/// A task that failed.
#[must_use]
pub fn failure(task: TaskInfo<'_>, failure: &Failure) -> Json {
    json!({
        "name": task.name(),
        "key": task.key().to_string(),
        "path": task.path(),
        "params": task.params(),
        "description": failure.description,
        "attempts": failure.attempts,
        "permanent": failure.is_permanent(),
        "error": failure.chain(),
    })
}

/// What a run would do.
#[must_use]
pub fn plan(plan: &Plan, workspace: &str, workers: usize) -> Json {
    json!({
        "workspace": workspace,
        "tasks": plan.len(),
        "runs": plan.runs(),
        "complete": plan.count(Status::Complete),
        "estimate": Estimate::of(plan, workers).json(),
        "reruns": reruns(plan),
        "would_run": plan.tasks().filter(|task| task.need.runs()).map(planned).collect::<Vec<_>>(),
    })
}

/// The unfinished reruns of the roots of a plan.
#[must_use]
pub fn reruns(plan: &Plan) -> Vec<Json> {
    let reruns = plan.reruns().iter().map(|rerun| {
        json!({
            "tasks": rerun.tasks,
            "since": time(rerun.since),
            "made": rerun.made,
            "reached": rerun.reached,
        })
    });
    reruns.collect()
}

/// Every task, with the places of what it requires.
#[must_use]
pub fn graph(plan: &Plan) -> Json {
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
        "complete": plan.count(Status::Complete),
    })
}

/// A task of a plan.
#[must_use]
pub fn planned(planned: Planned<'_>) -> Json {
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

/// A need in a word.
#[must_use]
pub fn need(need: Status) -> &'static str {
    match need {
        Status::NotNeeded => "unasked",
        Status::Complete => "complete",
        Status::Missing => "missing",
        Status::OutOfDate => "out_of_date",
        Status::Torn => "torn",
        Status::RerunRequested => "asked",
        Status::CodeChanged => "code_changed",
        Status::Downstream => "downstream",
        Status::TypeChanged => "type_changed",
        _ => "other",
    }
}

/// What lies at the path of an output, in a word.
#[must_use]
pub fn output_state(state: &OutputState) -> &'static str {
    match state {
        OutputState::Missing => "missing",
        OutputState::Complete { .. } => "complete",
        OutputState::Unrecorded { .. } => "unrecorded",
        OutputState::Unfinished => "unfinished",
        OutputState::OtherKey { .. } => "other_key",
        OutputState::Torn { .. } => "torn",
        OutputState::Changed { .. } => "changed",
        _ => "other",
    }
}

/// How long what would run may take, by past durations.
#[derive(Debug)]
pub struct Estimate<'p> {
    /// All of it, one after the other.
    pub work: Duration,
    /// How many tasks the log knows.
    pub known: usize,
    /// How many it does not know.
    pub unknown: usize,
    /// The longest chain of tasks.
    pub path: Vec<Planned<'p>>,
    /// How long that takes.
    pub critical: Duration,
    /// How many bodies go on at once.
    pub workers: usize,
}

impl<'p> Estimate<'p> {
    /// The estimate of a plan.
    #[must_use]
    pub fn of(plan: &'p Plan, workers: usize) -> Self {
        let mut work = Duration::ZERO;
        let (mut known, mut unknown) = (0, 0);
        for planned in plan.tasks().filter(|planned| planned.need.runs()) {
            match planned.expected {
                Some(expected) => {
                    work += expected;
                    known += 1;
                }
                None => unknown += 1,
            }
        }
        let (path, critical) = if known > 0 {
            plan.critical_path()
        } else {
            (Vec::new(), Duration::ZERO)
        };
        Estimate {
            work,
            known,
            unknown,
            path,
            critical,
            workers,
        }
    }

    /// No schedule is shorter than the critical path, nor than the work shared out among the workers.
    #[must_use]
    pub fn whole(&self) -> Duration {
        let workers = u32::try_from(self.workers).unwrap_or(u32::MAX).max(1);
        self.critical.max(self.work / workers)
    }

    fn json(&self) -> Json {
        json!({
            "seconds": (self.known > 0).then(|| self.whole().as_secs_f64()),
            "workers": self.workers,
            "work_seconds": self.work.as_secs_f64(),
            "unknown": self.unknown,
            "critical_seconds": self.critical.as_secs_f64(),
            "critical_path": self.path.iter().map(|planned| planned.task.key().to_string()).collect::<Vec<_>>(),
        })
    }
}

/// A run that the log tells of.
#[must_use]
pub fn past_run(run: &RunSummary) -> Json {
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

/// A task that failed in a past run, by the line of its last attempt.
#[must_use]
pub fn past_failure(record: &TaskRecord) -> Json {
    json!({
        "name": record.task,
        "key": record.key.to_string(),
        "path": record.path,
        "params": record.params,
        "attempts": record.attempt,
        "error": record.error,
    })
}

/// An attempt of the past: the line of the log, and the run that it belongs to.
#[must_use]
pub fn attempt(record: &TaskRecord) -> Json {
    let mut json = serde_json::to_value(record).unwrap_or_default();
    if let (Json::Object(members), Some(run)) = (&mut json, record.run) {
        members.insert("run".to_owned(), run.to_string().into());
    }
    json
}

/// Whether a task of that name has secret parameters, or is not known to have none.
#[must_use]
pub fn may_hold_secrets(task: &str) -> bool {
    let tasks = registry::tasks();
    let spec = tasks.iter().find(|spec| spec.name == task);
    let is_secret = |param: &ParamSpec| param.kind == ParamKind::Secret;
    spec.is_none_or(|spec| spec.params.iter().any(is_secret))
}

/// How many requests of each kind there were since then, in the order in which they are told.
#[must_use]
pub fn requests_by_kind(now: RequestCounts, before: RequestCounts) -> [(&'static str, u64); 5] {
    [
        ("exists", now.exists - before.exists),
        ("read", now.read - before.read),
        ("write", now.write - before.write),
        ("delete", now.delete - before.delete),
        ("list", now.list - before.list),
    ]
}

/// The same as an object.
#[must_use]
pub fn requests(now: RequestCounts, before: RequestCounts) -> Map<String, Json> {
    let member = |(kind, count): (&str, u64)| (kind.to_owned(), count.into());
    let kinds = requests_by_kind(now, before);
    kinds.into_iter().map(member).collect()
}

/// A record's task with its parameters, as it is shown.
#[must_use]
pub fn described(record: &TaskRecord) -> String {
    let name = record.task.rsplit('/').next().unwrap_or(&record.task);
    let Json::Object(params) = &record.params else {
        return name.to_owned();
    };
    if params.is_empty() {
        return name.to_owned();
    }
    let params: Vec<_> = params
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    format!("{name} {{ {} }}", params.join(", "))
}
