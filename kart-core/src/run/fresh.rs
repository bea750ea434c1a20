//! Which tasks of a run start afresh: what they have saved is discarded before their bodies run, once in a run.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::StoreError;
use crate::model::NodeId;
use crate::plan::{Node, matches_name};
use crate::workspace::{Making, Workspace, layout};

#[derive(Debug)]
pub(crate) struct Fresh {
    names: BTreeSet<String>,
    discarded: Mutex<HashSet<NodeId>>,
}

impl Fresh {
    pub(crate) fn new(names: &BTreeSet<String>) -> Self {
        Fresh {
            names: names.clone(),
            discarded: Mutex::default(),
        }
    }

    /// Discards what a task has saved for a making, if it is to start afresh and has not done so in this run.
    pub(crate) async fn discard(
        &self,
        workspace: &Workspace,
        id: NodeId,
        node: &Node,
        making: Making,
    ) -> Result<(), StoreError> {
        let name = node.task.spec().name;
        let mut names = self.names.iter();
        let is_fresh = names.any(|wanted| matches_name(wanted, name));
        if is_fresh && !self.discarded().contains(&id) {
            let saved = layout::steps_of(node.key, making);
            workspace.discard_saved(&saved).await?;
            self.discarded().insert(id);
        }
        Ok(())
    }

    fn discarded(&self) -> MutexGuard<'_, HashSet<NodeId>> {
        self.discarded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
