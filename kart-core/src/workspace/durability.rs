//! What the outputs in a directory survive.

use std::sync::atomic::{AtomicBool, Ordering};

/// What the outputs in a directory survive without being made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The end of the process, however it ends. What a power cut takes or tears is noticed and made again.
    #[default]
    Process,
    /// Power cuts too: an attempt ends when its output has reached the disk. Attempts that end together share the flush.
    Power,
}

/// The durability of one workspace.
#[derive(Debug, Default)]
pub(super) struct DurabilitySetting(AtomicBool);

impl DurabilitySetting {
    pub(super) fn set(&self, durability: Durability) {
        let survives_power_cuts = durability == Durability::Power;
        self.0.store(survives_power_cuts, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Durability {
        if self.0.load(Ordering::Relaxed) {
            Durability::Power
        } else {
            Durability::Process
        }
    }
}
