//! How a run ended, and what is answered to those who waited for it.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use kart_core::{Counts, Outcome, Report, RequestCounts, RunError};
use kart_view::shape;
use serde_json::{Value as Json, json};

/// How many failures are told, and how many tasks that are left.
const MOST_TOLD: usize = 100;

/// How long to wait before what was interrupted is asked for again.
const AT_ONCE: u64 = 1;
/// And before what another process has, or a workspace that does not answer.
const LATER: u64 = 10;

/// How a run ended. It holds what is told of it, and not the graph.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) state: &'static str,
    pub(crate) at: SystemTime,
    elapsed: Duration,
    counts: Option<Counts>,
    bytes: u64,
    roots: Vec<Json>,
    failures: Vec<Json>,
    /// Whether no further run could mend what went wrong.
    is_permanent: bool,
    left: Vec<Json>,
    error: Option<String>,
    owner: Option<Json>,
    /// What had been asked of the store when it ended.
    pub(super) requests: Option<RequestCounts>,
    /// The name of what goes on with it.
    successor: Option<String>,
}

/// What is answered to who waited.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<u64>,
    /// What went wrong, and what to do about it.
    pub(crate) error: Option<(String, &'static str)>,
}

impl Ended {
    pub(super) fn of(result: Result<Report, RunError>, elapsed: Duration) -> Self {
        let (report, error) = match result {
            Ok(report) => (Some(report), None),
            Err(error) => (None, Some(error)),
        };
        let report = report
            .as_ref()
            .or(error.as_ref().and_then(RunError::report));
        let mut ended = Ended {
            state: state(error.as_ref()),
            at: SystemTime::now(),
            elapsed,
            counts: None,
            bytes: 0,
            roots: Vec::new(),
            failures: Vec::new(),
            is_permanent: matches!(
                error,
                Some(RunError::Plan(_) | RunError::Resources(_) | RunError::Settings(_))
            ),
            left: Vec::new(),
            error: error.as_ref().map(|error| match error {
                RunError::Failed(_) | RunError::Interrupted(_) => error.to_string(),
                error => format!("{error:#}"),
            }),
            owner: None,
            requests: None,
            successor: None,
        };
        if let Some(RunError::AlreadyRunning(owner)) = &error {
            ended.owner = Some(json!({
                "host": owner.host,
                "pid": owner.pid,
                "run": owner.run,
                "since": shape::time(owner.since),
                "what": owner.what,
            }));
        }
        if let Some(report) = report {
            ended.take(report);
        }
        ended
    }

    /// The runtime lost the run, as it does when a handler of events panics in a way that nobody caught.
    pub(super) fn lost(reason: String, elapsed: Duration) -> Self {
        Ended::of(Err(RunError::Runtime(reason.into())), elapsed)
    }

    fn take(&mut self, report: &Report) {
        self.counts = Some(report.counts());
        self.elapsed = report.elapsed();
        self.roots = report.roots().map(|root| shape::root(root.task)).collect();
        let failures = report.failures();
        let told = failures.take(MOST_TOLD);
        self.failures = told
            .map(|(task, failure)| shape::failure(task.task, failure))
            .collect();
        if self.state == "failed" {
            self.is_permanent = report.failures().all(|(_, failure)| failure.is_permanent());
        }
        for task in report.tasks() {
            match task.outcome {
                Outcome::Ran(attempts) => self.bytes += attempts.bytes,
                Outcome::NotRun | Outcome::Interrupted(_) if self.left.len() < MOST_TOLD => {
                    self.left.push(shape::named(task.task));
                }
                _ => {}
            }
        }
    }

    pub(super) fn counts(&self) -> Option<Counts> {
        self.counts
    }

    /// Something else goes on with it, so that nothing is wrong with its having been interrupted.
    pub(super) fn handed_on(&mut self, successor: &str) {
        self.successor = Some(successor.to_owned());
        self.error = None;
    }

    /// Nothing else goes on with it.
    pub(super) fn not_handed_on(&mut self, reason: &str) {
        let error = self.error.take().unwrap_or_default();
        self.error = Some(format!("{error}; it was not handed on: {reason}"));
    }

    /// Whether there is something left that another run would do.
    pub(super) fn has_left(&self) -> bool {
        matches!(self.state, "interrupted" | "busy") && self.successor.is_none()
    }

    pub(super) fn fill(&self, json: &mut Json) {
        json["state"] = self.state.into();
        json["end"] = shape::time(self.at).into();
        json["elapsed_seconds"] = self.elapsed.as_secs_f64().into();
        json["roots"] = self.roots.clone().into();
        json["left"] = self.left.clone().into();
        json["running"] = json!([]);
        json["under_way"] = 0.into();
        if let Some(counts) = self.counts {
            json["counts"] = json!(counts);
            json["bytes"] = self.bytes.into();
            json["failures"] = self.failures.clone().into();
        }
        if let Some(error) = &self.error {
            json["error"] = error.clone().into();
        }
        if let Some(owner) = &self.owner {
            json["owner"] = owner.clone();
        }
        if let Some(successor) = &self.successor {
            json["handed_on"] = true.into();
            json["successor"] = successor.clone().into();
        }
    }

    /// What is answered; a queue has other habits than other callers.
    pub(crate) fn verdict(&self, is_queue: bool, ack_permanent: bool) -> Verdict {
        let error = self.error.clone().unwrap_or_default();
        let verdict = |status, retry_after, hint| Verdict {
            status,
            retry_after,
            error: Some((error.clone(), hint)),
        };
        let fine = Verdict {
            status: StatusCode::OK,
            retry_after: None,
            error: None,
        };
        match self.state {
            "complete" => fine,
            "interrupted" if self.successor.is_some() => fine,
            "interrupted" => verdict(
                StatusCode::SERVICE_UNAVAILABLE,
                Some(AT_ONCE),
                "ask for it again: what is complete is not made again",
            ),
            "busy" if is_queue => verdict(
                StatusCode::SERVICE_UNAVAILABLE,
                Some(LATER),
                "another process has it: ask again later",
            ),
            "busy" => verdict(
                StatusCode::CONFLICT,
                Some(LATER),
                "another process has it: ask again later",
            ),
            "unavailable" => verdict(
                StatusCode::SERVICE_UNAVAILABLE,
                Some(LATER),
                "the workspace did not answer: ask again later",
            ),
            _ if self.is_permanent && ack_permanent => Verdict {
                status: StatusCode::OK,
                ..verdict(
                    StatusCode::OK,
                    None,
                    "no retry can mend it: mend the task or its input",
                )
            },
            _ if self.is_permanent => verdict(
                StatusCode::INTERNAL_SERVER_ERROR,
                None,
                "no retry can mend it: mend the task or its input",
            ),
            _ => verdict(
                StatusCode::INTERNAL_SERVER_ERROR,
                None,
                "the failures say what went wrong; to ask again may help",
            ),
        }
    }
}

fn state(error: Option<&RunError>) -> &'static str {
    match error {
        None => "complete",
        Some(RunError::Interrupted(_) | RunError::Runtime(_)) => "interrupted",
        Some(RunError::AlreadyRunning(_)) => "busy",
        Some(RunError::Store(_)) => "unavailable",
        Some(RunError::Plan(_) | RunError::Resources(_) | RunError::Settings(_)) => "refused",
        Some(_) => "failed",
    }
}
