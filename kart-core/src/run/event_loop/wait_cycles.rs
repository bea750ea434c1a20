//! Cycles of waits through several processes: a body of this run waits for a task that another process holds, whose body waits
//! for what this one holds. The wait of one of them is refused, as within a run.

use tokio::time::sleep;

use super::state::RunState;
use crate::error::{Error, StoreError, chain};
use crate::key::Key;
use crate::lease::path_key;
use crate::lease_protocol::{WaitCycle, WaitRecord};
use crate::model::NodeId;
use crate::run::message::Message;
use crate::run::table::ForeignWait;

impl RunState {
    /// Tells other processes which bodies wait for what they hold, and looks for cycles if there are any.
    pub(super) fn watch_foreign_waits(&mut self) {
        let Some(participant) = self.run.leases.participant() else {
            return;
        };
        let waits = self.table.foreign_waits();
        let mut waits: Vec<WaitRecord> = waits
            .into_iter()
            .filter_map(|wait| self.wait_record(wait))
            .collect();
        waits.sort_unstable_by_key(|wait| (wait.held, wait.wanted));
        waits.dedup();
        let is_waiting = !waits.is_empty();
        participant.write_waits(waits);
        if !is_waiting || self.looks_for_cycles {
            return;
        }
        self.looks_for_cycles = true;
        let pause = self.settings.ttl / 3;
        self.background.spawn(async move {
            sleep(pause).await;
            Message::WaitCycles(participant.wait_cycles().await)
        });
    }

    pub(super) fn on_wait_cycles(&mut self, found: Result<Vec<WaitCycle>, StoreError>) {
        self.looks_for_cycles = false;
        let cycles = found.unwrap_or_else(|error| {
            tracing::debug!(
                error = chain(&error),
                "failed to look for cycles of waits through other processes"
            );
            Vec::new()
        });
        for cycle in cycles {
            let Some((_, own)) = cycle.first() else {
                continue;
            };
            let waits = self.table.foreign_waits().into_iter();
            let waits = waits.filter(|wait| self.wait_record(*wait).as_ref() == Some(own));
            let waits: Vec<ForeignWait> = waits.collect();
            for wait in waits {
                let Some(waiter) = self.table.waits.take_one(wait.subtask, wait.body) else {
                    continue;
                };
                let tasks = cycle.iter().chain(cycle.first());
                let tasks = tasks.map(|(_, wait)| wait.what.clone()).collect();
                self.deliver(waiter.by, waiter.reply, Err(Error::Cycle { tasks }));
            }
        }
        self.watch_foreign_waits();
    }

    fn wait_record(&self, wait: ForeignWait) -> Option<WaitRecord> {
        let foreign = self.table.attempts(wait.foreign)?.foreign.as_ref()?;
        Some(WaitRecord {
            held: self.contested(wait.body)?,
            what: self.describe(wait.body),
            wanted: self.contested(wait.foreign)?,
            from: foreign.owner.as_ref()?.process(),
        })
    }

    /// What processes contend for that want to run a task.
    fn contested(&self, node: NodeId) -> Option<Key> {
        let node = self.graph.node(node);
        if node.task.spec().is_keyed() {
            return Some(node.key);
        }
        Some(path_key(&node.path().ok()?))
    }
}
