//! All unfinished reruns of a workspace, whatever their roots are.

use std::collections::HashSet;

use super::record::Record;
use crate::error::StoreError;
use crate::key::Key;
use crate::run_id::RunId;
use crate::workspace::{Workspace, layout};

#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    open: HashSet<RunId>,
    /// Reruns of which all is made, though not deleted yet.
    done: HashSet<RunId>,
    made: HashSet<(RunId, Key)>,
    /// Whether there is a record that cannot be read: any rerun may be unfinished.
    has_unreadable: bool,
}

impl Unfinished {
    pub(crate) async fn load(workspace: &Workspace) -> Result<Self, StoreError> {
        let mut reruns = Unfinished::default();
        let mut records = Vec::new();
        for path in workspace.list(layout::RERUNS).await? {
            if path.strip_suffix(".json").is_some() {
                records.push(path);
                continue;
            }
            let mut parts = path.rsplit('/');
            let (made, id) = (parts.next(), parts.next().and_then(|id| id.parse().ok()));
            match (made, id) {
                (Some("done"), Some(id)) => drop(reruns.done.insert(id)),
                (Some(made), Some(id)) => {
                    reruns.made.extend(made.parse().ok().map(|key| (id, key)));
                }
                _ => {}
            }
        }
        for record in workspace.read_many(records).await {
            let Some(record) = record? else { continue };
            match serde_json::from_slice::<Record>(&record) {
                Ok(record) => drop(reruns.open.insert(record.id)),
                Err(_) => reruns.has_unreadable = true,
            }
        }
        Ok(reruns)
    }

    /// Returns whether the output of a task is still to be made for a rerun.
    pub(crate) fn wait_for(&self, rerun: RunId, key: Key) -> bool {
        let may_be_open = self.open.contains(&rerun) || self.has_unreadable;
        may_be_open && !self.done.contains(&rerun) && !self.made.contains(&(rerun, key))
    }
}
