//! What past runs have shown, in short: how long tasks take, and which code has made what.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::RecordedOutcome;
use super::read::{Listing, lines};
use super::record::Record;
use crate::error::StoreError;
use crate::key::Key;
use crate::model::TaskSpec;
use crate::run_id::RunId;
use crate::workspace::{Workspace, layout};

/// How many durations are remembered for each task.
const REMEMBERED: usize = 16;

/// How many runs that no digest has seen a start reads.
const MOST_NEW: usize = 256;

/// The digest of all runs so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Known {
    /// By name and version.
    tasks: BTreeMap<String, BTreeMap<u32, Kind>>,
    /// The segments of unpacked runs that are in it already; what is packed is in it.
    included: BTreeMap<RunId, u32>,
}

/// What is known of the tasks of one name and version.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kind {
    /// The fingerprints of the code that has made outputs, each with how many.
    codes: BTreeMap<String, u64>,
    /// How long the last ones took, in milliseconds.
    durations: Vec<u64>,
}

impl Known {
    /// What is known by now.
    pub(crate) async fn load(workspace: &Workspace) -> Result<Known, StoreError> {
        let listing = Listing::of(workspace).await?;
        let mut known = Known::default();
        let newest = listing.runs.iter().rev().find(|(_, run)| run.has_digest);
        if let Some((run, _)) = newest
            && let Some(text) = workspace.read(&layout::run_digest(*run)).await?
        {
            known = serde_json::from_slice(&text).unwrap_or_default();
        }
        let mut news = Vec::new();
        let is_new = |run: &RunId| !known.included.contains_key(run);
        let runs = listing.runs.iter().rev();
        // Of runs that no digest has seen only the newest matter.
        let unread: HashSet<_> = runs
            .map(|(run, _)| *run)
            .filter(is_new)
            .skip(MOST_NEW)
            .collect();
        for (run, listed) in &listing.runs {
            if unread.contains(run) {
                continue;
            }
            let from = known.included.get(run).copied().unwrap_or(0);
            let segments = listed.segments.iter().filter(|(number, _)| *number >= from);
            news.extend(segments.map(|(_, path)| path.clone()));
            known.include(
                *run,
                listed.segments.last().map_or(0, |(number, _)| number + 1),
            );
        }
        known
            .included
            .retain(|run, _| listing.runs.contains_key(run));
        for text in workspace.read_many(news).await {
            if let Some(text) = text? {
                known.absorb(&text);
            }
        }
        Ok(known)
    }

    fn absorb(&mut self, text: &[u8]) {
        for line in lines(text) {
            if let Record::Task(record) = line.record
                && record.outcome == RecordedOutcome::Ran
            {
                self.ran(&record.task, record.version, &record.code, record.duration);
            }
        }
    }

    /// A task of that kind ran for so long, by that code.
    pub(crate) fn ran(&mut self, task: &str, version: u32, code: &str, duration: Duration) {
        if !self.tasks.contains_key(task) {
            self.tasks.insert(task.to_owned(), BTreeMap::new());
        }
        let Some(versions) = self.tasks.get_mut(task) else {
            return;
        };
        let kind = versions.entry(version).or_default();
        match kind.codes.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                kind.codes.insert(code.to_owned(), 1);
            }
        }
        if kind.durations.len() == REMEMBERED {
            kind.durations.remove(0);
        }
        let millis = duration.as_millis();
        kind.durations
            .push(u64::try_from(millis).unwrap_or(u64::MAX));
    }

    pub(super) fn include(&mut self, run: RunId, segments: u32) {
        self.included.insert(run, segments);
    }

    /// How many runs are not packed, as far as is known.
    pub(super) fn unpacked(&self) -> usize {
        self.included.len()
    }

    fn kind(&self, spec: &TaskSpec) -> Option<&Kind> {
        self.tasks.get(spec.name)?.get(&spec.version)
    }

    /// How long a task of that kind may take: as long as the longest of the last 16 that ran.
    pub(crate) fn expected(&self, spec: &TaskSpec) -> Option<Duration> {
        let longest = self.kind(spec)?.durations.iter().max()?;
        Some(Duration::from_millis(*longest))
    }

    /// Whether other code than today's has made outputs of that kind.
    pub(crate) fn has_other_code(&self, spec: &TaskSpec) -> bool {
        self.kind(spec)
            .is_some_and(|kind| kind.codes.keys().any(|code| code != spec.code))
    }

    /// Of these kinds of tasks the code that made each key's output last, as far as the log tells.
    pub(crate) async fn codes(
        workspace: &Workspace,
        names: &HashSet<&str>,
    ) -> Result<HashMap<Key, String>, StoreError> {
        let mut codes: HashMap<Key, (std::time::SystemTime, String)> = HashMap::new();
        let listing = Listing::of(workspace).await?;
        for text in workspace.read_many(listing.all()).await {
            let Some(text) = text? else { continue };
            for line in lines(&text) {
                let Record::Task(record) = line.record else {
                    continue;
                };
                let is_one =
                    record.outcome == RecordedOutcome::Ran && names.contains(record.task.as_str());
                let before = codes.get(&record.key);
                if is_one && before.is_none_or(|(start, _)| *start <= record.start) {
                    codes.insert(record.key, (record.start, record.code));
                }
            }
        }
        let codes = codes.into_iter().map(|(key, (_, code))| (key, code));
        Ok(codes.collect())
    }
}
