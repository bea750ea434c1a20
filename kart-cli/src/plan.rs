//! `plan`: what would run, and why.

use kart_core::{Need, Runner, Task, Workspace};

use crate::End;
use crate::print;
use crate::run::end;

/// How many tasks of one name are shown one by one.
const SHOWN: usize = 10;

pub(crate) async fn plan<T: Task>(
    root: T,
    workspace: &Workspace,
    runner: Runner,
) -> Result<(), End> {
    let plan = runner.plan(root).await.map_err(|error| end(&error))?;
    let mut shown: Vec<(&'static str, usize)> = Vec::new();
    for task in plan.tasks().filter(|task| task.need.runs()) {
        let at = shown.iter().position(|(name, _)| *name == task.task.name());
        let at = at.unwrap_or_else(|| {
            shown.push((task.task.name(), 0));
            shown.len() - 1
        });
        shown[at].1 += 1;
        if shown[at].1 <= SHOWN {
            print::line(&format!(
                "{:<12} {}",
                reason(task.need),
                task.task.description()
            ));
        }
    }
    for (name, count) in shown.into_iter().filter(|(_, count)| *count > SHOWN) {
        print::line(&format!("… and {} more {name}", count - SHOWN));
    }
    print::line(&format!(
        "{} of {} tasks would run, {} complete, in {}",
        plan.runs(),
        plan.len(),
        plan.count(Need::Complete),
        workspace.location(),
    ));
    Ok(())
}

fn reason(need: Need) -> &'static str {
    match need {
        Need::Missing => "missing",
        Need::OutOfDate => "out of date",
        Need::Asked => "asked for",
        Need::Downstream => "downstream",
        _ => "complete",
    }
}
