//! Reading the log back.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use super::TaskRecord;
use super::record::{Line, Record};
use crate::error::{Error, StoreError};
use crate::model::Task;
use crate::plan::TaskExt as _;
use crate::report::Counts;
use crate::run_id::RunId;
use crate::workspace::Workspace;
use crate::workspace::layout::{self, RunObject};

/// A run of the past, or one that is under way elsewhere.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunSummary {
    /// Its name.
    pub run: RunId,
    /// When it began, by the clock of its machine.
    pub start: SystemTime,
    /// When it ended; `None` for one that was cut off, or has not ended yet.
    pub end: Option<SystemTime>,
    /// The root, with its parameters.
    pub root: String,
    /// The name of its machine.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// How many tasks its graph had at first.
    pub tasks: usize,
    /// How many of them were missing.
    pub missing: usize,
    /// How many tasks came to each outcome, where it has ended.
    pub counts: Option<Counts>,
}

/// The objects of the log.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) packs: Vec<String>,
    pub(super) runs: BTreeMap<RunId, Listed>,
}

/// Those of one run that is not packed.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) segments: Vec<(u32, String)>,
    pub(super) has_digest: bool,
}

impl Listing {
    pub(super) async fn of(workspace: &Workspace) -> Result<Self, StoreError> {
        let mut listing = Listing::default();
        for path in workspace.list(layout::RUNS).await? {
            match RunObject::at(&path) {
                Some(RunObject::Pack) => listing.packs.push(path),
                Some(RunObject::Digest(run)) => listing.run(run).has_digest = true,
                Some(RunObject::Segment(run, number)) => {
                    listing.run(run).segments.push((number, path));
                }
                None => {}
            }
        }
        Ok(listing)
    }

    fn run(&mut self, run: RunId) -> &mut Listed {
        self.runs.entry(run).or_default()
    }

    /// All objects with records.
    pub(super) fn all(self) -> Vec<String> {
        let runs = self.runs.into_values().flat_map(|run| run.segments);
        let segments = runs.map(|(_, path)| path);
        self.packs.into_iter().chain(segments).collect()
    }
}

/// The lines of an object of the log; one that cannot be read is left out.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = Line> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .filter_map(|line| serde_json::from_slice(line).ok())
}

/// Every line of the log once. While old runs are packed a line can be in two objects for a moment.
async fn each_line(workspace: &Workspace, mut each: impl FnMut(Line)) -> Result<(), StoreError> {
    let listing = Listing::of(workspace).await?;
    let mut seen = HashSet::new();
    for text in workspace.read_many(listing.all()).await {
        let Some(text) = text? else { continue };
        for line in lines(&text) {
            if seen.insert((line.run, line.number)) {
                each(line);
            }
        }
    }
    Ok(())
}

impl Workspace {
    /// The runs that the log knows of, the newest first. It is one listing, and a request for each pack of old
    /// runs and each segment of newer ones.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[kart::task]
    /// # async fn one() -> kart::Result<u32> { Ok(1) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), kart::RunError> {
    /// # let workspace = kart::Workspace::open("memory://")?;
    /// kart::Runner::new(&workspace).run(One).await?;
    /// let runs = workspace.runs().await.map_err(kart::Error::from)?;
    /// assert_eq!(runs[0].root, "One");
    /// assert_eq!(runs[0].counts.map(|counts| counts.ran), Some(1));
    /// let history = workspace.history(&One).await?;
    /// assert_eq!(history[0].bytes, Some(1));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn runs(&self) -> Result<Vec<RunSummary>, StoreError> {
        let mut runs: BTreeMap<RunId, RunSummary> = BTreeMap::new();
        let mut ends = Vec::new();
        each_line(self, |line| match line.record {
            Record::Start(start) => {
                let summary = RunSummary {
                    run: line.run,
                    start: start.at,
                    end: None,
                    root: start.root,
                    host: start.host,
                    pid: start.pid,
                    tasks: start.tasks,
                    missing: start.missing,
                    counts: None,
                };
                runs.insert(line.run, summary);
            }
            Record::End(end) => ends.push((line.run, end)),
            Record::Task(_) | Record::Unknown => {}
        })
        .await?;
        for (run, end) in ends {
            if let Some(summary) = runs.get_mut(&run) {
                summary.end = Some(end.at);
                summary.counts = Some(end.counts);
            }
        }
        Ok(runs.into_values().rev().collect())
    }

    /// What the log knows of a task, the newest first: every attempt of every run.
    ///
    /// # Errors
    ///
    /// The store did not answer, or the task has no key.
    pub async fn history<T: Task>(&self, task: &T) -> Result<Vec<TaskRecord>, Error> {
        let key = task.try_key()?;
        Ok(self.records(|record| record.key == key).await?)
    }

    /// The attempts of all runs in the log that `wanted` is true of, the newest first.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub async fn records(
        &self,
        wanted: impl Fn(&TaskRecord) -> bool,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        let mut history = Vec::new();
        each_line(self, |line| {
            if let Record::Task(mut record) = line.record {
                record.run = Some(line.run);
                if wanted(&record) {
                    history.push((line.run, line.number, *record));
                }
            }
        })
        .await?;
        history.sort_by_key(|(run, line, _)| std::cmp::Reverse((*run, *line)));
        Ok(history.into_iter().map(|(_, _, record)| record).collect())
    }
}
