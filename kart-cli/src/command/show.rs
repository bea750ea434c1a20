//! `show` and `cat`: all about one task, and its output.

use std::io::Write as _;

use kart_core::{
    AnyTask, Error, OutputState, Provenance, RecordedOutcome, Status, StoredOutput, TaskRecord,
};
use kart_view::shape::{self, described};
use serde_json::{Map, Value as Json, json};

use super::history::attempt;
use super::plan::reason;
use super::saved_state::Saved;
use crate::out::{Ink, brief, bytes, time};
use crate::target::{Target, consumers, target};
use crate::{End, FAILED, Session, params};

/// A larger output is not verified when it is shown.
const VERIFIED: u64 = 16 << 20;

/// How many requirements and consumers are shown.
const SHOWN: usize = 10;

pub(crate) async fn show(session: &Session) -> Result<(), End> {
    let target = target(session).await?;
    let records = session
        .workspace
        .records(|record| record.key == target.key)
        .await?;
    let state = looked_at(&target.output).await?;
    let (requires, consumers, planned) = around(session, &target).await?;
    let is_there = state.is_complete();
    let saved = Saved::of(session, target.key).await?;
    let out = &session.out;
    if out.is_json {
        out.json(&json!({
            "task": planned,
            "key": target.key.to_string(),
            "path": target.path,
            "location": session.workspace.display_url(&target.path),
            "state": shape::output_state(&state),
            "bytes": stored_bytes(&state),
            "made_by": state.provenance().map(|made| json!({"task": made.task, "key": made.key.to_string(), "run": made.run.map(|run| run.to_string()), "code": made.code, "bytes": made.bytes, "blake3": made.blake3()})),
            "requires": requires,
            "consumers": consumers,
            "saved": saved.json(),
            "attempts": records.iter().map(shape::attempt).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    let name = match (&target.task, records.first()) {
        (Some(task), _) => format!("{task:?}"),
        (None, Some(record)) => described(record),
        (None, None) => target.path.clone(),
    };
    out.line(out.ink(Ink::Bold, name));
    let line = |label: &str, text: &str| out.line(format!("  {label:<12} {text}"));
    if let Some(task) = &target.task {
        let spec = task.spec();
        if !spec.doc.is_empty() {
            line("", &brief(spec.doc));
        }
        line(
            "defined",
            &format!("{}:{}, version {}", spec.file, spec.line, spec.version),
        );
    }
    line("key", &target.key.to_string());
    let found = match &state {
        OutputState::Complete { bytes: size, .. } => bytes(*size),
        state => out.ink(Ink::Bad, state.to_string()),
    };
    line("output", &format!("{} ({found})", target.output.location()));
    if let Some(made) = state.provenance().filter(|_| is_there) {
        made_lines(made, &target, &records, &line);
    }
    for (at, text) in saved.lines().enumerate() {
        line(if at == 0 { "saved" } else { "" }, &text);
    }
    for (label, tasks) in [("requires", &requires), ("required by", &consumers)] {
        for (at, task) in tasks.iter().take(SHOWN).enumerate() {
            line(if at == 0 { label } else { "" }, task);
        }
        if tasks.len() > SHOWN {
            line("", &format!("… and {} more", tasks.len() - SHOWN));
        }
    }
    if !records.is_empty() {
        out.line(format!("  attempts     {}", records.len()));
        for record in records.iter().take(SHOWN) {
            out.line(format!(
                "    {}",
                attempt(session, record).replace('\n', "\n    ")
            ));
        }
    }
    Ok(())
}

/// What a task requires, and what requires it of all that the root comes to; each with its state.
async fn around(
    session: &Session,
    target: &Target,
) -> Result<(Vec<String>, Vec<String>, Option<Json>), End> {
    let Some(task) = &target.task else {
        return Ok((Vec::new(), Vec::new(), None));
    };
    // Asked for as to be made again, so that what it requires is looked for also where it is complete.
    let plan = session
        .runner
        .clone()
        .rerun(task.spec().name)
        .plan_all([task.clone()])
        .await?;
    let mut requires = Vec::new();
    let mut planned_task = None;
    if let Some(planned) = plan.find(target.key) {
        for required in planned.task.requires() {
            let below = plan.task(required.index());
            let state = if below.need == Status::Complete {
                String::new()
            } else {
                format!(" ({})", reason(&below))
            };
            requires.push(format!("{}{state}", below.task.description()));
        }
        planned_task = Some(shape::planned(planned));
    }
    let mut of = Vec::new();
    if let Ok(roots) = params::default_roots(session) {
        let whole = session.runner.plan_all(roots).await?;
        if let Some(planned) = whole.find(target.key) {
            let index = planned.task.index();
            of = consumers(&whole)[index]
                .iter()
                .map(|index| whole.task(*index).task.description())
                .collect();
            planned_task = Some(shape::planned(planned));
        }
    }
    Ok((requires, of, planned_task))
}

/// Who made an output, and what was written.
fn made_lines(
    made: &Provenance,
    target: &Target,
    records: &[TaskRecord],
    line: &impl Fn(&str, &str),
) {
    let record = records.iter().find(|record| {
        record.outcome == RecordedOutcome::Ran && record.run == made.run && made.run.is_some()
    });
    match (&made.code, made.run) {
        (Some(code), run) => {
            let is_other = |task: &AnyTask| task.spec().code != code;
            let other = if target.task.as_ref().is_some_and(is_other) {
                ", by other code than today's"
            } else {
                ""
            };
            match (record, run) {
                (Some(record), _) => {
                    let (at, worker) = (time(record.start), &record.worker);
                    line("made", &format!("{at} on {worker}{other}"));
                }
                (None, Some(run)) => line("made", &format!("by the run {run}{other}")),
                (None, None) => {}
            }
            line("code", code);
        }
        (None, Some(at)) => line("accepted", &time(at.time())),
        (None, None) => {}
    }
    if let Some(hash) = made.blake3() {
        line("blake3", &hash);
    }
}

/// What lies at the path of an output; a small one is verified.
async fn looked_at(output: &StoredOutput) -> Result<OutputState, End> {
    let state = output.state().await?;
    match state {
        OutputState::Complete { bytes, provenance } if bytes <= VERIFIED => {
            match output.verify().await {
                Err(Error::Mismatch { .. }) => Ok(OutputState::Changed { bytes, provenance }),
                verified => Ok(verified.map(|()| OutputState::Complete { bytes, provenance })?),
            }
        }
        state => Ok(state),
    }
}

pub(super) fn stored_bytes(state: &OutputState) -> Option<u64> {
    match state {
        OutputState::Complete { bytes, .. }
        | OutputState::Unrecorded { bytes }
        | OutputState::OtherKey { bytes, .. }
        | OutputState::Torn { bytes, .. }
        | OutputState::Changed { bytes, .. } => Some(*bytes),
        _ => None,
    }
}

/// Up to this size an output is verified before any of it is printed.
const VERIFIED_FIRST: u64 = 16 << 20;

pub(crate) async fn cat(session: &Session) -> Result<(), End> {
    let target = target(session).await?;
    let extension = target.path.rsplit('.').next().unwrap_or_default();
    let is_text = [
        "txt", "csv", "jsonl", "md", "html", "svg", "xml", "yaml", "toml", "log",
    ]
    .contains(&extension);
    let task = target
        .task
        .as_ref()
        .filter(|_| !session.parsed.flag("raw") && !is_text);
    let Some(task) = task else {
        if target.output.size().await? <= VERIFIED_FIRST {
            session.out.bytes(&target.output.bytes().await?);
            return Ok(());
        }
        let mut reader = target.output.reader().await?;
        let mut stdout = tokio::io::stdout();
        let copied = tokio::io::copy_buf(&mut reader, &mut stdout).await;
        return match copied.and(tokio::io::AsyncWriteExt::flush(&mut stdout).await) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(target.output.unread(error).into())
            }
            _ => Ok(()),
        };
    };
    let stored = target.output.bytes().await?;
    let shown = task.show(stored).map_err(|error| {
        let location = session.workspace.display_url(&target.path);
        End::new(
            FAILED,
            format!("error: failed to decode `{location}`: {error}\n--raw prints the stored bytes"),
        )
    })?;
    match shown {
        Some(Json::String(text)) => {
            let _ = writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n'));
        }
        Some(value) => session.out.json(&value),
        None => {
            return Err(End::wrong_use(format!(
                "the outputs of {} have neither `Serialize` nor `Debug`: --raw prints the stored bytes",
                task.spec().name
            )));
        }
    }
    Ok(())
}

/// The parameters of a record, as JSON.
pub(super) fn params_of(record: &TaskRecord) -> Map<String, Json> {
    match &record.params {
        Json::Object(params) => params.clone(),
        _ => Map::new(),
    }
}
