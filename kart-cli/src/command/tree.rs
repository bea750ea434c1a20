//! `tree`: a task and all that it requires, with what is complete.

use std::collections::{BTreeMap, HashSet};

use kart_core::{Plan, Planned, Status, TaskInfo};
use kart_view::shape;
use serde_json::{Value as Json, json};

use crate::out::{Ink, Out, count};
use crate::{End, Session, params};

/// How much of a plan is shown.
#[derive(Clone, Copy)]
struct Limits {
    depth: usize,
    width: usize,
    lines: usize,
}

pub(crate) async fn tree(session: &Session) -> Result<(), End> {
    let roots = params::roots(session)?;
    let plan = session.runner.plan_all(roots).await?;
    let plan = plan.look(&session.workspace).await?;
    let limit = |id: &str, default: u32| session.parsed.get::<u32>(id).unwrap_or(default) as usize;
    let limits = Limits {
        depth: limit("depth", 12),
        width: limit("width", 10),
        lines: limit("lines", 200),
    };
    if session.out.is_json {
        let tasks: Vec<Json> = plan
            .tasks()
            .map(|planned| {
                let requires = planned.task.requires();
                let requires: Vec<_> = requires
                    .iter()
                    .map(|required| required.key().to_string())
                    .collect();
                json!({"task": shape::planned(planned), "requires": requires})
            })
            .collect();
        session.out.json(&json!({
            "roots": plan.roots().map(|root| root.task.key().to_string()).collect::<Vec<_>>(),
            "tasks": tasks,
        }));
        return Ok(());
    }
    let mut tree = Tree {
        plan: &plan,
        out: &session.out,
        limits,
        shown: HashSet::new(),
        text: String::new(),
        lines: 0,
    };
    let roots: Vec<Planned<'_>> = plan.roots().collect();
    for root in roots.iter().take(limits.width) {
        tree.walk(*root);
    }
    if roots.len() > limits.width {
        tree.line(&format!(
            "… and {} more roots",
            count(roots.len() - limits.width)
        ));
    }
    session.out.text(&tree.text);
    session.out.line(summary(&plan));
    Ok(())
}

/// `9,970 missing, 3 complete of 9,973`, in the order of the needs.
pub(super) fn summary(plan: &Plan) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for planned in plan.tasks() {
        *counts.entry(shape::need(planned.need)).or_default() += 1;
    }
    let counts: Vec<_> = counts
        .into_iter()
        .map(|(need, tasks)| format!("{} {}", count(tasks), need.replace('_', " ")))
        .collect();
    format!("{} tasks: {}", count(plan.len()), counts.join(", "))
}

struct Tree<'p> {
    plan: &'p Plan,
    out: &'p Out,
    limits: Limits,
    /// What was shown with all that it requires.
    shown: HashSet<usize>,
    text: String,
    lines: usize,
}

/// A line that is still to be written.
enum Step<'p> {
    Task {
        task: TaskInfo<'p>,
        depth: usize,
        branch: String,
        stem: String,
    },
    Note {
        text: String,
        branch: String,
    },
}

impl<'p> Tree<'p> {
    fn line(&mut self, text: &str) {
        self.lines += 1;
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// Writes a task and what it requires; keeps its own stack, so that no chain is too long for it.
    fn walk(&mut self, root: Planned<'p>) {
        let mut stack = vec![Step::Task {
            task: root.task,
            depth: 0,
            branch: String::new(),
            stem: String::new(),
        }];
        while let Some(step) = stack.pop() {
            if self.lines >= self.limits.lines {
                self.line(&self.out.ink(Ink::Dim, "… and more: --lines N shows more"));
                return;
            }
            match step {
                Step::Note { text, branch } => {
                    let text = self.out.ink(Ink::Dim, text);
                    self.line(&format!("{branch}{text}"));
                }
                Step::Task {
                    task,
                    depth,
                    branch,
                    stem,
                } => {
                    let requires = task.requires();
                    let is_again = !requires.is_empty() && !self.shown.insert(task.index());
                    let again = if is_again { " (see above)" } else { "" };
                    let planned = self.plan.task(task.index());
                    let (mark, ink) = mark(planned.need);
                    let mark = self.out.ink(ink, mark);
                    self.line(&format!("{branch}{mark} {}{again}", task.description()));
                    if !is_again {
                        self.push_below(&mut stack, &requires, depth, &stem);
                    }
                }
            }
        }
    }

    fn push_below(
        &self,
        stack: &mut Vec<Step<'p>>,
        requires: &[TaskInfo<'p>],
        depth: usize,
        stem: &str,
    ) {
        let mut seen = HashSet::new();
        let distinct: Vec<_> = requires
            .iter()
            .filter(|required| seen.insert(required.index()))
            .collect();
        let mut below = Vec::new();
        if depth >= self.limits.depth {
            if !distinct.is_empty() {
                below.push(Err(format!(
                    "… {} below: --depth N shows more",
                    count(distinct.len())
                )));
            }
        } else {
            let mut of_name: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
            for required in distinct {
                let (shown, more) = of_name.entry(required.name()).or_default();
                if *shown < self.limits.width {
                    *shown += 1;
                    below.push(Ok(*required));
                } else {
                    *more += 1;
                }
            }
            for (name, (_, more)) in of_name {
                if more > 0 {
                    below.push(Err(format!("… and {} more {name}", count(more))));
                }
            }
        }
        let last = below.len().saturating_sub(1);
        for (at, item) in below.into_iter().enumerate().rev() {
            let branch = format!("{stem}{}", if at == last { "└─ " } else { "├─ " });
            let below = format!("{stem}{}", if at == last { "   " } else { "│  " });
            stack.push(match item {
                Ok(task) => Step::Task {
                    task,
                    depth: depth + 1,
                    branch,
                    stem: below,
                },
                Err(text) => Step::Note { text, branch },
            });
        }
    }
}

/// A mark for a need, and its colour.
fn mark(need: Status) -> (&'static str, Ink) {
    match need {
        Status::Complete => ("✓", Ink::Good),
        Status::Missing => ("✗", Ink::Bad),
        Status::NotNeeded => ("·", Ink::Dim),
        _ => ("~", Ink::Warn),
    }
}
