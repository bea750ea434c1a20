//! A graph as a page draws it: columns, with a member for each task.

use std::borrow::Cow;
use std::collections::HashMap;

use kart_core::{Plan, TaskInfo, TaskSpec};
use serde::Serialize;

/// A graph.
#[derive(Debug, Default, Serialize)]
pub struct Graph {
    families: Vec<TaskCounts>,
    roots: Vec<usize>,
    tasks: Columns,
    #[serde(skip)]
    places: HashMap<String, usize>,
}

/// The tasks of one name.
#[derive(Debug, Serialize)]
pub struct TaskCounts {
    name: Cow<'static, str>,
    doc: &'static str,
    file: &'static str,
    line: u32,
    external: bool,
}

#[derive(Debug, Default, Serialize)]
struct Columns {
    family: Vec<usize>,
    key: Vec<String>,
    label: Vec<String>,
    path: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    outcome: String,
    requires: Vec<Vec<usize>>,
}

/// A task that is put into a graph by hand.
#[derive(Debug)]
pub struct Task {
    /// Its key, in 32 hex digits.
    pub key: String,
    /// The task with its parameters.
    pub label: String,
    /// Where its output goes.
    pub path: String,
    /// The places of what it requires.
    pub requires: Vec<usize>,
}

impl From<&'static TaskSpec> for TaskCounts {
    fn from(spec: &'static TaskSpec) -> Self {
        TaskCounts {
            name: spec.name.into(),
            doc: spec.doc,
            file: spec.file,
            line: spec.line,
            external: spec.external,
        }
    }
}

impl TaskCounts {
    /// Tasks that this program does not know of any more.
    #[must_use]
    pub fn named(name: String) -> Self {
        TaskCounts {
            name: name.into(),
            doc: "",
            file: "",
            line: 0,
            external: false,
        }
    }
}

impl Graph {
    /// The graph of a plan, or of a run.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let mut graph = Graph::new(plan.roots().map(|root| root.task.index()).collect());
        for planned in plan.tasks() {
            graph.add(planned.task);
        }
        graph
    }

    /// A graph without tasks, whose roots will have these places.
    #[must_use]
    pub fn new(roots: Vec<usize>) -> Self {
        Graph {
            roots,
            ..Graph::default()
        }
    }

    /// How many tasks it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.key.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the task whose place comes next.
    pub fn add(&mut self, task: TaskInfo<'_>) {
        let requires = task.requires().iter().map(TaskInfo::index).collect();
        let task_of = Task {
            key: task.key().to_string(),
            label: task.description(),
            path: task.path(),
            requires,
        };
        self.push(task.spec().name, || TaskCounts::from(task.spec()), task_of);
    }

    /// The same for one that no plan holds; `family` is made for the first of each name.
    pub fn push(&mut self, name: &str, family: impl FnOnce() -> TaskCounts, task: Task) {
        let place = self.places.get(name).copied();
        let place = place.unwrap_or_else(|| {
            self.families.push(family());
            let place = self.families.len() - 1;
            self.places.insert(name.to_owned(), place);
            place
        });
        self.tasks.family.push(place);
        self.tasks.label.push(task.label);
        self.tasks.path.push(task.path.replace(&task.key, "{key}"));
        self.tasks.key.push(task.key);
        self.tasks.requires.push(task.requires);
    }

    /// What has become of each task, in order.
    pub fn set_outcomes(&mut self, letters: String) {
        self.tasks.outcome = letters;
    }
}
