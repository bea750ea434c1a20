//! One's own liveness: when to renew it, and when it is lost.

use std::time::Duration;

use super::Moment;

/// The liveness of one process, from its first renewal to its loss.
#[derive(Clone, Debug)]
pub(crate) struct LeaseClock {
    ttl: Duration,
    counter: u64,
    /// When the last renewal was sent that is known to be in the store.
    renewed: Moment,
    is_lost: bool,
}

impl LeaseClock {
    /// A process whose liveness object, sent at `sent`, is in the store.
    pub(crate) fn new(ttl: Duration, sent: Moment) -> Self {
        LeaseClock {
            ttl,
            counter: 0,
            renewed: sent,
            is_lost: false,
        }
    }

    /// When the next renewal is to be sent.
    pub(crate) fn due(&self) -> Moment {
        self.renewed + self.ttl / 3
    }

    /// How long to wait before a renewal that failed is sent again.
    pub(crate) fn pause(&self) -> Duration {
        self.ttl / 12
    }

    /// The number of the next renewal: no two are equal, so that others see that it changed.
    pub(crate) fn beat(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A renewal that was sent at `sent` is known, at `now`, to be in the store. One that came too late
    /// brings nothing back: others may have taken over meanwhile.
    pub(crate) fn renewed(&mut self, sent: Moment, now: Moment) {
        if !self.is_lost(now) {
            self.renewed = self.renewed.max(sent);
        }
    }

    /// Whether everything that was claimed is lost, for good.
    pub(crate) fn is_lost(&mut self, now: Moment) -> bool {
        self.is_lost = self.is_lost || now >= self.lost_at();
        self.is_lost
    }

    /// When it will be lost unless a renewal succeeds before.
    pub(crate) fn lost_at(&self) -> Moment {
        self.renewed + self.ttl * 2 / 3
    }
}
