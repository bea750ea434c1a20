//! Claims what an attempt needs: its task if each task is claimed, and its path if that has no key and the workspace keeps no
//! provenance with its objects.

use std::sync::Arc;

use crate::error::{Error, interrupted};
use crate::lease::{Claim, Claimed, Owner};
use crate::model::{Loader, NodeId};
use crate::plan::{Status, check_outputs, describe};
use crate::run::coordination::Leases;
use crate::run::reruns::made_for;
use crate::run::run_context::RunContext;
use crate::run::task_lease::TaskLease;
use crate::run_id::RunId;

/// The result of claiming a task.
pub(crate) enum Acquired {
    /// It may run: this run holds it, and its output was missing a moment ago.
    Held(TaskLease),
    /// Its output exists.
    Complete(TaskLease),
    Foreign(Box<Owner>),
    /// All attempts failed at another process that shares the run.
    Failed {
        attempts: u32,
        error: String,
    },
}

/// Returns the claim, or why there is none.
fn won(claimed: Claimed) -> Result<Arc<Claim>, Box<Acquired>> {
    match claimed {
        Claimed::Won(claim) => Ok(Arc::new(claim)),
        Claimed::Held(owner) => Err(Box::new(Acquired::Foreign(Box::new(owner)))),
        Claimed::Failed {
            attempts, error, ..
        } => Err(Box::new(Acquired::Failed { attempts, error })),
    }
}

/// Claims what an attempt of `node` needs in addition to the claims of the run.
pub(crate) async fn acquire(
    run: &RunContext,
    id: NodeId,
    status: Status,
    wanted_by: &Arc<[RunId]>,
) -> Result<Acquired, Error> {
    let node = run.graph.node(id);
    let (participant, claims_task) = match &run.leases {
        Leases::Nothing => return Ok(Acquired::Held(TaskLease::default())),
        Leases::Roots { participant, .. } => (participant, false),
        Leases::PerTask(participant) => (participant, true),
    };
    // A sidecar is a second object, so two writers of one path have to take turns.
    let claims_path = !node.task.spec().is_keyed() && !run.workspace.keeps_metadata().await?;
    if !claims_task && !claims_path {
        return Ok(Acquired::Held(TaskLease::default()));
    }
    let Some(participant) = participant.upgrade() else {
        return Err(interrupted().into());
    };
    let what = describe(node.task.as_ref());
    let mut lease = TaskLease::default();
    if claims_task {
        match won(participant.claim(node.key, &what).await?) {
            Ok(claim) => lease.task = Some(claim),
            Err(acquired) => return Ok(*acquired),
        }
    }
    if claims_path {
        let claimed = participant.claim_path(&node.path()?).await.map(won);
        match claimed {
            Ok(Ok(claim)) => lease.path = Some(claim),
            Ok(Err(acquired)) => {
                lease.release(false).await;
                return Ok(*acquired);
            }
            Err(error) => {
                lease.release(false).await;
                return Err(error.into());
            }
        }
    }
    match is_complete(run, id, status, wanted_by).await {
        Ok(true) => Ok(Acquired::Complete(lease)),
        Ok(false) => Ok(Acquired::Held(lease)),
        Err(error) => {
            lease.release(false).await;
            Err(error)
        }
    }
}

/// Returns whether the output of a task is in the workspace, made for the reruns if the task runs again, and of today's
/// type if that is why it runs.
async fn is_complete(
    run: &RunContext,
    id: NodeId,
    status: Status,
    wanted_by: &Arc<[RunId]>,
) -> Result<bool, Error> {
    if status.replaces() {
        let wanted = [(id, Arc::clone(wanted_by))];
        return Ok(made_for(&run.graph, &run.workspace, &wanted).await? == [true]);
    }
    if status == Status::TypeChanged {
        let node = run.graph.node(id);
        let output = Loader::of(node.task.as_ref());
        let output = output
            .load(&run.workspace, &node.address()?, &run.verifier)
            .await;
        return Ok(output.is_ok());
    }
    let found = check_outputs(&run.graph, vec![id], &run.workspace).await?;
    let is_complete = |(_, status): &(NodeId, Status)| status.is_complete();
    Ok(found.statuses.iter().all(is_complete))
}
