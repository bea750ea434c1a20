//! Waits for work of other processes. Each process writes with its heartbeat which of its claims wait for claims of others, so
//! that a cycle is found that no process sees alone.

use std::collections::HashMap;

use tokio::time::sleep;

use super::Participant;
use crate::error::StoreError;
use crate::lease_protocol::{
    LivenessRecord, ProcessId, WaitCycle, WaitRecord, gives_way, wait_cycle,
};
use crate::workspace::layout;

/// A cycle, and how many heartbeats each process in it had written.
struct Sighted {
    cycle: WaitCycle,
    heartbeats: Vec<u64>,
}

impl Participant {
    /// Writes these waits with each heartbeat from now on.
    pub(crate) fn write_waits(&self, waits: Vec<WaitRecord>) {
        *self.shared().waits() = waits;
    }

    /// Returns the cycles in which a wait of this process is to give way, when it is sure of them.
    ///
    /// What a process writes may be over by the time another reads it, by up to two heartbeats. So a cycle counts when all
    /// of its processes have still written it two heartbeats later: then all of these waits were there at once.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub(crate) async fn wait_cycles(&self) -> Result<Vec<WaitCycle>, StoreError> {
        let mut before: Vec<Sighted> = Vec::new();
        loop {
            let now = self.look_for_cycles().await?;
            let is_sure = |sighted: &&Sighted| {
                before.iter().any(|before| {
                    let mut both = before.heartbeats.iter().zip(&sighted.heartbeats);
                    before.cycle == sighted.cycle && both.all(|(before, now)| before + 2 <= *now)
                })
            };
            let sure: Vec<WaitCycle> = now
                .iter()
                .filter(is_sure)
                .map(|s| s.cycle.clone())
                .collect();
            if now.is_empty() || !sure.is_empty() {
                return Ok(sure);
            }
            let unknown = now
                .into_iter()
                .filter(|sighted| before.iter().all(|before| before.cycle != sighted.cycle));
            let unknown: Vec<Sighted> = unknown.collect();
            before.extend(unknown);
            sleep(self.shared().ttl / 3).await;
        }
    }

    async fn look_for_cycles(&self) -> Result<Vec<Sighted>, StoreError> {
        let Some(own) = self.id().await else {
            return Ok(Vec::new());
        };
        let mine = self.shared().waits().clone();
        let mut heartbeats = HashMap::new();
        let mut waits = HashMap::from([(own, mine.clone())]);
        let mut open: Vec<ProcessId> = mine.iter().map(|wait| wait.from).collect();
        while let Some(process) = open.pop() {
            if waits.contains_key(&process) {
                continue;
            }
            let read = self.shared().read(&layout::heartbeat(process)).await?;
            let record = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let record: Option<LivenessRecord> = record;
            let (counter, of_it) = record.map_or((0, Vec::new()), |it| (it.counter, it.waits));
            open.extend(of_it.iter().map(|wait| wait.from));
            heartbeats.insert(process, counter);
            waits.insert(process, of_it);
        }
        let found = mine.iter().filter_map(|wait| {
            let cycle = wait_cycle(own, wait, &waits).filter(|cycle| gives_way(cycle))?;
            let others = cycle.iter().filter(|(process, _)| *process != own);
            let heartbeats = others.map(|(process, _)| heartbeats[process]).collect();
            Some(Sighted { cycle, heartbeats })
        });
        Ok(found.collect())
    }
}
