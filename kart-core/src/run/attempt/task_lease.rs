//! What an attempt holds of the workspace while it is made: the task, where each is claimed, and a path without a key.

use std::sync::Arc;

use crate::error::{Error, interrupted};
use crate::key::Key;
use crate::lease::{Claim, Claimed, Owner, Participant};
use crate::model::NodeId;
use crate::plan::{Status, check_outputs, describe};
use crate::run::coordination::Leases;
use crate::run::run_context::RunContext;

/// The claims of one attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskLease {
    claims: Vec<Arc<Claim>>,
}

/// What came of the try to hold a task.
pub(crate) enum Acquired {
    /// It may run: nobody else has it, and its output was not there a moment ago.
    Held(TaskLease),
    /// Its output is there.
    Complete(TaskLease),
    Foreign(Owner),
}

impl TaskLease {
    /// Claims what an attempt of `node` needs beyond the claims of the run.
    pub(crate) async fn acquire(
        run: &RunContext,
        id: NodeId,
        status: Status,
    ) -> Result<Acquired, Error> {
        let node = run.graph.node(id);
        let is_keyed = node.task.spec().is_keyed();
        let (participant, claims_task) = match &run.leases {
            Leases::Nothing => return Ok(Acquired::Held(TaskLease::default())),
            Leases::Roots { .. } if is_keyed => return Ok(Acquired::Held(TaskLease::default())),
            Leases::Roots { participant, .. } => (participant, false),
            Leases::PerTask(participant) => (participant, true),
        };
        let Some(participant) = participant.upgrade() else {
            return Err(interrupted().into());
        };
        let what = describe(node.task.as_ref());
        let mut lease = TaskLease::default();
        if claims_task {
            match participant.claim(node.key, &what).await? {
                Claimed::Won(claim) => lease.claims.push(Arc::new(claim)),
                Claimed::Held(owner) => return Ok(Acquired::Foreign(owner)),
            }
        }
        if !is_keyed {
            match claim_path(&participant, &node.path()?, &what).await {
                Ok(Claimed::Won(claim)) => lease.claims.push(Arc::new(claim)),
                Ok(Claimed::Held(owner)) => {
                    lease.release(false).await;
                    return Ok(Acquired::Foreign(owner));
                }
                Err(error) => {
                    lease.release(false).await;
                    return Err(error);
                }
            }
        }
        if status.replaces() {
            return Ok(Acquired::Held(lease));
        }
        match check_outputs(&run.graph, vec![id], &run.workspace).await {
            Ok(found) if found.iter().all(|(_, status)| status.is_complete()) => {
                Ok(Acquired::Complete(lease))
            }
            Ok(_) => Ok(Acquired::Held(lease)),
            Err(error) => {
                lease.release(false).await;
                Err(error)
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// Whether it is this run's still, as far as can be told without asking the store.
    pub(crate) fn is_held(&self) -> bool {
        self.claims.iter().all(|claim| claim.is_held())
    }

    /// Waits until it is lost, which may be forever.
    pub(crate) async fn lost(&self) {
        match self.claims.first() {
            // They are of one participant, and lost together.
            Some(claim) => claim.lost().await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().map(Arc::as_ref)
    }

    /// Gives it back; with `is_done` nobody comes back to the task.
    pub(crate) async fn release(&self, is_done: bool) {
        for claim in &self.claims {
            claim.release(is_done).await;
        }
    }

    /// Writes down, for the others that share the run, that the task has failed for good.
    pub(crate) async fn fail(&self, attempts: u32, error: String) {
        for claim in &self.claims {
            let _ = (attempts, &error);
            claim.release(false).await;
        }
    }
}

async fn claim_path(participant: &Participant, path: &str, what: &str) -> Result<Claimed, Error> {
    Ok(participant.claim(path_key(path), what).await?)
}

/// What a path without a key is claimed by, so that two tasks that write it take turns.
pub(crate) fn path_key(path: &str) -> Key {
    Key::of(format!("path:{path}").as_bytes())
}
