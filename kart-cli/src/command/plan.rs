//! `plan`: what would run, and why.

use std::fmt::Write as _;

use kart_core::{Plan, Planned, Status};
use kart_view::shape::{self, Estimate};

use crate::out::{count, duration, time};
use crate::{End, Session, params};

/// How many tasks of one name are shown one by one.
const SHOWN: usize = 10;
/// How many tasks of the critical path are shown.
const STEPS: usize = 8;

pub(crate) async fn plan(session: &Session) -> Result<(), End> {
    let roots = params::roots(session)?;
    let plan = session.runner.plan_all(roots).await?;
    let workers = session.config.workers();
    if session.out.is_json {
        let json = shape::plan(&plan, session.workspace.location(), workers);
        session.out.json(&json);
        return Ok(());
    }
    tell_reruns(session, &plan);
    let text = listed(&plan, session.parsed.flag("all"));
    session.out.text(&text);
    session.out.line(format!(
        "{} of {} tasks would run, {} complete, in {}",
        plan.runs(),
        plan.len(),
        plan.count(Status::Complete),
        session.workspace.location(),
    ));
    if let Some(text) = estimated(&Estimate::of(&plan, workers)) {
        session.out.line(text);
    }
    Ok(())
}

/// Names the unfinished reruns that a run would resume.
pub(super) fn tell_reruns(session: &Session, plan: &Plan) {
    for rerun in plan.reruns() {
        session.out.line(format!(
            "a rerun of {} is open since {}: {} of {} made; a run resumes it, and `run --abandon` drops it",
            rerun.tasks,
            time(rerun.since),
            count(rerun.made),
            count(rerun.reached),
        ));
    }
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
        Status::Missing => "missing",
        Status::OutOfDate => "out of date",
        Status::Torn => "torn",
        Status::RerunRequested => "asked for",
        Status::Downstream => "a requirement runs",
        Status::CodeChanged => "made by other code",
        Status::NotNeeded => "not asked for",
        _ => "complete",
    }
}

/// How long what would run may take, where the log knows any of it.
fn estimated(estimate: &Estimate<'_>) -> Option<String> {
    if estimate.known == 0 {
        return None;
    }
    let unknown = match estimate.unknown {
        0 => String::new(),
        unknown => format!(", and {} tasks that never ran", count(unknown)),
    };
    let mut steps: Vec<String> = estimate
        .path
        .iter()
        .rev()
        .take(STEPS)
        .map(|planned| planned.task.description())
        .collect();
    steps.reverse();
    if estimate.path.len() > STEPS {
        steps.insert(0, format!("… {} more", estimate.path.len() - STEPS));
    }
    Some(format!(
        "about {} with {} workers{unknown}: {} of work; the longest chain takes {}:\n  {}",
        duration(estimate.whole()),
        estimate.workers,
        duration(estimate.work),
        duration(estimate.critical),
        steps.join("\n  → "),
    ))
}
