//! `show` and `cat`: all about one task, and its output.

use std::io::Write as _;

use kart_core::{RecordedOutcome, Status};
use kart_view::shape::{self, described};
use serde_json::{Map, Value as Json, json};

use super::history::attempt;
use super::plan::reason;
use super::saved_state::Saved;
use crate::out::{Ink, brief, bytes, time};
use crate::target::{Target, consumers, no_output, target};
use crate::{End, FAILED, Session, params};

/// How many requirements and consumers are shown.
const SHOWN: usize = 10;

pub(crate) async fn show(session: &Session) -> Result<(), End> {
    let target = target(session).await?;
    let records = session
        .workspace
        .records(|record| record.key == target.key)
        .await?;
    let entry = session.workspace.size(&target.path).await?;
    let (requires, consumers, planned) = around(session, &target).await?;
    let made = records
        .iter()
        .find(|record| record.outcome == RecordedOutcome::Ran);
    let saved = Saved::of(session, target.key).await?;
    let out = &session.out;
    if out.is_json {
        out.json(&json!({
            "task": planned,
            "key": target.key.to_string(),
            "path": target.path,
            "location": session.workspace.display_url(&target.path),
            "bytes": entry,
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
    let size = entry.map_or_else(|| out.ink(Ink::Bad, "not there"), bytes);
    line(
        "output",
        &format!("{} ({size})", session.workspace.display_url(&target.path)),
    );
    if let Some(record) = made {
        let other = target
            .task
            .as_ref()
            .is_some_and(|task| task.spec().code != record.code);
        let other = if other {
            ", by other code than today's"
        } else {
            ""
        };
        line(
            "made",
            &format!("{} on {}{other}", time(record.start), record.worker),
        );
        line("code", &record.code);
        if let Some(hash) = &record.blake3 {
            line("blake3", hash);
        }
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

pub(crate) async fn cat(session: &Session) -> Result<(), End> {
    let target = target(session).await?;
    let Some(mut reader) = session.workspace.reader(&target.path).await? else {
        return Err(no_output(session, &target));
    };
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
        let mut stdout = tokio::io::stdout();
        let copied = tokio::io::copy_buf(&mut reader, &mut stdout).await;
        return match copied.and(tokio::io::AsyncWriteExt::flush(&mut stdout).await) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(End::new(
                FAILED,
                format!(
                    "error: failed to read `{}`: {error}",
                    session.workspace.display_url(&target.path)
                ),
            )),
            _ => Ok(()),
        };
    };
    let Some(stored) = session.workspace.read(&target.path).await? else {
        return Err(no_output(session, &target));
    };
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
pub(super) fn params_of(record: &kart_core::TaskRecord) -> Map<String, Json> {
    match &record.params {
        Json::Object(params) => params.clone(),
        _ => Map::new(),
    }
}
