//! Whether an interrupted run is handed on, and by which name.

use kart_core::Counts;

/// Where a run stands in a row of runs that were handed on from one to the next.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Which run in the row it is, from 0.
    pub(crate) attempt: u32,
    /// The name of the row; that of the run itself where nobody gave one.
    pub(crate) chain: Option<String>,
}

impl Link {
    /// Of those who asked for one run, the one who is furthest speaks for all: the successors of the others have been
    /// named, and a queue that knows a name takes it for done.
    pub(super) fn adopt(&mut self, other: Link) {
        if other.attempt > self.attempt || self.chain.is_none() && other.chain.is_some() {
            *self = other;
        }
    }
}

/// Why a run stopped, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Its time was up.
    Deadline,
    /// Whoever waited for it has gone away.
    Abandoned,
    /// The service ends, another process has taken over, or the run was lost.
    Other,
}

/// Whether to hand a run on, or why not.
///
/// A successor starts at once, so that a run that hands itself on without having done anything could go on for ever,
/// as fast as the queue can.
pub(super) fn is_worth_it(
    cut: Cut,
    counts: Option<Counts>,
    is_waited_for: bool,
) -> Result<(), &'static str> {
    let counts = counts.unwrap_or_default();
    if cut == Cut::Abandoned {
        return Err("who waited for the run has gone away");
    }
    if counts.ran + counts.elsewhere > 0 {
        return Ok(());
    }
    // A body that had all the time there is may have saved how far it came.
    if cut == Cut::Deadline && counts.interrupted > 0 {
        return Ok(());
    }
    // Nobody would repeat what was answered with 202, and an end of the service is not of the run's making.
    if counts.interrupted > 0 && !is_waited_for {
        return Ok(());
    }
    Err("nothing was completed in it, and its successor would do no better")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(ran: usize, interrupted: usize) -> Option<Counts> {
        let mut counts = Counts::default();
        counts.ran = ran;
        counts.interrupted = interrupted;
        counts.left = 3;
        Some(counts)
    }

    #[test]
    fn what_has_done_something_is_handed_on_unless_nobody_wants_it() {
        for cut in [Cut::Deadline, Cut::Other] {
            assert!(is_worth_it(cut, counts(1, 0), true).is_ok());
        }
        assert!(is_worth_it(Cut::Abandoned, counts(1, 0), false).is_err());
    }

    #[test]
    fn what_has_completed_nothing_is_handed_on_if_time_was_all_that_it_lacked() {
        assert!(is_worth_it(Cut::Deadline, counts(0, 1), true).is_ok());
        assert!(is_worth_it(Cut::Deadline, counts(0, 0), true).is_err());
        assert!(is_worth_it(Cut::Other, counts(0, 1), true).is_err());
        assert!(is_worth_it(Cut::Other, counts(0, 1), false).is_ok());
        assert!(is_worth_it(Cut::Other, None, false).is_err());
    }

    #[test]
    fn the_furthest_of_those_who_asked_counts() {
        let link = |attempt, chain: Option<&str>| Link {
            attempt,
            chain: chain.map(str::to_owned),
        };
        let mut first = link(0, None);
        first.adopt(link(3, Some("a")));
        first.adopt(link(1, Some("b")));
        assert_eq!((first.attempt, first.chain.as_deref()), (3, Some("a")));
    }
}
