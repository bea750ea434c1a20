//! Reruns that the workspace remembers. A run that was cut off, a plain run of the same roots and all processes that share
//! the work resume them, and what was made for a rerun is not made for it again.
//!
//! `_kart/reruns/{roots}/{id}` says which tasks run again. It is created before anything runs, and deleted when all of it is
//! made. An output is made for a rerun if its provenance names the rerun.

mod made;

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

pub(crate) use self::made::made_for;
use self::made::{forget, look};
use super::coordination::{Leases, pause};
use super::settings::{Coordination, Settings};
use crate::error::{Error, StoreError, chain};
use crate::key::Key;
use crate::lease::{Claimed, Participant};
use crate::model::NodeId;
use crate::plan::{Dependents, Graph, Mark, OpenRerun, Rerun, Selector, describe, marks};
use crate::run_id::RunId;
use crate::workspace::{Workspace, layout};

/// What the workspace holds of a rerun.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    tasks: Selector,
}

/// The unfinished reruns of the roots of one run.
#[derive(Debug)]
pub(crate) struct Reruns {
    workspace: Workspace,
    /// What the roots are called together.
    roots: Key,
    /// From the oldest to the newest.
    open: Vec<Rerun>,
    /// Those whose record a power cut has torn: nobody knows which tasks they are for.
    torn: Vec<RunId>,
}

impl Reruns {
    /// Returns no reruns.
    pub(crate) fn none(workspace: &Workspace, graph: &Graph) -> Self {
        let roots = graph.roots.iter();
        let roots = roots.map(|root| graph.node(*root).key.to_string());
        let roots: Vec<String> = roots.collect::<BTreeSet<_>>().into_iter().collect();
        Reruns {
            workspace: workspace.clone(),
            roots: Key::of(format!("roots:{}", roots.join(",")).as_bytes()),
            open: Vec::new(),
            torn: Vec::new(),
        }
    }

    /// Reads the unfinished reruns of the roots of a graph.
    pub(crate) async fn load(workspace: &Workspace, graph: &Graph) -> Result<Self, StoreError> {
        let mut reruns = Reruns::none(workspace, graph);
        reruns.list().await?;
        Ok(reruns)
    }

    /// Takes the reruns in that are not known yet.
    async fn list(&mut self) -> Result<(), StoreError> {
        let found = self.workspace.list(&layout::reruns(self.roots)).await?;
        let mut found: Vec<RunId> = found.iter().filter_map(|at| layout::rerun_at(at)).collect();
        found.retain(|id| !self.torn.contains(id) && self.open.iter().all(|it| it.id != *id));
        let paths: Vec<String> = found.iter().map(|id| self.path(*id)).collect();
        let records = self.workspace.read_many(paths).await;
        for (id, record) in found.into_iter().zip(records) {
            // None if another run has ended it meanwhile.
            let Some(record) = record? else { continue };
            match serde_json::from_slice(&record) {
                Ok(Record { tasks }) => self.push(id, tasks, Some(0)),
                Err(error) if error.is_eof() => self.torn.push(id),
                Err(error) => {
                    let location = self.workspace.display_url(&self.path(id));
                    tracing::warn!(%error, %location, "passed over a rerun that cannot be read");
                }
            }
        }
        Ok(())
    }

    fn path(&self, id: RunId) -> String {
        layout::rerun(self.roots, id)
    }

    fn push(&mut self, id: RunId, tasks: Selector, looked_at: Option<usize>) {
        self.open.push(Rerun {
            id,
            tasks,
            made: HashMap::new(),
            looked_at,
        });
        self.open.sort_unstable_by_key(|rerun| rerun.id);
    }

    /// Adds a rerun without a word to the workspace, unless it is open already.
    pub(crate) fn propose(&mut self, tasks: Selector) {
        if self.find(&tasks).is_none() {
            self.push(RunId::now(), tasks, None);
        }
    }

    /// Begins a rerun, unless it is open already; returns whether it did. One of which all is made does not stand for the
    /// next: whoever made the last of it was cut off before it could say so.
    ///
    /// Of all that begin the same rerun at the same moment the first creates it, and the others join it: each holds a claim
    /// meanwhile, if the run claims anything.
    pub(crate) async fn begin(
        &mut self,
        tasks: Selector,
        run: RunId,
        graph: &Graph,
        settings: &Settings,
        participant: &Participant,
    ) -> Result<bool, Error> {
        if let Some(at) = self.find(&tasks) {
            if !self.are_made(graph, |rerun| rerun.tasks == tasks).await? {
                return Ok(false);
            }
            let over = self.open.remove(at);
            self.workspace.delete(&self.path(over.id)).await?;
        }
        if settings.coordination == Coordination::None {
            self.create(tasks, run).await?;
            return Ok(true);
        }
        let mut looks = 0;
        let claim = loop {
            match participant
                .claim_anew(self.roots, "the start of a rerun")
                .await?
            {
                Claimed::Won(claim) => break claim,
                Claimed::Held(_) | Claimed::Failed { .. } => {
                    sleep(pause(looks, settings.ttl)).await;
                    looks += 1;
                }
            }
        };
        let begun = async {
            self.list().await?;
            let is_first = self.find(&tasks).is_none();
            if is_first {
                self.create(tasks, run).await?;
            }
            Ok(is_first)
        };
        let begun = begun.await;
        claim.release(true).await;
        begun
    }

    async fn create(&mut self, tasks: Selector, run: RunId) -> Result<(), StoreError> {
        // A run may begin two: of the tasks that `rerun` names, and of what other code has made.
        let mut taken = self.open.iter().map(|rerun| rerun.id);
        let is_taken = taken.any(|id| id == run) || self.torn.contains(&run);
        let id = if is_taken { RunId::now() } else { run };
        let record = Record { tasks };
        let text = serde_json::to_vec(&record).unwrap_or_default();
        self.workspace
            .create(&self.path(id), Bytes::from(text))
            .await?;
        self.push(id, record.tasks, None);
        Ok(())
    }

    fn find(&self, tasks: &Selector) -> Option<usize> {
        self.open.iter().position(|rerun| rerun.tasks == *tasks)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rerun> {
        self.open.iter()
    }

    /// Describes the open reruns, as far as was looked.
    pub(crate) fn describe(&self, graph: &Graph) -> Vec<OpenRerun> {
        let marks = self.marks(graph);
        let open = self.open.iter().map(|rerun| {
            let ids = marks.values().map(|mark| &mark.reruns);
            OpenRerun {
                tasks: rerun.tasks.to_string(),
                since: rerun.id.time(),
                made: rerun.made.len(),
                reached: ids.filter(|ids| ids.contains(&rerun.id)).count(),
            }
        });
        open.collect()
    }

    /// Returns what the reruns want of the tasks that they reach.
    pub(crate) fn marks(&self, graph: &Graph) -> HashMap<NodeId, Mark> {
        marks(graph, &self.open)
    }

    /// Returns those of the keys that no open rerun selects because of their code.
    pub(crate) fn not_selected(&self, mut keys: BTreeSet<Key>) -> BTreeSet<Key> {
        for rerun in &self.open {
            if let Selector::OtherCode(selected) = &rerun.tasks {
                keys.retain(|key| !selected.contains(key));
            }
        }
        keys
    }

    /// Looks which outputs were made for the reruns that other runs have begun.
    pub(crate) async fn look(&mut self, graph: &Graph) -> Result<(), Error> {
        let resumed = self.open.iter_mut();
        let mut resumed: Vec<_> = resumed.filter(|it| it.looked_at.is_some()).collect();
        look(graph, &self.workspace, &mut resumed, |_| true).await
    }

    /// Returns whether all is made for those reruns. Of most that are not over the roots alone show it.
    pub(crate) async fn are_made(
        &mut self,
        graph: &Graph,
        is_meant: impl Fn(&Rerun) -> bool,
    ) -> Result<bool, Error> {
        let meant = self.open.iter_mut();
        let mut meant: Vec<_> = meant.filter(|rerun| is_meant(rerun)).collect();
        if meant.is_empty() {
            return Ok(true);
        }
        let roots: HashSet<NodeId> = graph.roots.iter().copied().collect();
        look(graph, &self.workspace, &mut meant, |it| roots.contains(&it)).await?;
        let dependents = Dependents::of(graph);
        for rerun in &meant {
            let reached = rerun.reached(graph, &dependents);
            let mut reached = roots.iter().filter(|root| reached.contains_key(root));
            if reached.any(|root| !rerun.made.contains_key(root)) {
                return Ok(false);
            }
        }
        look(graph, &self.workspace, &mut meant, |_| true).await?;
        let marks = marks(graph, meant.iter().map(|rerun| &**rerun));
        Ok(marks.values().all(|mark| mark.status.is_none()))
    }

    /// Returns what the reruns want of the tasks that they reach. Before that it forgets that tasks were made of which
    /// something that they require is made again. Where runs share the work it leaves alone what another one is at.
    pub(crate) async fn forget_made(
        &mut self,
        graph: &Graph,
        leases: &Leases,
    ) -> Result<HashMap<NodeId, Mark>, Error> {
        let marks = self.marks(graph);
        let seen = self.made_again(&marks);
        if seen.is_empty() {
            return Ok(marks);
        }
        // Between the looks at both, another run may have made the requirement and then the task.
        self.look(graph).await?;
        let marks = self.marks(graph);
        let shared = leases.participant().filter(|_| leases.are_per_task());
        for (node, by) in self.made_again(&marks) {
            if seen.get(&node) != Some(&by) {
                continue;
            }
            let mut claim = None;
            if let Some(shared) = &shared {
                let what = describe(graph.node(node).task.as_ref());
                match shared.claim_anew(graph.node(node).key, &what).await? {
                    Claimed::Won(won) => claim = Some(won),
                    Claimed::Held(_) | Claimed::Failed { .. } => continue,
                }
            }
            let wanted_by = &marks[&node].wanted_by;
            let forgotten = forget(graph, &self.workspace, node, by, wanted_by).await;
            if let Some(claim) = claim {
                claim.release(true).await;
            }
            forgotten?;
        }
        Ok(marks)
    }

    /// Returns the tasks that are made for a rerun that wants them again, each with the run that made it.
    fn made_again(&self, marks: &HashMap<NodeId, Mark>) -> HashMap<NodeId, Option<RunId>> {
        let mut again = HashMap::new();
        for rerun in &self.open {
            let wants = |mark: &Mark| mark.wanted_by.contains(&rerun.id);
            let made = rerun.made.iter();
            let made = made.filter(|(node, _)| marks.get(node).is_some_and(wants));
            again.extend(made.map(|(node, by)| (*node, *by)));
        }
        again
    }

    /// Drops the reruns that other runs have ended while this one waited for its roots. One of them may have resumed what
    /// this one has begun.
    pub(crate) async fn reload(&mut self, leases: &Leases) -> Result<(), StoreError> {
        if leases.root().is_none() {
            // Whoever shares the work sees of each output what it is made for.
            return Ok(());
        }
        let paths = self.open.iter().map(|rerun| self.path(rerun.id)).collect();
        let mut are_open = self.workspace.exists_many(paths).await?.into_iter();
        self.open.retain(|_| are_open.next().unwrap_or(true));
        for rerun in self.open.iter_mut().filter(|_| leases.have_waited()) {
            rerun.looked_at = Some(0);
        }
        Ok(())
    }

    /// Ends the reruns, since all of them is made.
    pub(crate) async fn end(&self) {
        let open = self.open.iter().map(|rerun| rerun.id);
        let paths = open.chain(self.torn.iter().copied());
        let paths: Vec<String> = paths.map(|id| self.path(id)).collect();
        let deletes = paths.iter().map(|path| self.workspace.delete(path));
        if let Err(error) = try_join_all(deletes).await {
            tracing::warn!(error = chain(&error), "failed to delete a finished rerun");
        }
    }

    /// Deletes the reruns, since nobody wants them any more.
    pub(crate) async fn abandon(&mut self) {
        self.end().await;
        self.open.clear();
        self.torn.clear();
    }
}

/// Returns all unfinished reruns of a workspace, whatever their roots are.
pub(crate) async fn unfinished(workspace: &Workspace) -> Result<HashSet<RunId>, StoreError> {
    let found = workspace.list(layout::RERUNS).await?;
    Ok(found.iter().filter_map(|at| layout::rerun_at(at)).collect())
}
