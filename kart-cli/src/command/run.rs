//! `run`: what is missing is run, and the summary says what came of it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kart_core::{AnyTask, Outcome, Report, RunError, Runner, StopToken};
use kart_view::{Recorder, shape};
use serde_json::{Value as Json, json};
use tracing::Instrument as _;

use super::engine;
use crate::out::bytes;
use crate::params::command_of;
use crate::progress::Progress;
use crate::report::{self, Data};
use crate::{End, FAILED, Session, params, signals};

/// How many failed tasks are told how to run again.
const SHOWN: usize = 20;

pub(crate) async fn run(session: &Session) -> Result<(), End> {
    let roots = params::roots(session)?;
    if engine::detach(session, &roots).await? {
        return Ok(());
    }
    let file = session.parsed.get::<String>("report");
    if let Some(file) = &file {
        can_write(file)?;
    }
    let recorder = file.as_ref().map(|_| Arc::new(Recorder::default()));
    let stop = StopToken::new();
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
    let result = run_when_free(session, runner, roots).instrument(span).await;
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
        RunError::Interrupted(report) if session.config.is_on_engine => {
            again(session, report) + GOES_ON
        }
        RunError::Failed(report) | RunError::Interrupted(report) => again(session, report),
        _ => String::new(),
    };
    let mut end = End::from(error);
    if let Some(message) = &mut end.message {
        message.push_str(&again);
    }
    Err(end)
}

/// What became of the attempts of a run on an engine that was interrupted.
const GOES_ON: &str =
    "\nwhat was ordered goes on at the workers; the same command, given again, finds it there";

/// Runs at once, or says for whom it waits.
async fn run_when_free(
    session: &Session,
    runner: Runner,
    roots: Vec<AnyTask>,
) -> Result<Report, RunError> {
    let wait = session.config.duration("wait").unwrap_or_default();
    if wait.is_zero() || session.out.is_quiet {
        return runner.run_all(roots).await;
    }
    let at_once = runner.clone().wait(Duration::ZERO);
    match at_once.run_all(roots.clone()).await {
        Err(RunError::AlreadyRunning(owner)) => {
            let wait = humantime::format_duration(wait);
            session
                .watch
                .note(&format!("waiting for up to {wait}: {owner}"));
            runner.run_all(roots).await
        }
        result => result,
    }
}

/// Finds out before anything runs that a report has no place.
fn can_write(file: &str) -> Result<(), End> {
    let is_new = !Path::new(file).exists();
    let mut open = OpenOptions::new();
    open.append(true).create(true);
    let opened = make_room(file).and_then(|()| open.open(file));
    opened
        .and_then(|_| {
            if is_new {
                fs::remove_file(file)
            } else {
                Ok(())
            }
        })
        .map_err(|error| End::wrong_use(unwritten(file, &error)))
}

fn write(file: &str, page: &str) -> Result<(), End> {
    make_room(file)
        .and_then(|()| fs::write(file, page))
        .map_err(|error| End::new(FAILED, format!("error: {}", unwritten(file, &error))))
}

fn make_room(file: &str) -> io::Result<()> {
    let directory = Path::new(file).parent();
    directory.map_or(Ok(()), fs::create_dir_all)
}

fn unwritten(file: &str, error: &io::Error) -> String {
    format!("failed to write the report to {file}: {error}")
}

/// How just the failed tasks are run again.
fn again(session: &Session, report: &Report) -> String {
    let failures = report.failures().take(SHOWN);
    let commands: Vec<String> = failures
        .map(|(failed, _)| format!("\n  {}", command_of(&session.parsed, &failed.task.task())))
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

fn told(session: &Session, report: &Report, before: kart_core::RequestCounts, file: Option<&str>) {
    session.out.line(format!(
        "{} in {:.1?}; outputs in {}",
        report.counts(),
        report.elapsed(),
        session.workspace.location(),
    ));
    if report.counts().ran > 0 {
        let requests = shape::requests_by_kind(session.workspace.requests(), before);
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
    before: kart_core::RequestCounts,
) -> Json {
    let failures: Vec<Json> = report
        .failures()
        .map(|(failed, failure)| {
            let mut json = shape::failure(failed.task, failure);
            json["again"] = command_of(&session.parsed, &failed.task.task()).into();
            json
        })
        .collect();
    json!({
        "state": report::state(error),
        "counts": report.counts(),
        "elapsed_seconds": report.elapsed().as_secs_f64(),
        "workspace": session.workspace.location(),
        "roots": report.roots().map(|root| shape::root(root.task)).collect::<Vec<_>>(),
        "bytes": written(report),
        "requests": shape::requests(session.workspace.requests(), before),
        "failures": failures,
    })
}
