//! What the run log knows of outputs. It travels with `_kart/` where a tool that copies a workspace drops metadata.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use super::layout::{self, RunObject};
use super::{Provenance, Workspace};
use crate::error::StoreError;
use crate::key::Key;
use crate::run_id::RunId;

/// The last record of each output.
#[derive(Debug, Default)]
pub(super) struct RecordedOutputs(HashMap<String, Recorded>);

/// What was read of the run log, until there is more of it.
#[derive(Debug, Default)]
pub(super) struct RecordedCache(Mutex<(Vec<String>, Arc<RecordedOutputs>)>);

impl RecordedCache {
    fn lock(&self) -> MutexGuard<'_, (Vec<String>, Arc<RecordedOutputs>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workspace {
    /// Returns what the run log knows of outputs by now.
    pub(super) async fn recorded_outputs(&self) -> Result<Arc<RecordedOutputs>, StoreError> {
        let mut paths = self.list(layout::RUNS).await?;
        paths.retain(|path| {
            let object = RunObject::at(path);
            object.is_some_and(|object| !matches!(object, RunObject::Digest(_)))
        });
        paths.sort_unstable();
        let cache = &self.inner.recorded;
        {
            let cached = cache.lock();
            if cached.0 == paths {
                return Ok(Arc::clone(&cached.1));
            }
        }
        let recorded = Arc::new(RecordedOutputs::load(self, paths.clone()).await?);
        *cache.lock() = (paths, Arc::clone(&recorded));
        Ok(recorded)
    }
}

#[derive(Debug)]
struct Recorded {
    start: String,
    provenance: Provenance,
}

/// What matters here of a line of the log.
#[derive(Deserialize)]
struct Line {
    run: RunId,
    event: String,
    task: Option<String>,
    key: Option<Key>,
    path: Option<String>,
    outcome: Option<String>,
    /// The moment in RFC 3339 and UTC, which sorts as its text does.
    start: Option<String>,
    code: Option<String>,
    bytes: Option<u64>,
    blake3: Option<String>,
}

impl RecordedOutputs {
    async fn load(workspace: &Workspace, paths: Vec<String>) -> Result<Self, StoreError> {
        let mut outputs = RecordedOutputs::default();
        for text in workspace.read_many(paths).await {
            let text = text?.unwrap_or_default();
            for line in text.split(|byte| *byte == b'\n') {
                if let Ok(line) = serde_json::from_slice(line) {
                    outputs.add(line);
                }
            }
        }
        Ok(outputs)
    }

    fn add(&mut self, line: Line) {
        if line.event != "task" || line.outcome.as_deref() != Some("ran") {
            return;
        }
        let (Some(task), Some(key), Some(path)) = (line.task, line.key, line.path) else {
            return;
        };
        let (Some(start), Some(bytes)) = (line.start, line.bytes) else {
            return;
        };
        let is_older = |recorded: &Recorded| recorded.start > start;
        if self.0.get(&path).is_some_and(is_older) {
            return;
        }
        let provenance = Provenance {
            blake3: line.blake3.and_then(|hash| hash.parse().ok()),
            code: line.code,
            run: Some(line.run),
            ..Provenance::new(key, &task, bytes)
        };
        self.0.insert(path, Recorded { start, provenance });
    }

    /// Returns what is known of an output.
    pub(super) fn find(&self, path: &str) -> Option<&Provenance> {
        self.0.get(path).map(|recorded| &recorded.provenance)
    }
}
