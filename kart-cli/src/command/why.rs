//! `why`: why a task would run or not, against the last time it ran.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kart_core::{
    AnyTask, Key, OutputState, ParamKind, Plan, Planned, RecordedOutcome, Status, TaskInfo,
    TaskRecord,
};
use kart_view::shape::{self, described};
use serde_json::json;

use super::history::attempt;
use super::plan::tell_reruns;
use super::show::params_of;
use crate::out::{Ink, time};
use crate::target::target;
use crate::{End, Session};

pub(crate) async fn why(session: &Session) -> Result<(), End> {
    let target = target(session).await?;
    let Some(task) = &target.task else {
        return Err(End::wrong_use(format!(
            "only the run log knows `{}`, and it cannot be made from that: name the task and its parameters",
            target.path
        )));
    };
    let plan = session.runner.plan_all([task.clone()]).await?;
    let Some(planned) = plan.find(target.key) else {
        return Err(End::wrong_use(format!("{task:?} is not in its own plan")));
    };
    let mut records = session.workspace.records(|_| true).await?;
    let newest = records
        .iter()
        .find(|record| record.key == target.key)
        .cloned();
    records.retain(|record| record.outcome == RecordedOutcome::Ran);
    let last = last(task, &planned, &records);
    let differences = last.map(|record| differences(task, &planned, record, &plan, &records));
    let differences = differences.unwrap_or_default();
    let out = &session.out;
    if out.is_json {
        out.json(&json!({
            "task": shape::planned(planned),
            "would_run": planned.need.runs(),
            "reruns": shape::reruns(&plan),
            "last": last.map(shape::attempt),
            "differences": differences.iter().map(|(what, text)| json!({"what": what, "text": text})).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    out.line(out.ink(Ink::Bold, format!("{task:?}")));
    let state = target.output.state().await?;
    out.line(format!("  {}", verdict(session, &planned, &state)));
    tell_reruns(session, &plan);
    let runs = planned
        .task
        .requires()
        .into_iter()
        .filter(|required| plan.task(required.index()).need.runs())
        .count();
    if planned.need.runs() && runs > 0 {
        out.line(format!("  {runs} of what it requires would run first"));
    }
    match last {
        None => out.line("  the run log knows of no time that it ran"),
        Some(record) if record.key == target.key => {
            out.line(format!(
                "  it ran last at {}, with this key",
                time(record.start)
            ));
        }
        Some(record) => {
            out.line(format!(
                "  the nearest that ran is {} at {}, key {}",
                described(record),
                time(record.start),
                record.key
            ));
        }
    }
    for (_, text) in &differences {
        out.line(format!("  - {text}"));
    }
    if let Some(newest) = newest.filter(|record| record.outcome != RecordedOutcome::Ran) {
        out.line("  its last attempt came to nothing:");
        out.line(format!("    {}", attempt(session, &newest)));
    }
    if last.is_some() && differences.is_empty() && planned.need == Status::Missing {
        out.line("  nothing differs: the output was deleted since");
    }
    Ok(())
}

fn verdict(session: &Session, planned: &Planned<'_>, state: &OutputState) -> String {
    let location = session.workspace.display_url(&planned.task.path());
    let out = &session.out;
    match planned.need {
        Status::Complete if matches!(state, OutputState::Changed { .. }) => format!(
            "{}, and reading it fails: {location} is {state}; put it back, or see `accept` and `rm`",
            out.ink(Ink::Warn, "would not run")
        ),
        Status::Complete => format!(
            "{}: {location} is there",
            out.ink(Ink::Good, "would not run")
        ),
        Status::Missing => format!(
            "{}: {location} is not there",
            out.ink(Ink::Warn, "would run")
        ),
        Status::OutOfDate | Status::Torn => {
            format!("{}: {location} is {state}", out.ink(Ink::Warn, "would run"))
        }
        Status::RerunRequested => format!("{}: it was asked to", out.ink(Ink::Warn, "would run")),
        Status::CodeChanged => format!(
            "{}: other code made {location}",
            out.ink(Ink::Warn, "would run")
        ),
        Status::Downstream => format!(
            "{}: something that it requires runs",
            out.ink(Ink::Warn, "would run")
        ),
        _ => format!("{}: nothing needs it", out.ink(Ink::Good, "would not run")),
    }
}

/// The last time that it ran; where it never did the nearest: of one path, or of the fewest other parameters.
fn last<'r>(
    task: &AnyTask,
    planned: &Planned<'_>,
    records: &'r [TaskRecord],
) -> Option<&'r TaskRecord> {
    let key = planned.task.key();
    if let Some(record) = records.iter().find(|record| record.key == key) {
        return Some(record);
    }
    let path = planned.task.path();
    let params = planned.task.params();
    let alike = records
        .iter()
        .filter(|record| record.task == task.spec().name);
    alike.min_by_key(|record| {
        let theirs = params_of(record);
        let differing = params
            .iter()
            .filter(|(name, value)| theirs.get(*name) != Some(value))
            .count();
        (record.path != path, differing)
    })
}

/// What differs between a task and a time that it, or one like it, ran.
fn differences(
    task: &AnyTask,
    planned: &Planned<'_>,
    record: &TaskRecord,
    plan: &Plan,
    records: &[TaskRecord],
) -> Vec<(&'static str, String)> {
    let spec = task.spec();
    let mut found = Vec::new();
    let (ours, theirs) = (planned.task.params(), params_of(record));
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for name in names {
        match (theirs.get(name), ours.get(name)) {
            (Some(then), Some(now)) if then == now => {}
            (Some(then), Some(now)) => found.push((
                "parameter",
                format!("parameter `{name}`: now {now}, then {then}"),
            )),
            (None, Some(now)) => {
                found.push(("parameter", format!("parameter `{name}` is new: {now}")));
            }
            (Some(then), None) => found.push((
                "parameter",
                format!("parameter `{name}` is gone: it was {then}"),
            )),
            (None, None) => {}
        }
    }
    if record.version != spec.version {
        found.push((
            "version",
            format!("version: now {}, then {}", spec.version, record.version),
        ));
    }
    if record.code != spec.code {
        found.push((
            "code",
            format!("the code at {}:{} has changed since", spec.file, spec.line),
        ));
    }
    found.extend(requirements(planned, record, plan, records));
    let has_secret = spec
        .params
        .iter()
        .any(|param| param.kind == ParamKind::Secret);
    if found.is_empty() && has_secret && record.key != planned.task.key() {
        found.push((
            "parameter",
            "a secret parameter is another one now".to_owned(),
        ));
    }
    found
}

/// What it requires, by name, that are other tasks than then.
fn requirements(
    planned: &Planned<'_>,
    record: &TaskRecord,
    plan: &Plan,
    records: &[TaskRecord],
) -> Vec<(&'static str, String)> {
    let requires = planned.task.requires();
    if record.requires.len() < record.required {
        let (now, then) = (requires.len(), record.required);
        let text = format!("requires now {now} tasks, then {then}");
        return if now == then {
            Vec::new()
        } else {
            vec![("requirement", text)]
        };
    }
    let then: BTreeSet<Key> = record.requires.iter().copied().collect();
    let now: BTreeSet<Key> = requires.iter().map(TaskInfo::key).collect();
    let mut new: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for required in requires {
        if !then.contains(&required.key()) && seen.insert(required.key()) {
            let task = plan.task(required.index()).task;
            let of = new.entry(task.name().to_owned()).or_default();
            of.push(format!("{} [{}]", task.description(), task.key()));
        }
    }
    let known: HashMap<Key, &TaskRecord> =
        records.iter().map(|record| (record.key, record)).collect();
    let mut old: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in record.requires.iter().filter(|key| !now.contains(*key)) {
        match known.get(key) {
            Some(record) => old
                .entry(record.task.clone())
                .or_default()
                .push(format!("{} [{key}]", described(record))),
            None => old
                .entry(String::new())
                .or_default()
                .push(format!("another task [{key}]")),
        }
    }
    let mut upstream = BTreeSet::new();
    let names: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let pair = |name: &&String| {
        let such = |of: &BTreeMap<String, Vec<String>>| match of.get(*name).map(Vec::as_slice) {
            None | Some([]) => None,
            Some([one]) => Some(one.clone()),
            Some(many) => Some(format!("{} such as {}", many.len(), many[0])),
        };
        let text = match (such(&new), such(&old)) {
            (Some(new), Some(old)) => format!("requires now {new}\n    and required then {old}"),
            (Some(new), None) => format!("requires {new}, and did not then"),
            (None, old) => format!("required {} then", old.unwrap_or_default()),
        };
        ("requirement", text)
    };
    let mut found: Vec<_> = names.iter().map(pair).collect();
    for required in planned.task.requires() {
        let spec = required.spec();
        let was = record
            .requires
            .iter()
            .filter_map(|key| known.get(key))
            .find(|was| was.task == spec.name);
        let Some(was) = was.filter(|_| upstream.insert(spec.name)) else {
            continue;
        };
        if was.version != spec.version {
            found.push((
                "requirement",
                format!(
                    "{}: version now {}, then {}",
                    spec.name, spec.version, was.version
                ),
            ));
        } else if was.code != spec.code {
            found.push((
                "requirement",
                format!(
                    "{}: the code at {}:{} has changed since",
                    spec.name, spec.file, spec.line
                ),
            ));
        }
    }
    found
}
