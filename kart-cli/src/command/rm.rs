//! `rm`: outputs and what their tasks have saved are deleted, so that they are made again.

use std::collections::BTreeSet;

use kart_core::{AnyTask, OutputState, StoredOutput};
use serde_json::json;

use super::saved_state;
use crate::ask::ask;
use crate::out::plural;
use crate::target::{consumers, target};
use crate::{End, Session, params};

/// How many outputs are named before it is asked.
const SHOWN: usize = 20;

pub(crate) async fn rm(session: &Session) -> Result<(), End> {
    let named = if session.parsed.get::<String>("target").is_some() {
        let target = target(session).await?;
        let Some(task) = target.task else {
            return Err(End::wrong_use(format!(
                "only the run log knows `{}`: `gc` finds what no task needs",
                target.path
            )));
        };
        vec![task]
    } else {
        params::roots(session)?
    };
    let tasks = if session.parsed.flag("downstream") {
        downstream(session, named).await?
    } else {
        named
    };
    let saved = saved_state::of_tasks(session, &tasks).await?;
    let own = tasks.iter().filter(|task| !task.spec().external);
    let outputs = own.map(|task| task.stored(&session.workspace));
    let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
    let states = StoredOutput::states(&outputs).await?;
    let mut there = Vec::new();
    let mut others = 0;
    for (output, state) in outputs.into_iter().zip(states) {
        match state {
            OutputState::Missing => {}
            OutputState::OtherKey { .. } if session.out.is_json => {}
            OutputState::OtherKey { .. } => {
                others += 1;
                session
                    .out
                    .line(format!("{} stays: {state}", output.path()));
            }
            _ => there.push(output),
        }
    }
    if there.is_empty() && saved.is_empty() {
        if session.out.is_json {
            session.out.json(&json!({"deleted": [], "saved_state": 0}));
        } else {
            session.out.line(if others == 0 {
                "there is no such output: nothing to delete"
            } else {
                "nothing to delete: name the task that made it, with its parameters"
            });
        }
        return Ok(());
    }
    if !session.out.is_json {
        for output in there.iter().take(SHOWN) {
            session.out.line(output.path());
        }
        if there.len() > SHOWN {
            session
                .out
                .line(format!("… and {} more", there.len() - SHOWN));
        }
    }
    let outputs = format!("{} output{}", there.len(), plural(there.len()));
    let what = match (there.is_empty(), saved.is_empty()) {
        (_, true) => outputs,
        (true, false) => saved_state::described(&saved),
        (false, false) => format!("{outputs}, and {}", saved_state::described(&saved)),
    };
    let location = session.workspace.location();
    ask(session, &format!("Delete {what} in {location}?"))?;
    for output in &there {
        output.remove().await?;
    }
    saved_state::remove(session, &saved).await?;
    if session.out.is_json {
        let paths: Vec<_> = there.iter().map(StoredOutput::path).collect();
        session
            .out
            .json(&json!({"deleted": paths, "saved_state": saved.len()}));
    } else {
        session.out.line(format!("deleted {what}"));
    }
    Ok(())
}

/// These tasks, and all of what the roots come to that depends on them.
async fn downstream(session: &Session, named: Vec<AnyTask>) -> Result<Vec<AnyTask>, End> {
    let roots = params::all_roots(session)?;
    let plan = session.runner.plan_all(roots).await?;
    let consumers = consumers(&plan);
    let mut reached = BTreeSet::new();
    let mut open = Vec::new();
    for task in &named {
        let Some(planned) = plan.find(task.try_key()?) else {
            return Err(End::wrong_use(format!(
                "{} does not require {task:?}, so it is not known what depends on it: name a task that does by --root",
                session.root.name
            )));
        };
        open.push(planned.task.index());
    }
    while let Some(index) = open.pop() {
        if reached.insert(index) {
            open.extend(&consumers[index]);
        }
    }
    Ok(reached
        .into_iter()
        .map(|index| plan.task(index).task.task())
        .collect())
}
