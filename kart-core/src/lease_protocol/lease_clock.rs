//! This process's own clock of its leases: when the next heartbeat is due, and when the leases are lost.

use std::time::Duration;

use super::Moment;

/// The liveness of one process, from its first heartbeat to its loss.
#[derive(Clone, Debug)]
pub(crate) struct LeaseClock {
    ttl: Duration,
    counter: u64,
    /// When the last heartbeat that is known to be in the store was sent.
    renewed: Moment,
    is_lost: bool,
}

impl LeaseClock {
    /// Starts the clock of a process whose first heartbeat was sent at `sent`.
    pub(crate) fn new(ttl: Duration, sent: Moment) -> Self {
        LeaseClock {
            ttl,
            counter: 0,
            renewed: sent,
            is_lost: false,
        }
    }

    /// Returns when the next heartbeat is due.
    pub(crate) fn due(&self) -> Moment {
        self.renewed.saturating_add(self.ttl / 3)
    }

    /// Returns how long to wait before a heartbeat that failed is sent again.
    pub(crate) fn pause(&self) -> Duration {
        self.ttl / 12
    }

    /// Returns the number of the next heartbeat. No two are equal, so that others see a change.
    pub(crate) fn next_heartbeat(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Takes the news, at `now`, that a heartbeat sent at `sent` is in the store. One that came too late
    /// restores nothing: others may have taken over.
    pub(crate) fn renewed(&mut self, sent: Moment, now: Moment) {
        if !self.is_lost(now) {
            self.renewed = self.renewed.max(sent);
        }
    }

    /// Returns whether all leases are lost, for good.
    pub(crate) fn is_lost(&mut self, now: Moment) -> bool {
        self.is_lost = self.is_lost || now >= self.lost_at();
        self.is_lost
    }

    /// Returns when the leases are lost unless a heartbeat succeeds before.
    pub(crate) fn lost_at(&self) -> Moment {
        self.renewed.saturating_add(self.ttl / 3 * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_that_came_too_late_restores_nothing() {
        let mut clock = LeaseClock::new(Duration::from_secs(30), Duration::ZERO);
        clock.renewed(Duration::from_secs(10), Duration::from_secs(21));
        assert!(clock.is_lost(Duration::from_secs(21)));
    }

    #[test]
    fn the_longest_ttl_is_never_lost() {
        let mut clock = LeaseClock::new(Duration::MAX, Duration::from_secs(7));
        assert!(clock.due() > Duration::from_secs(u64::MAX / 4));
        clock.renewed(Duration::MAX / 2, Duration::MAX / 2);
        assert!(!clock.is_lost(Duration::MAX - Duration::from_nanos(1)));
        assert_eq!(clock.lost_at(), Duration::MAX);
    }
}
