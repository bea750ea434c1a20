//! The report of a run, or of a plan, as one HTML file: a page, and the data in it. The data are described in
//! `README.md` beside this file.

use std::collections::BTreeMap;
use std::time::SystemTime;

use base64::Engine as _;
use kart_core::{Plan, Report, RequestCounts, RunError, TaskInfo};
use kart_view::{Attempt, Graph, OUTCOMES, Recorder, assets, letter, need, shape};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::Session;
use crate::command::written;
use crate::params::command_of;

const PAGE: &str = include_str!("page.html");
/// What begins it, after what draws.
const SCRIPT: &str = include_str!("page.js");

/// How many failed tasks have a command to run them again.
const COMMANDS: usize = 200;

/// What a page shows.
#[derive(Serialize)]
pub(crate) struct Data {
    schema: u32,
    kart: &'static str,
    title: String,
    state: &'static str,
    started: String,
    elapsed: f64,
    workspace: String,
    host: String,
    pid: u32,
    workers: usize,
    counts: BTreeMap<&'static str, usize>,
    requests: Map<String, Json>,
    bytes: u64,
    #[serde(flatten)]
    graph: Graph,
    attempts: Vec<Attempt>,
    errors: Vec<String>,
    rerun: BTreeMap<usize, String>,
}

/// How a run ended, in a word.
pub(crate) fn state(error: Option<&RunError>) -> &'static str {
    match error {
        None => "complete",
        Some(RunError::Interrupted(_)) => "interrupted",
        Some(_) => "failed",
    }
}

impl Data {
    fn new(session: &Session, state: &'static str, roots: &[TaskInfo<'_>]) -> Self {
        let titles: Vec<String> = roots.iter().take(3).map(TaskInfo::description).collect();
        let more = if roots.len() > 3 {
            format!(" and {} more", roots.len() - 3)
        } else {
            String::new()
        };
        Data {
            schema: 1,
            kart: env!("CARGO_PKG_VERSION"),
            title: titles.join(", ") + &more,
            state,
            started: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            elapsed: 0.0,
            workspace: session.workspace.location().to_owned(),
            host: kart_core::host().to_owned(),
            pid: std::process::id(),
            workers: session.config.workers(),
            counts: BTreeMap::new(),
            requests: Map::new(),
            bytes: 0,
            graph: Graph::default(),
            attempts: Vec::new(),
            errors: Vec::new(),
            rerun: BTreeMap::new(),
        }
    }

    /// What a run did.
    pub(crate) fn of_run(
        session: &Session,
        report: &Report,
        result: &Result<Report, RunError>,
        recorder: &Recorder,
        before: RequestCounts,
    ) -> Self {
        let roots: Vec<_> = report.roots().map(|root| root.task).collect();
        let mut data = Data::new(session, state(result.as_ref().err()), &roots);
        data.started = humantime::format_rfc3339_millis(recorder.started()).to_string();
        data.elapsed = report.elapsed().as_secs_f64();
        data.requests = shape::requests(session.workspace.requests(), before);
        data.bytes = written(report);
        let mut graph = Graph::new(roots.iter().map(TaskInfo::index).collect());
        let mut letters = String::new();
        for task in report.tasks() {
            graph.add(task.task);
            letters.push(letter(task.outcome));
        }
        data.take(graph, letters);
        recorder.settle(report);
        (data.attempts, data.errors) = recorder.attempts();
        for (failed, _) in report.failures().take(COMMANDS) {
            let command = command_of(&session.parsed, &failed.task.task());
            data.rerun.insert(failed.task.index(), command);
        }
        data
    }

    /// What a run would do.
    pub(crate) fn of_plan(session: &Session, plan: &Plan) -> Self {
        let roots: Vec<_> = plan.roots().map(|root| root.task).collect();
        let mut data = Data::new(session, "planned", &roots);
        let letters = plan.tasks().map(|planned| need(planned.need)).collect();
        data.take(Graph::of(plan), letters);
        data
    }

    /// The tasks of a graph, with the letter of each.
    fn take(&mut self, mut graph: Graph, letters: String) {
        for (letter, word) in OUTCOMES {
            let count = letters.chars().filter(|other| *other == letter).count();
            self.counts.insert(word, count);
        }
        graph.set_outcomes(letters);
        self.graph = graph;
    }
}

/// The page with its data.
pub(crate) fn page(data: &Data) -> String {
    let packed = kart_view::packed(data);
    let packed = base64::engine::general_purpose::STANDARD.encode(packed);
    let title: String = data
        .title
        .chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            c => c.to_string(),
        })
        .collect();
    assets::filled(
        PAGE,
        &[
            ("{{TITLE}}", &title),
            ("{{STYLE}}", assets::STYLE),
            ("{{MARKS}}", assets::MARKS),
            ("{{SCRIPT}}", &[assets::SCRIPT, SCRIPT].concat()),
            ("{{DATA}}", &packed),
        ],
    )
}
