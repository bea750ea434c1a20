//! The leases of a run: on its roots, on each task while it runs, or none.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use crate::lease::{Claim, Claimed, Owner, Participant, Releases};
use crate::model::NodeId;
use crate::plan::{Graph, describe};
use crate::report::RunError;
use crate::run::settings::{Coordination, Settings};
use crate::run::shutdown;

/// The leases of a run. The run itself owns the participant, which ends with it.
#[derive(Clone, Debug)]
pub(crate) enum Leases {
    Nothing,
    /// On the roots, and so on everything below.
    Roots {
        claims: Arc<[Arc<Claim>]>,
        participant: Weak<Participant>,
        /// Whether another run held one of them first.
        has_waited: bool,
    },
    /// On each task while it runs.
    PerTask(Weak<Participant>),
}

/// The first pause between looks at a holder.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Returns a pause that doubles with each look, up to a sixth of the ttl, with jitter.
pub(crate) fn pause(looks: u32, ttl: Duration) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(looks.min(16)));
    doubled.min(ttl / 6).mul_f64(0.5 + fastrand::f64() / 2.0)
}

impl Leases {
    /// Claims the roots, if the run is exclusive.
    pub(crate) async fn take(
        settings: &Settings,
        participant: &Arc<Participant>,
        graph: &Graph,
        started: Instant,
    ) -> Result<Self, RunError> {
        match settings.coordination {
            Coordination::None => Ok(Leases::Nothing),
            Coordination::Shared => {
                // A dead process leaves claims on tasks whose outputs exist, which no run claims again.
                participant.sweeps();
                Ok(Leases::PerTask(Arc::downgrade(participant)))
            }
            Coordination::Exclusive => {
                // All runs claim in one order, so no two wait for each other.
                let mut roots = graph.roots.clone();
                roots.sort_unstable_by_key(|root| graph.node(*root).key);
                roots.dedup();
                let mut claims = Vec::with_capacity(roots.len());
                let mut has_waited = false;
                for root in roots {
                    match claim_root(settings, participant, graph, root, started).await {
                        Ok((claim, waited)) => {
                            has_waited |= waited;
                            claims.push(Arc::new(claim));
                        }
                        Err(error) => {
                            release(&claims, false).await;
                            return Err(error);
                        }
                    }
                }
                Ok(Leases::Roots {
                    claims: claims.into(),
                    participant: Arc::downgrade(participant),
                    has_waited,
                })
            }
        }
    }

    /// Returns whether each task is claimed by itself.
    pub(crate) fn are_per_task(&self) -> bool {
        matches!(self, Leases::PerTask(_))
    }

    /// Returns whether another run held a root before this one.
    pub(crate) fn have_waited(&self) -> bool {
        matches!(
            self,
            Leases::Roots {
                has_waited: true,
                ..
            }
        )
    }

    /// Returns this run as a participant, if it claims anything.
    pub(crate) fn participant(&self) -> Option<Arc<Participant>> {
        match self {
            Leases::Nothing => None,
            Leases::Roots { participant, .. } | Leases::PerTask(participant) => {
                participant.upgrade()
            }
        }
    }

    /// Returns a claim on a root. All of them are lost together.
    pub(crate) fn root(&self) -> Option<Arc<Claim>> {
        match self {
            Leases::Roots { claims, .. } => claims.first().cloned(),
            Leases::Nothing | Leases::PerTask(_) => None,
        }
    }

    /// Waits until the leases on the roots are lost.
    pub(crate) async fn lost(&self) {
        match self {
            // They are lost together.
            Leases::Roots { claims, .. } if !claims.is_empty() => claims[0].lost().await,
            _ => std::future::pending().await,
        }
    }

    /// Releases the roots.
    pub(crate) async fn release(&self, is_complete: bool) {
        if let Leases::Roots { claims, .. } = self {
            release(claims, is_complete).await;
        }
    }
}

async fn release(claims: &[Arc<Claim>], is_complete: bool) {
    join_all(claims.iter().map(|claim| claim.release(is_complete))).await;
}

/// Claims one root, and waits for its holder while [`Patience`] lasts. Returns the claim, and whether it has waited.
async fn claim_root(
    settings: &Settings,
    participant: &Participant,
    graph: &Graph,
    root: NodeId,
    started: Instant,
) -> Result<(Claim, bool), RunError> {
    let root = graph.node(root);
    let what = describe(root.task.as_ref());
    let mut patience = Patience::new(settings, started);
    let mut has_waited = false;
    loop {
        let claimed = participant.claim_anew(root.key, &what).await;
        let owner = match claimed.map_err(RunError::Store)? {
            Claimed::Won(claim) => return Ok((claim, has_waited)),
            Claimed::Held(owner) | Claimed::Failed { owner, .. } => owner,
        };
        if !patience.outlasts(&owner).await {
            return Err(RunError::AlreadyRunning(Box::new(owner)));
        }
        has_waited = true;
    }
}

/// How long a run waits for the holder of its root.
///
/// It waits for a run of its own process until that has ended, so both share one run. It looks at any other holder until
/// the heartbeat shows that it is alive, and then for as long as [`Settings::wait`] says. It takes over from a holder
/// whose heartbeat does not change for one ttl. Stop and deadline end every wait.
struct Patience<'r> {
    settings: &'r Settings,
    started: Instant,
    /// When the run first met a holder.
    met: Option<Instant>,
    looks: u32,
    /// The holder in this process that the run met last.
    local: Option<Releases>,
}

impl<'r> Patience<'r> {
    fn new(settings: &'r Settings, started: Instant) -> Self {
        Patience {
            settings,
            started,
            met: None,
            looks: 0,
            local: None,
        }
    }

    /// Waits before the next try. Returns `false` when patience is over.
    async fn outlasts(&mut self, owner: &Owner) -> bool {
        let deadline = shutdown::deadline(self.settings, self.started);
        if let Some(releases) = owner.releases() {
            let local = self.local.take().filter(|local| local.is_of(&releases));
            let Some(mut local) = local else {
                // The release may have come before this subscription: try once more.
                self.local = Some(releases);
                return !self.is_over(deadline);
            };
            let is_free = tokio::select! {
                biased;
                () = self.settings.stop.stopped() => false,
                () = at(deadline) => false,
                () = local.next() => true,
            };
            self.local = Some(local);
            return is_free;
        }
        let ttl = self.settings.ttl;
        let met = *self.met.get_or_insert_with(Instant::now);
        let wait = self.started.checked_add(self.settings.wait);
        let mut pause = pause(self.looks, ttl);
        let mut end = wait;
        if !owner.is_alive() {
            let silence = met.checked_add(ttl.saturating_mul(2));
            end = wait.zip(silence).map(|(wait, silence)| wait.max(silence));
        }
        if wait.is_some_and(|wait| wait <= Instant::now()) {
            pause = pause.min(ttl / 12);
        }
        self.looks += 1;
        let end = [end, deadline].into_iter().flatten().min();
        let next = Instant::now() + pause;
        tokio::select! {
            biased;
            () = self.settings.stop.stopped() => false,
            () = at(end) => false,
            () = sleep_until(next) => true,
        }
    }

    fn is_over(&self, deadline: Option<Instant>) -> bool {
        self.settings.stop.is_stopping() || deadline.is_some_and(|end| end <= Instant::now())
    }
}

/// Waits for an instant, or for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
