//! `plan`: what would run, and why.

use std::fmt::Write as _;
use std::time::Duration;

use kart_core::{Need, Plan, Planned};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::out::{count, duration};
use crate::{End, Session, params};

/// How many tasks of one name are shown one by one.
const SHOWN: usize = 10;
/// How many tasks of the critical path are shown.
const STEPS: usize = 8;

pub(crate) async fn plan(session: &Session) -> Result<(), End> {
    let roots = params::roots(session)?;
    let plan = session.runner.plan_all(roots).await?;
    let estimate = Estimate::of(&plan, session.config.workers());
    if session.out.is_json {
        session.out.json(&json!({
            "workspace": session.workspace.location(),
            "tasks": plan.len(),
            "runs": plan.runs(),
            "complete": plan.count(Need::Complete),
            "estimate": estimate.json(),
            "would_run": plan.tasks().filter(|task| task.need.runs()).map(Task::of).collect::<Vec<_>>(),
        }));
        return Ok(());
    }
    let text = listed(&plan, session.parsed.flag("all"));
    session.out.text(&text);
    session.out.line(format!(
        "{} of {} tasks would run, {} complete, in {}",
        plan.runs(),
        plan.len(),
        plan.count(Need::Complete),
        session.workspace.location(),
    ));
    if let Some(text) = estimate.text() {
        session.out.line(text);
    }
    Ok(())
}

/// What would run, a line each; of many of one name only the first ones.
fn listed(plan: &Plan, all: bool) -> String {
    let mut shown: Vec<(&'static str, usize)> = Vec::new();
    let mut text = String::new();
    for planned in plan.tasks().filter(|planned| planned.need.runs()) {
        let name = planned.task.name();
        let at = shown.iter().position(|(other, _)| *other == name);
        let at = at.unwrap_or_else(|| {
            shown.push((name, 0));
            shown.len() - 1
        });
        shown[at].1 += 1;
        if all || shown[at].1 <= SHOWN {
            let _ = writeln!(
                text,
                "{:<20} {}",
                reason(&planned),
                planned.task.description()
            );
        }
    }
    for (name, total) in shown
        .into_iter()
        .filter(|(_, total)| !all && *total > SHOWN)
    {
        let _ = writeln!(text, "… and {} more {name}", count(total - SHOWN));
    }
    text
}

/// Why a task runs or not, in a word or two.
pub(super) fn reason(planned: &Planned<'_>) -> &'static str {
    match planned.need {
        Need::Missing => "missing",
        Need::OutOfDate => "out of date",
        Need::Asked => "asked for",
        Need::Downstream => "a requirement runs",
        Need::CodeChanged => "made by other code",
        Need::Unasked => "not asked for",
        _ => "complete",
    }
}

/// A task of a plan, as JSON.
#[derive(Serialize)]
pub(super) struct Task {
    name: &'static str,
    key: String,
    path: String,
    params: Map<String, Json>,
    description: String,
    need: &'static str,
    expected_seconds: Option<f64>,
}

impl Task {
    pub(super) fn of(planned: Planned<'_>) -> Self {
        Task {
            name: planned.task.name(),
            key: planned.task.key().to_string(),
            path: planned.task.path(),
            params: planned.task.params(),
            description: planned.task.description(),
            need: need(planned.need),
            expected_seconds: planned.expected.map(|expected| expected.as_secs_f64()),
        }
    }
}

/// A need as JSON names it.
pub(super) fn need(need: Need) -> &'static str {
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
struct Estimate<'p> {
    work: Duration,
    /// How many tasks the log does not know.
    unknown: usize,
    known: usize,
    path: Vec<Planned<'p>>,
    critical: Duration,
    workers: usize,
}

impl<'p> Estimate<'p> {
    fn of(plan: &'p Plan, workers: usize) -> Self {
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
            unknown,
            known,
            path,
            critical,
            workers,
        }
    }

    /// No schedule is shorter than the critical path, nor than the work shared out among the workers.
    fn whole(&self) -> Duration {
        let workers = u32::try_from(self.workers).unwrap_or(u32::MAX).max(1);
        self.critical.max(self.work / workers)
    }

    fn text(&self) -> Option<String> {
        if self.known == 0 {
            return None;
        }
        let unknown = match self.unknown {
            0 => String::new(),
            unknown => format!(", and {} tasks that never ran", count(unknown)),
        };
        let mut steps: Vec<String> = self
            .path
            .iter()
            .rev()
            .take(STEPS)
            .map(|planned| planned.task.description())
            .collect();
        steps.reverse();
        if self.path.len() > STEPS {
            steps.insert(0, format!("… {} more", self.path.len() - STEPS));
        }
        Some(format!(
            "about {} with {} workers{unknown}: {} of work; the longest chain takes {}:\n  {}",
            duration(self.whole()),
            self.workers,
            duration(self.work),
            duration(self.critical),
            steps.join("\n  → "),
        ))
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
