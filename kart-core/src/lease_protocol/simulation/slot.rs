//! One process as the observer sees it.

use std::time::Duration;

use super::super::Moment;
use super::TTL;
use super::process::Process;
use super::world::What;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Up,
    Paused,
    Killed,
}

/// A process as the observer sees it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) process: Process,
    pub(super) state: State,
    /// Its clock: where it started, and how fast it goes.
    pub(super) offset: Duration,
    pub(super) rate: f64,
    pub(super) backlog: Vec<What>,
    pub(super) renewed: Option<Moment>,
    pub(super) running: Option<usize>,
    pub(super) is_finished: bool,
}

impl Slot {
    pub(super) fn now(&self, world: Duration) -> Moment {
        self.offset + world.mul_f64(self.rate)
    }

    pub(super) fn lost_at(&self) -> Moment {
        self.renewed.unwrap_or_default() + TTL * 2 / 3
    }
}
