//! `run`: what is missing is run, and the summary says what came of it.

use std::path::Path;
use std::sync::Arc;

use kart_core::{Outcome, Report, RunError, Stop};
use serde_json::{Value as Json, json};
use tracing::Instrument as _;

use super::engine;
use crate::out::bytes;
use crate::params::command_of;
use crate::progress::Progress;
use crate::report::{self, Data, Recorder};
use crate::{End, FAILED, Session, params, signals};

/// How many failed tasks are told how to run again.
const SHOWN: usize = 20;

pub(crate) async fn run(session: &Session) -> Result<(), End> {
    let roots = params::roots(session)?;
    let file = session.parsed.get::<String>("report");
    let recorder = file.as_ref().map(|_| Arc::new(Recorder::new()));
    let stop = Stop::new();
    signals::listen(stop.clone());
    let watch = &session.watch;
    let progress = Arc::new(Progress::new(
        watch.log.look(),
        watch.log.is_colored(),
        watch.logged.events,
    ));
    let (shown, telemetry) = (Arc::clone(&progress), Arc::clone(&watch.telemetry));
    let listening = recorder.clone();
    let runner = engine::on_engine(session).await?;
    let runner = runner.stop(&stop).on_event(move |event| {
        if let Some(recorder) = &listening {
            recorder.take(event);
        }
        shown.event(event);
        telemetry.event(event);
    });
    let before = session.workspace.requests();
    // All attempts of a run are one trace.
    let name = session.parsed.task.name;
    let span = tracing::info_span!(target: "kart::run", "run", root = name);
    let result = runner.run_all(roots).instrument(span).await;
    progress.finish();
    let report = match &result {
        Ok(report) => Some(report),
        Err(error) => error.report(),
    };
    if let Some(report) = report {
        if session.out.is_json {
            session
                .out
                .json(&summary(session, report, result.as_ref().err(), before));
        } else if !session.out.is_quiet || result.is_err() {
            told(session, report, before, file.as_deref());
        }
        if let (Some(file), Some(recorder)) = (&file, &recorder) {
            let data = Data::of_run(session, report, &result, recorder, before);
            write(file, &report::page(&data))?;
        }
    }
    let Err(error) = result else { return Ok(()) };
    let again = match &error {
        RunError::Failed(report) | RunError::Interrupted(report) => again(session, report),
        _ => String::new(),
    };
    let mut end = End::from(error);
    if let Some(message) = &mut end.message {
        message.push_str(&again);
    }
    Err(end)
}

fn write(file: &str, page: &str) -> Result<(), End> {
    let made = Path::new(file)
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(file, page))
        .map_err(|error| {
            End::new(
                FAILED,
                format!("error: failed to write the report to {file}: {error}"),
            )
        })
}

/// How just the failed tasks are run again.
fn again(session: &Session, report: &Report) -> String {
    let failures = report.failures().take(SHOWN);
    let commands: Vec<String> = failures
        .map(|(failed, _)| {
            format!(
                "\n  {}",
                command_of(&session.parsed.program, &failed.task.task())
            )
        })
        .collect();
    if commands.is_empty() {
        return String::new();
    }
    format!("\nto run just what failed:{}", commands.concat())
}

/// How many bytes of outputs were written.
pub(crate) fn written(report: &Report) -> u64 {
    report
        .tasks()
        .map(|task| match task.outcome {
            Outcome::Ran(attempts) => attempts.bytes,
            _ => 0,
        })
        .sum()
}

fn told(session: &Session, report: &Report, before: kart_core::Requests, file: Option<&str>) {
    session.out.line(format!(
        "{} in {:.1?}; outputs in {}",
        report.counts(),
        report.elapsed(),
        session.workspace.location(),
    ));
    if report.counts().ran > 0 {
        let requests = report::since(session.workspace.requests(), before);
        let requests: Vec<String> = requests
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        session.out.line(format!(
            "{} written; requests: {}",
            bytes(written(report)),
            requests.join(", ")
        ));
    }
    if let Some(file) = file {
        session.out.line(format!("report in {file}"));
    }
}

fn summary(
    session: &Session,
    report: &Report,
    error: Option<&RunError>,
    before: kart_core::Requests,
) -> Json {
    let failures: Vec<Json> = report
        .failures()
        .map(|(failed, failure)| {
            json!({
                "name": failed.task.name(),
                "key": failed.task.key().to_string(),
                "path": failed.task.path(),
                "params": failed.task.params(),
                "description": failure.description,
                "attempts": failure.attempts,
                "error": failure.chain(),
                "again": command_of(&session.parsed.program, &failed.task.task()),
            })
        })
        .collect();
    let requests = report::since(session.workspace.requests(), before);
    json!({
        "state": report::state(error),
        "counts": report.counts(),
        "elapsed_seconds": report.elapsed().as_secs_f64(),
        "workspace": session.workspace.location(),
        "roots": report.roots().map(|root| json!({
            "description": root.task.description(),
            "key": root.task.key().to_string(),
            "path": root.task.path(),
        })).collect::<Vec<_>>(),
        "bytes": written(report),
        "requests": requests.iter().map(|(kind, count)| ((*kind).to_owned(), json!(count))).collect::<serde_json::Map<_, _>>(),
        "failures": failures,
    })
}
