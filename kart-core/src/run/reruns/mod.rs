//! Reruns that the workspace remembers. A run that was cut off, a plain run of the same roots and all processes that share
//! the work go on with them, and what was made for a rerun is not made for it again.
//!
//! `_kart/reruns/{roots}/{tasks}.json` says what is to be made again. It is created before anything runs, and deleted when all
//! of it is made. `_kart/reruns/{roots}/{tasks}/{id}/{key}` says that an output was made for it, and follows the output. Runs
//! that share the work find `{id}/done` once all is made; the next run of these roots deletes it.

mod record;
mod unfinished;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use futures_util::future::try_join_all;

pub(crate) use self::record::Made;
use self::record::{Record, Rerun};
pub(crate) use self::unfinished::Unfinished;
use crate::error::{StoreError, chain};
use crate::key::Key;
use crate::model::NodeId;
use crate::plan::{Graph, Mark, Selector, marks};
use crate::run_id::RunId;
use crate::workspace::{CreateOutcome, Workspace, layout};

/// The unfinished reruns of the roots of one run.
#[derive(Debug)]
pub(crate) struct Reruns {
    workspace: Workspace,
    /// The directory of all reruns of these roots.
    directory: String,
    open: Vec<Rerun>,
    /// What an ended rerun has left, because the process that ended it was killed.
    left: Vec<String>,
}

impl Reruns {
    /// Returns no reruns.
    pub(crate) fn none(workspace: &Workspace) -> Self {
        Reruns {
            workspace: workspace.clone(),
            directory: String::new(),
            open: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Reads the unfinished reruns of the roots of a graph.
    pub(crate) async fn load(workspace: &Workspace, graph: &Graph) -> Result<Self, StoreError> {
        let mut roots: Vec<String> = graph
            .roots
            .iter()
            .map(|root| graph.node(*root).key.to_string())
            .collect();
        roots.sort_unstable();
        roots.dedup();
        let mut reruns = Reruns::none(workspace);
        let roots = Key::of(format!("roots:{}", roots.join(",")).as_bytes());
        reruns.directory = layout::reruns(roots);
        let found = reruns.list().await?;
        let names = found.iter().filter_map(|path| path.strip_suffix(".json"));
        for name in names {
            match reruns.read(name).await? {
                Some(Ok(record)) => reruns.push(record, &found),
                Some(Err(error)) => {
                    let location = workspace.display_url(&reruns.record_path(name));
                    tracing::warn!(%error, %location, "passed over a rerun that cannot be read");
                }
                None => {}
            }
        }
        reruns.left = reruns.without_rerun(&found).await?;
        Ok(reruns)
    }

    /// Returns those paths that belong to no open rerun.
    async fn without_rerun(&self, found: &[String]) -> Result<Vec<String>, StoreError> {
        let mut others: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
        for path in found {
            let mut parts = path.split('/');
            let (Some(name), Some(id)) = (parts.next(), parts.next()) else {
                continue;
            };
            let is_of =
                |rerun: &Rerun| rerun.record.name() == name && rerun.record.id.to_string() == id;
            if !self.open.iter().any(is_of) {
                let path = format!("{}/{path}", self.directory);
                others.entry((name, id)).or_default().push(path);
            }
        }
        let mut left = Vec::new();
        for ((name, id), paths) in others {
            // A listing may lag behind, and what cannot be read may be of a later release.
            let is_over = match self.read(name).await? {
                None => true,
                Some(record) => record.is_ok_and(|record| record.id.to_string() != id),
            };
            if is_over {
                left.extend(paths);
            }
        }
        Ok(left)
    }

    /// Deletes what ended reruns have left.
    pub(crate) async fn sweep(&mut self) {
        let deletes = self.left.iter().map(|path| self.workspace.delete(path));
        if let Err(error) = try_join_all(deletes).await {
            tracing::warn!(
                error = chain(&error),
                "failed to delete what a rerun has left"
            );
        }
        self.left.clear();
    }

    /// Returns the paths below the directory.
    async fn list(&self) -> Result<Vec<String>, StoreError> {
        let below = format!("{}/", self.directory);
        let paths = self.workspace.list(&self.directory).await?;
        let below = |path: &String| path.strip_prefix(&below).map(str::to_owned);
        Ok(paths.iter().filter_map(below).collect())
    }

    fn push(&mut self, record: Record, found: &[String]) {
        let below = format!("{}/{}/", record.name(), record.id);
        let keys = found.iter().filter_map(|path| path.strip_prefix(&below));
        let made = keys.filter_map(|key| key.parse().ok()).collect();
        self.open.push(Rerun { record, made });
    }

    fn record_path(&self, name: &str) -> String {
        format!("{}/{name}.json", self.directory)
    }

    fn made_path(&self, record: &Record, key: Key) -> String {
        format!("{}/{key}", self.below(record))
    }

    fn done_path(&self, record: &Record) -> String {
        format!("{}/done", self.below(record))
    }

    fn below(&self, record: &Record) -> String {
        format!("{}/{}/{}", self.directory, record.name(), record.id)
    }

    /// Reads the record of that name, if there is one.
    async fn read(&self, name: &str) -> Result<Option<serde_json::Result<Record>>, StoreError> {
        let bytes = self.workspace.read(&self.record_path(name)).await?;
        Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)))
    }

    /// Adds a rerun without a word to the workspace, unless it is open already.
    pub(crate) fn propose(&mut self, tasks: Selector) {
        if self.find(&tasks).is_none() {
            let record = Record {
                id: RunId::now(),
                tasks,
            };
            self.push(record, &[]);
        }
    }

    /// Begins a rerun, unless it is open already.
    pub(crate) async fn begin(&mut self, tasks: Selector, id: RunId) -> Result<(), StoreError> {
        if self.find(&tasks).is_some() {
            return Ok(());
        }
        let record = Record { id, tasks };
        let path = self.record_path(&record.name());
        let bytes = serde_json::to_vec(&record).map_err(|error| self.broken(&path, error))?;
        let bytes = Bytes::from(bytes);
        let mut created = self.workspace.create(&path, bytes.clone()).await?;
        if matches!(&created, CreateOutcome::Exists(first) if Record::is_torn(first)) {
            self.workspace.delete(&path).await?;
            created = self.workspace.create(&path, bytes).await?;
        }
        match created {
            CreateOutcome::Written => self.push(record, &[]),
            CreateOutcome::Exists(first) => {
                let first: Record =
                    serde_json::from_slice(&first).map_err(|error| self.broken(&path, error))?;
                let found = self.list().await?;
                self.push(first, &found);
            }
        }
        Ok(())
    }

    fn broken(&self, path: &str, error: serde_json::Error) -> StoreError {
        StoreError {
            operation: "read",
            location: self.workspace.display_url(path),
            hint: Some("another release of kart may have written it: delete it".to_owned()),
            transient: false,
            source: error.into(),
        }
    }

    fn find(&self, tasks: &Selector) -> Option<&Rerun> {
        self.open.iter().find(|rerun| rerun.record.tasks == *tasks)
    }

    /// Returns the ids of the reruns.
    pub(crate) fn ids(&self) -> Vec<RunId> {
        self.open.iter().map(|rerun| rerun.record.id).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rerun> {
        self.open.iter()
    }

    /// Returns the tasks that run again although their output may exist.
    pub(crate) fn marks(&self, graph: &Graph) -> HashMap<NodeId, Mark> {
        marks(graph, self.open.iter().map(Rerun::marking))
    }

    /// Returns those of the keys that no open rerun selects because of their code.
    pub(crate) fn not_selected(&self, mut keys: BTreeSet<Key>) -> BTreeSet<Key> {
        for rerun in &self.open {
            if let Selector::OtherCode(selected) = &rerun.record.tasks {
                keys.retain(|key| !selected.contains(key));
            }
        }
        keys
    }

    /// Deletes the rerun of these tasks if all of it is made: whoever made the last of it was cut off before it could say so.
    pub(crate) async fn end_if_made(&mut self, graph: &Graph, tasks: &Selector) {
        let Some(at) = self
            .open
            .iter()
            .position(|rerun| rerun.record.tasks == *tasks)
        else {
            return;
        };
        let rerun = &self.open[at];
        if marks(graph, [rerun.marking()]).is_empty() {
            self.delete(&rerun.record).await;
            self.open.remove(at);
        }
    }

    /// Forgets that these tasks were made: what they require is made again.
    pub(crate) async fn forget_made(
        &mut self,
        graph: &Graph,
        marks: &HashMap<NodeId, Mark>,
    ) -> Result<(), StoreError> {
        let mut paths = Vec::new();
        for at in 0..self.open.len() {
            for node in marks.keys() {
                let key = graph.node(*node).key;
                if self.open[at].made.remove(&key) {
                    paths.push(self.made_path(&self.open[at].record, key));
                }
            }
        }
        try_join_all(paths.iter().map(|path| self.workspace.delete(path))).await?;
        Ok(())
    }

    /// Reads anew what was made, and drops what other runs have finished.
    pub(crate) async fn reload(&mut self) -> Result<(), StoreError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let found = self.list().await?;
        for Rerun { record, .. } in std::mem::take(&mut self.open) {
            if self.is_open(&record).await? {
                self.push(record, &found);
            }
        }
        Ok(())
    }

    async fn is_open(&self, record: &Record) -> Result<bool, StoreError> {
        let name = record.name();
        match self.read(&name).await? {
            None => Ok(false),
            Some(Ok(current)) => Ok(current.id == record.id),
            Some(Err(error)) => Err(self.broken(&self.record_path(&name), error)),
        }
    }

    /// Records that the output of a task was made for the reruns.
    pub(crate) async fn record_made(&self, key: Key) -> Result<(), StoreError> {
        let writes = self.open.iter().map(|rerun| async move {
            let path = self.made_path(&rerun.record, key);
            let by = Bytes::from(rerun.record.id.to_string());
            self.workspace.replace(&path, by).await
        });
        try_join_all(writes).await?;
        Ok(())
    }

    /// Returns whether any run has made the output of a task for all the reruns.
    pub(crate) async fn is_made(&self, key: Key) -> Result<bool, StoreError> {
        for Rerun { record, .. } in &self.open {
            let (made, done) = (self.made_path(record, key), self.done_path(record));
            if !self.workspace.exists(&made).await? && !self.workspace.exists(&done).await? {
                return Ok(false);
            }
        }
        Ok(!self.open.is_empty())
    }

    /// Returns what any run has made for all the reruns.
    pub(crate) async fn all_made(&self) -> Result<Made, StoreError> {
        let mut made = Made::default();
        for Rerun { record, .. } in &self.open {
            let paths = self.workspace.list(&self.below(record)).await?;
            if !paths.contains(&self.done_path(record)) {
                let keys = paths.iter().filter_map(|path| path.rsplit('/').next());
                made.0
                    .push(keys.filter_map(|key| key.parse().ok()).collect());
            }
        }
        Ok(made)
    }

    /// Ends the reruns, since all of them is made.
    pub(crate) async fn end(&self) {
        for rerun in &self.open {
            self.delete(&rerun.record).await;
        }
    }

    /// Ends the reruns, since all of them is made, and tells the runs that share the work.
    pub(crate) async fn end_shared(&self) {
        for Rerun { record, .. } in &self.open {
            let path = self.done_path(record);
            let told = self.workspace.replace(&path, Bytes::from_static(b"done"));
            match told.await {
                Ok(()) => self.delete(record).await,
                Err(error) => tracing::warn!(error = chain(&error), "failed to end a rerun"),
            }
        }
    }

    /// Deletes the reruns, since nobody wants them any more.
    pub(crate) async fn abandon(&mut self) {
        for rerun in &self.open {
            self.delete(&rerun.record).await;
        }
        self.open.clear();
    }

    async fn delete(&self, record: &Record) {
        let deleted = async {
            if self.is_open(record).await? {
                let path = self.record_path(&record.name());
                self.workspace.delete(&path).await?;
            }
            let made = self.workspace.list(&self.below(record)).await?;
            let done = self.done_path(record);
            let made = made.iter().filter(|path| **path != done);
            try_join_all(made.map(|path| self.workspace.delete(path))).await
        };
        if let Err(error) = deleted.await {
            tracing::warn!(error = chain(&error), "failed to delete a finished rerun");
        }
    }
}
