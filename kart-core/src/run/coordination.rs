//! What of the workspace a run holds while it runs: all, each task by itself, or nothing.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, sleep_until};

use crate::lease::{Claim, Claimed, Participant};
use crate::model::NodeId;
use crate::plan::{Graph, describe};
use crate::report::RunError;
use crate::run::settings::Settings;
use crate::run::shutdown;

/// How runs on one workspace keep out of each other's way.
///
/// Outputs are safe in any case: one whose path holds its key is never changed once it is there. This is
/// about work that would be done twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Coordination {
    /// One run of a root at a time; another is [`RunError::AlreadyRunning`], or [waits](Runner::wait). Costs a handful
    /// of requests for each run that has something to do.
    #[default]
    Exclusive,
    /// Any number of runs share the work: each task runs in one of them, and the others wait for its output.
    /// Costs three requests more for each task that runs.
    Shared,
    /// Nobody is asked. For whoever runs alone and can save the requests, and for stores that do not honour
    /// create-only writes.
    None,
}

/// What a run holds. The participant belongs to the run itself, and ends with it.
#[derive(Clone, Debug)]
pub(crate) enum Leases {
    Nothing,
    /// The roots, and with them all that they require.
    Roots {
        claims: Arc<[Arc<Claim>]>,
        participant: Weak<Participant>,
    },
    /// Each task while it runs.
    PerTask(Weak<Participant>),
}

/// The pauses between looks at what another process has.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// A pause that grows with each look in vain, up to a part of the ttl, with jitter.
pub(crate) fn pause(looks: u32, ttl: Duration) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(looks.min(16)));
    doubled.min(ttl / 6).mul_f64(0.5 + fastrand::f64() / 2.0)
}

impl Leases {
    /// Claims what the run is to hold before it begins.
    pub(crate) async fn take(
        settings: &Settings,
        member: &Arc<Participant>,
        graph: &Graph,
        started: Instant,
    ) -> Result<Self, RunError> {
        match settings.coordination {
            Coordination::None => Ok(Leases::Nothing),
            Coordination::Shared => {
                // Nobody comes back to the claim on a task whose output is there.
                member.sweeps();
                Ok(Leases::PerTask(Arc::downgrade(member)))
            }
            Coordination::Exclusive => {
                // In one order for all runs, so that no two wait for each other.
                let mut roots = graph.roots.clone();
                roots.sort_unstable_by_key(|root| graph.node(*root).key);
                roots.dedup();
                let mut claims = Vec::with_capacity(roots.len());
                for root in roots {
                    match claim_root(settings, member, graph, root, started).await {
                        Ok(claim) => claims.push(Arc::new(claim)),
                        Err(error) => {
                            release(&claims, false).await;
                            return Err(error);
                        }
                    }
                }
                Ok(Leases::Roots {
                    claims: claims.into(),
                    participant: Arc::downgrade(member),
                })
            }
        }
    }

    /// Whether each task is claimed by itself.
    pub(crate) fn are_per_task(&self) -> bool {
        matches!(self, Leases::PerTask(_))
    }

    /// A claim that is lost when all that the run holds as a whole is.
    pub(crate) fn root(&self) -> Option<Arc<Claim>> {
        match self {
            Leases::Roots { claims, .. } => claims.first().cloned(),
            Leases::Nothing | Leases::PerTask(_) => None,
        }
    }

    /// Waits until what the run holds as a whole is lost.
    pub(crate) async fn lost(&self) {
        match self {
            // They are of one life, and lost together.
            Leases::Roots { claims, .. } if !claims.is_empty() => claims[0].lost().await,
            _ => std::future::pending().await,
        }
    }

    /// Gives back what was claimed for the whole run.
    pub(crate) async fn release(&self, is_complete: bool) {
        if let Leases::Roots { claims, .. } = self {
            release(claims, is_complete).await;
        }
    }
}

async fn release(claims: &[Arc<Claim>], is_complete: bool) {
    join_all(claims.iter().map(|claim| claim.release(is_complete))).await;
}

/// Claims one root; waits as long as the runner says.
async fn claim_root(
    settings: &Settings,
    member: &Participant,
    graph: &Graph,
    root: NodeId,
    started: Instant,
) -> Result<Claim, RunError> {
    let root = graph.node(root);
    let what = describe(root.task.as_ref());
    let until = started.checked_add(settings.wait);
    let mut looks = 0;
    loop {
        match member.claim(root.key, &what).await {
            Ok(Claimed::Won(claim)) => return Ok(claim),
            Ok(Claimed::Held(owner)) => {
                let pause = pause(looks, settings.ttl);
                if !wait(settings, until, started, pause).await {
                    return Err(RunError::AlreadyRunning(Box::new(owner)));
                }
                looks += 1;
            }
            Err(error) => return Err(RunError::Store(error)),
        }
    }
}

/// Waits before another look; `false` when there is none to be.
async fn wait(
    settings: &Settings,
    until: Option<Instant>,
    started: Instant,
    pause: Duration,
) -> bool {
    let end = [until, shutdown::deadline(settings, started)];
    let Some(end) = end.into_iter().flatten().min() else {
        sleep(pause).await;
        return !settings.stop.is_stopping();
    };
    let next = Instant::now() + pause;
    tokio::select! {
        biased;
        () = settings.stop.stopped() => false,
        () = sleep_until(next.min(end)) => next < end,
    }
}
