//! Foreign tasks: another process holds them. The run polls for their outputs, and claims them when they are free.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::state::RunState;
use crate::error::{Error, chain};
use crate::key::Key;
use crate::lease::{Owner, path_key};
use crate::model::NodeId;
use crate::plan::check_outputs;
use crate::run::coordination::pause;
use crate::run::message::{ClaimPoll, ForeignStatus, Message};
use crate::run::reruns::made_for;
use crate::run::run_context::RunContext;
use crate::run::table::{Foreign, State};
use crate::run_id::RunId;
use crate::workspace::{Workspace, layout};

/// The longest pause between polls of what another process of this machine holds. Such a poll costs little, and soon finds
/// out that the process was killed.
const LONGEST_LOCAL_PAUSE: Duration = Duration::from_millis(500);

/// A task to poll.
struct Polled {
    node: NodeId,
    /// The reruns that its output has to be made for, if it runs again although there may be one.
    wanted_by: Option<Arc<[RunId]>>,
    /// Whether to try its claim again in any case: its holder may be dead.
    again: bool,
}

impl RunState {
    pub(super) fn set_foreign(&mut self, node: NodeId, owner: Option<Owner>) {
        if self.table.is_closed() {
            self.table.set(node, State::Unreachable);
            return;
        }
        let foreign = Foreign {
            tried: Instant::now(),
            owner,
        };
        self.table.attempts_mut(node).foreign = Some(foreign);
        self.table.set(node, State::Foreign);
        self.poll_claims();
    }

    fn poll_claims(&mut self) {
        if self.background.is_polling() {
            return;
        }
        self.watch_foreign_waits();
        let nodes = self.table.foreign();
        if nodes.is_empty() || self.table.is_closed() {
            return;
        }
        let again = self.settings.ttl / 3;
        let mut pause = pause(self.idle_polls, self.settings.ttl);
        let is_directory = self.settings.workspace.is_directory();
        let mut polled: Vec<Polled> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let attempts = self.table.attempts(node);
            let Some(foreign) = attempts.and_then(|attempts| attempts.foreign.as_ref()) else {
                continue;
            };
            let owner = foreign.owner.as_ref();
            let has_exited = owner.is_some_and(Owner::has_exited);
            let mark = self.table.mark_of(node);
            let mark = mark.filter(|_| self.table.status(node).replaces());
            polled.push(Polled {
                node,
                wanted_by: mark.map(|mark| Arc::clone(&mark.wanted_by)),
                again: has_exited || foreign.tried.elapsed() >= again,
            });
            if is_directory && owner.is_some_and(Owner::is_here) {
                pause = pause.min(LONGEST_LOCAL_PAUSE);
            }
        }
        let run = Arc::clone(&self.run);
        self.background.poll(async move {
            sleep(pause).await;
            Message::ClaimsPolled(poll(&run, polled).await)
        });
    }

    pub(super) fn on_claims_polled(&mut self, poll: ClaimPoll) {
        self.background.polled();
        let found = poll.unwrap_or_else(|error| {
            tracing::warn!(
                error = chain(&error),
                "failed to poll tasks held by other processes"
            );
            Vec::new()
        });
        self.idle_polls += 1;
        for (node, status) in found {
            if self.table.state(node) != State::Foreign {
                continue;
            }
            match status {
                ForeignStatus::Held => {}
                ForeignStatus::Complete => {
                    self.idle_polls = 0;
                    self.on_completed_by_other(node);
                }
                ForeignStatus::Free => self.table.requeue(node),
            }
        }
        self.poll_claims();
    }
}

async fn poll(run: &RunContext, polled: Vec<Polled>) -> ClaimPoll {
    let (graph, workspace) = (&run.graph, &run.workspace);
    let is_plain = |polled: &&Polled| polled.wanted_by.is_none();
    let nodes = polled.iter().filter(is_plain).map(|polled| polled.node);
    let plain = check_outputs(graph, nodes.collect(), workspace).await?;
    let mut plain = plain
        .statuses
        .into_iter()
        .map(|(_, status)| status.is_complete());
    let wanted = polled
        .iter()
        .filter_map(|it| Some((it.node, it.wanted_by.clone()?)));
    let wanted: Vec<_> = wanted.collect();
    let mut made = made_for(graph, workspace, &wanted).await?.into_iter();
    let complete = polled.iter().map(|polled| {
        let is_complete = match polled.wanted_by {
            Some(_) => made.next(),
            None => plain.next(),
        };
        is_complete.unwrap_or_default()
    });
    let complete: Vec<bool> = complete.collect();
    let claimed = if complete.iter().all(|is_complete| *is_complete) {
        HashSet::new()
    } else {
        claimed(workspace).await?
    };
    let mut found = Vec::with_capacity(polled.len());
    for (polled, is_complete) in polled.into_iter().zip(complete) {
        let task = graph.node(polled.node);
        let mut is_claimed = claimed.contains(&task.key);
        if !task.task.spec().is_keyed() {
            is_claimed |= claimed.contains(&path_key(&task.path()?));
        }
        let status = if is_complete {
            ForeignStatus::Complete
        } else if polled.again || !is_claimed {
            ForeignStatus::Free
        } else {
            ForeignStatus::Held
        };
        found.push((polled.node, status));
    }
    Ok(found)
}

/// Returns the keys that have a claim.
async fn claimed(workspace: &Workspace) -> Result<HashSet<Key>, Error> {
    let claims = workspace.list(layout::CLAIMS).await?;
    let keys = claims.iter().filter_map(|path| layout::claim_at(path));
    Ok(keys.map(|(key, _)| key).collect())
}
