//! The report of a run, or of a plan, as one HTML file: a page, and the data in it. The data are described in
//! `README.md` beside this file.

mod recorder;

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::time::SystemTime;

use base64::Engine as _;
use kart_core::{Key, Need, Outcome, Plan, Report, Requests, RunError, TaskInfo};
use serde::Serialize;

pub(crate) use recorder::Recorder;

use crate::Session;
use crate::command::written;
use crate::params::command_of;
use recorder::Attempt;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 10] = [
    include_str!("dom.js"),
    include_str!("model.js"),
    include_str!("layout.js"),
    include_str!("edges.js"),
    include_str!("graph.js"),
    include_str!("timeline.js"),
    include_str!("table.js"),
    include_str!("panel.js"),
    include_str!("sections.js"),
    include_str!("page.js"),
];

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
    requests: BTreeMap<&'static str, u64>,
    bytes: u64,
    families: Vec<Family>,
    roots: Vec<usize>,
    tasks: Columns,
    attempts: Vec<Attempt>,
    errors: Vec<String>,
    rerun: BTreeMap<usize, String>,
}

#[derive(Serialize)]
struct Family {
    name: &'static str,
    doc: &'static str,
    file: &'static str,
    line: u32,
    external: bool,
}

#[derive(Default, Serialize)]
struct Columns {
    family: Vec<usize>,
    key: Vec<String>,
    label: Vec<String>,
    path: Vec<String>,
    outcome: String,
    requires: Vec<Vec<usize>>,
}

/// The words for outcomes, and their letters.
const OUTCOMES: [(char, &str); 8] = [
    ('c', "complete"),
    ('r', "ran"),
    ('e', "elsewhere"),
    ('f', "failed"),
    ('b', "blocked"),
    ('i', "interrupted"),
    ('l', "left"),
    ('u', "unneeded"),
];

fn letter(outcome: &Outcome) -> char {
    match outcome {
        Outcome::Complete => 'c',
        Outcome::Ran(_) => 'r',
        Outcome::Elsewhere => 'e',
        Outcome::Failed(_) => 'f',
        Outcome::Blocked { .. } => 'b',
        Outcome::Interrupted => 'i',
        Outcome::Left => 'l',
        _ => 'u',
    }
}

/// How a run ended, in a word.
pub(crate) fn state(error: Option<&RunError>) -> &'static str {
    match error {
        None => "complete",
        Some(RunError::Interrupted(_)) => "interrupted",
        Some(_) => "failed",
    }
}

/// The requests of each kind since then.
pub(crate) fn since(now: Requests, before: Requests) -> [(&'static str, u64); 5] {
    [
        ("exists", now.exists - before.exists),
        ("read", now.read - before.read),
        ("write", now.write - before.write),
        ("delete", now.delete - before.delete),
        ("list", now.list - before.list),
    ]
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
            counts: OUTCOMES.iter().map(|(_, word)| (*word, 0)).collect(),
            requests: BTreeMap::new(),
            bytes: 0,
            families: Vec::new(),
            roots: roots.iter().map(TaskInfo::index).collect(),
            tasks: Columns::default(),
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
        before: Requests,
    ) -> Self {
        let roots: Vec<_> = report.roots().map(|root| root.task).collect();
        let mut data = Data::new(session, state(result.as_ref().err()), &roots);
        data.started = humantime::format_rfc3339_millis(recorder.started()).to_string();
        data.elapsed = report.elapsed().as_secs_f64();
        data.requests = since(session.workspace.requests(), before)
            .into_iter()
            .collect();
        data.bytes = written(report);
        data.take(report.tasks().map(|task| (task.task, letter(task.outcome))));
        let places: HashMap<Key, usize> = report
            .tasks()
            .map(|task| (task.task.key(), task.task.index()))
            .collect();
        (data.attempts, data.errors) = recorder.attempts(&places, report.elapsed());
        for (failed, _) in report.failures().take(COMMANDS) {
            let command = command_of(&session.parsed.program, &failed.task.task());
            data.rerun.insert(failed.task.index(), command);
        }
        data
    }

    /// What a run would do.
    pub(crate) fn of_plan(session: &Session, plan: &Plan) -> Self {
        let roots: Vec<_> = plan.roots().map(|root| root.task).collect();
        let mut data = Data::new(session, "planned", &roots);
        data.take(plan.tasks().map(|planned| {
            let letter = match planned.need {
                Need::Complete => 'c',
                Need::Unasked => 'u',
                _ => 'l',
            };
            (planned.task, letter)
        }));
        data
    }

    fn take<'t>(&mut self, tasks: impl Iterator<Item = (TaskInfo<'t>, char)>) {
        let mut places: HashMap<&'static str, usize> = HashMap::new();
        for (task, letter) in tasks {
            let spec = task.spec();
            let family = *places.entry(spec.name).or_insert_with(|| {
                self.families.push(Family {
                    name: spec.name,
                    doc: spec.doc,
                    file: spec.file,
                    line: spec.line,
                    external: spec.external,
                });
                self.families.len() - 1
            });
            let key = task.key().to_string();
            self.tasks.family.push(family);
            self.tasks.label.push(task.description());
            self.tasks.path.push(task.path().replace(&key, "{key}"));
            self.tasks.key.push(key);
            self.tasks.outcome.push(letter);
            self.tasks
                .requires
                .push(task.requires().iter().map(TaskInfo::index).collect());
            if let Some((_, word)) = OUTCOMES.iter().find(|(other, _)| *other == letter) {
                *self.counts.entry(word).or_default() += 1;
            }
        }
    }
}

/// The page with its data.
pub(crate) fn page(data: &Data) -> String {
    let json = serde_json::to_vec(data).unwrap_or_default();
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Nothing fails that writes to memory.
    let _ = zip.write_all(&json);
    let packed = zip.finish().unwrap_or_default();
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
    let parts = [
        ("{{TITLE}}", title.as_str()),
        ("{{STYLE}}", STYLE),
        ("{{SCRIPT}}", &SCRIPTS.concat()),
        ("{{DATA}}", &packed),
    ];
    let mut page = String::with_capacity(packed.len() + PAGE.len() + STYLE.len());
    let mut rest = PAGE;
    while let Some((at, (mark, text))) = parts
        .iter()
        .filter_map(|part| Some((rest.find(part.0)?, part)))
        .min_by_key(|(at, _)| *at)
    {
        page.push_str(&rest[..at]);
        page.push_str(text);
        rest = &rest[at + mark.len()..];
    }
    page.push_str(rest);
    page
}
