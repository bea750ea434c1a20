//! What the loop does about tasks that other processes have: it waits for their outputs, and tries again
//! where there will be none.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::Error;
use crate::key::Key;
use crate::lease::Owner;
use crate::model::NodeId;
use crate::plan::{Graph, ask};
use crate::run::coordination::pause;
use crate::run::event_loop::state::RunState;
use crate::run::mailbox::{ClaimPoll, ForeignStatus};
use crate::workspace::Workspace;

/// The tasks that other processes have.
#[derive(Debug, Default)]
pub(crate) struct ForeignTasks {
    tasks: BTreeMap<NodeId, Held>,
    /// How many looks were in vain since something was made.
    idle_polls: u32,
}

/// A task that another process has.
#[derive(Debug)]
struct Held {
    /// The number of its next attempt here.
    number: u32,
    /// When it was last tried.
    tried: Instant,
    by: Option<Owner>,
}

/// What another process of this machine has is looked at so often, at least: it costs little, and who is killed
/// is found out at once.
const LONGEST_PAUSE_HERE: Duration = Duration::from_millis(500);

impl RunState {
    /// Another process has `node`, or this one has lost it.
    pub(crate) fn set_aside(&mut self, node: NodeId, number: u32, owner: Option<&Owner>) {
        if let Some(owner) = owner {
            self.tracker.elsewhere(node, owner);
        }
        if self.schedule.is_closed() {
            self.schedule.set_aside(node);
            return;
        }
        self.schedule.set_aside(node);
        let held = Held {
            number,
            tried: Instant::now(),
            by: owner.cloned(),
        };
        self.elsewhere.tasks.insert(node, held);
        self.look();
    }

    fn look(&mut self) {
        if self.elsewhere.tasks.is_empty() || self.schedule.is_closed() {
            return;
        }
        let again = self.runner.ttl / 3;
        let tasks = self.elsewhere.tasks.iter();
        let tasks: Vec<(NodeId, bool)> = tasks
            .map(|(node, held)| {
                let has_exited = held.by.as_ref().is_some_and(Owner::has_exited);
                (*node, has_exited || held.tried.elapsed() >= again)
            })
            .collect();
        let mut pause = pause(self.elsewhere.idle_polls, self.runner.ttl);
        let mut holders = self
            .elsewhere
            .tasks
            .values()
            .filter_map(|held| held.by.as_ref());
        if self.runner.workspace.is_directory() && holders.any(Owner::is_here) {
            pause = pause.min(LONGEST_PAUSE_HERE);
        }
        let (graph, workspace) = (Arc::clone(&self.graph), self.runner.workspace.clone());
        self.aside.look(look(graph, workspace, tasks, pause));
    }

    pub(crate) fn looked(&mut self, looks: ClaimPoll) {
        self.aside.looked();
        let found = looks.unwrap_or_else(|error| {
            tracing::warn!(
                error = crate::error::chain(&error),
                "failed to look after other processes"
            );
            Vec::new()
        });
        self.elsewhere.idle_polls += 1;
        for (node, found) in found {
            match found {
                ForeignStatus::Held => continue,
                ForeignStatus::Made => {
                    self.elsewhere.idle_polls = 0;
                    self.made_elsewhere(node);
                }
                ForeignStatus::Free => {
                    if let Some(held) = self.elsewhere.tasks.get(&node) {
                        self.numbers.insert(node, held.number);
                    }
                    self.schedule.retry(node);
                }
            }
            self.elsewhere.tasks.remove(&node);
        }
        self.look();
    }

    /// The output of `node` is there, and this run has not made it.
    pub(crate) fn made_elsewhere(&mut self, node: NodeId) {
        self.tracker.made_elsewhere(node);
        self.schedule.complete(node);
        self.release_requirements(node);
        self.settle(node, || None);
    }
}

/// Looks, after a pause, at tasks that other processes have: `true` stands for those whose holders are to be
/// looked at too.
async fn look(
    graph: Arc<Graph>,
    workspace: Workspace,
    tasks: Vec<(NodeId, bool)>,
    pause: Duration,
) -> ClaimPoll {
    sleep(pause).await;
    let nodes = tasks.iter().map(|(node, _)| *node).collect();
    let needs = ask(&graph, nodes, &workspace).await?;
    let claimed = if needs.iter().all(|(_, need)| need.is_complete()) {
        HashSet::new()
    } else {
        claimed(&workspace).await?
    };
    let looks = needs
        .into_iter()
        .zip(tasks)
        .map(|((node, need), (_, again))| {
            let found = if need.is_complete() {
                ForeignStatus::Made
            } else if again || !claimed.contains(&graph.node(node).key) {
                ForeignStatus::Free
            } else {
                ForeignStatus::Held
            };
            (node, found)
        });
    Ok(looks.collect())
}

/// The keys that somebody claims.
async fn claimed(workspace: &Workspace) -> Result<HashSet<Key>, Error> {
    let claims = workspace.list("_kart/claims").await?;
    let keys = claims
        .iter()
        .filter_map(|path| path.split('/').nth(2)?.parse().ok());
    Ok(keys.collect())
}
