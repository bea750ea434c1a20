//! What an observer has seen of a history.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use super::faults::Counts;
use super::promises::Promise;
use super::world::TTL;

/// Whatever leases need gives up after that time.
const OUTAGE: Duration = Duration::from_secs(TTL.as_secs() / 3);

/// One attempt of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) life: usize,
    pub(super) run: usize,
    pub(super) day: u32,
    pub(super) at: u32,
    pub(super) begun: Duration,
    pub(super) is_over: bool,
    /// Whether it ended as its script says that it fails.
    pub(super) has_failed: bool,
}

/// One run of one process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) life: usize,
    pub(super) root: (u32, u32),
    pub(super) begun: Duration,
    pub(super) ended: Option<Duration>,
    pub(super) is_over: bool,
}

/// A promise that was not kept.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) at: Duration,
    pub(super) promise: Promise,
    pub(super) how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} (at {:.3} s)",
            self.promise,
            self.how,
            self.at.as_secs_f64()
        )
    }
}

/// A request that is sent again while it fails: by which process, what, and where.
type Repeated = (usize, &'static str, String);

#[derive(Debug)]
pub(super) struct Notes {
    pub(super) attempts: Vec<Attempt>,
    pub(super) runs: Vec<Run>,
    pub(super) requests: u64,
    pub(super) counts: Counts,
    pub(super) kept: [u64; Promise::COUNT],
    pub(super) double_work: u64,
    /// How many changes of claims took effect late.
    pub(super) late_claims: u64,
    /// The states that bodies know to be saved, by task and place in it.
    pub(super) saved: BTreeMap<(u32, u32, usize), u64>,
    pub(super) broken: Option<Broken>,
    /// Since when requests fail that are repeated.
    failing: BTreeMap<Repeated, Duration>,
    /// Which processes had a request that failed for long, and until when.
    outages: Vec<(usize, Duration)>,
    is_told: bool,
    story: String,
}

impl Notes {
    pub(super) fn new(is_told: bool) -> Self {
        Notes {
            attempts: Vec::new(),
            runs: Vec::new(),
            requests: 0,
            counts: Counts::default(),
            kept: [0; Promise::COUNT],
            double_work: 0,
            late_claims: 0,
            saved: BTreeMap::new(),
            broken: None,
            failing: BTreeMap::new(),
            outages: Vec::new(),
            is_told,
            story: String::new(),
        }
    }

    pub(super) fn tell(&mut self, now: Duration, life: usize, what: &str) {
        if self.is_told {
            let who = if life == usize::MAX {
                "-".to_owned()
            } else {
                format!("p{life}")
            };
            let _ = writeln!(self.story, "{:>9.3} {who:>3} {what}", now.as_secs_f64());
        }
    }

    pub(super) fn broke(&mut self, at: Duration, promise: Promise, how: String) {
        self.broken.get_or_insert(Broken { at, promise, how });
    }

    pub(super) fn story(&self) -> &str {
        &self.story
    }

    /// A request that was sent at some time has its answer, or has failed.
    pub(super) fn answered(
        &mut self,
        request: Repeated,
        (sent, now): (Duration, Duration),
        has_failed: bool,
    ) {
        let life = request.0;
        if has_failed {
            self.failing.entry(request).or_insert(sent);
        } else if let Some(since) = self.failing.remove(&request)
            && since + OUTAGE <= now
        {
            self.outages.push((life, now));
        }
    }

    /// Whether a request of a process failed since some moment for longer than a lease allows.
    pub(super) fn had_outage(&self, life: usize, since: Duration, now: Duration) -> bool {
        let mut over = self.outages.iter();
        let mut failing = self.failing.iter();
        over.any(|(by, until)| *by == life && *until >= since)
            || failing
                .any(|((by, ..), from)| *by == life && *from >= since && *from + OUTAGE <= now)
    }

    /// The attempts under way.
    pub(super) fn live(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(|attempt| !attempt.is_over)
    }

    /// A process is no more: nothing of it goes on.
    pub(super) fn died(&mut self, life: usize, now: Duration) {
        for attempt in self
            .attempts
            .iter_mut()
            .filter(|attempt| attempt.life == life)
        {
            attempt.is_over = true;
        }
        for run in self.runs.iter_mut().filter(|run| run.life == life) {
            run.is_over = true;
            run.ended.get_or_insert(now);
        }
    }

    /// When the current attempt of a life at a task began.
    pub(super) fn last_attempt(&self, life: usize, day: u32, at: u32) -> Option<&Attempt> {
        let mut attempts = self.attempts.iter().rev();
        attempts.find(|attempt| (attempt.life, attempt.day, attempt.at) == (life, day, at))
    }
}
