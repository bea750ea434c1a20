//! How far a run is: what runs, what is left, and how long that may take.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use kart_core::{AnyTask, Event};

/// The rate is that of the last so many seconds.
const RATE_SECONDS: u64 = 10;

/// A task whose attempt is under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) task: AnyTask,
    pub(super) since: Instant,
    pub(super) attempt: u32,
    expected: Option<Duration>,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) message: Option<String>,
}

/// What has not begun yet.
#[derive(Debug, Default)]
struct Ahead {
    /// How long those take that past runs have shown, one after the other.
    work: Duration,
    known: usize,
    unknown: usize,
}

impl Ahead {
    fn take(&mut self, expected: Option<Duration>) {
        match expected {
            Some(expected) if self.known > 0 => {
                self.work = self.work.saturating_sub(expected);
                self.known -= 1;
            }
            _ => self.unknown = self.unknown.saturating_sub(1),
        }
    }

    /// One will never begin; which is not known, so it counts as one like the others.
    fn lose(&mut self) {
        let Some(share) = self.mean().filter(|_| self.known > self.unknown) else {
            return self.take(None);
        };
        self.take(Some(share));
    }

    fn mean(&self) -> Option<Duration> {
        let known = u32::try_from(self.known).ok().filter(|known| *known > 0)?;
        Some(self.work / known)
    }
}

/// The counts of a run so far.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) began: Instant,
    /// How many tasks the graph had at first: those with a higher index were asked for since.
    tasks: usize,
    pub(super) to_run: usize,
    pub(super) done: usize,
    pub(super) failed: usize,
    /// Neither done nor failed, and not to be run any more.
    dropped: usize,
    pub(super) running: HashMap<usize, Running>,
    /// What is tried again after a pause.
    resting: HashMap<usize, Option<Duration>>,
    ahead: Ahead,
    /// How long all attempts that have ended took.
    busy: Duration,
    /// How many tasks took that, and how long those that were done did.
    done_here: u32,
    busy_done: Duration,
    samples: VecDeque<(Instant, usize)>,
    /// Whether nothing new starts.
    pub(super) is_stopping: bool,
}

impl Tally {
    /// `None` unless this is the event with which a run begins.
    pub(super) fn begin(event: &Event<'_>, now: Instant) -> Option<Self> {
        let Event::Planned {
            tasks,
            missing,
            expected,
            ..
        } = event
        else {
            return None;
        };
        Some(Tally {
            began: now,
            tasks: *tasks,
            to_run: *missing,
            done: 0,
            failed: 0,
            dropped: 0,
            running: HashMap::new(),
            resting: HashMap::new(),
            ahead: Ahead {
                work: expected.work,
                known: missing.saturating_sub(expected.unknown),
                unknown: expected.unknown,
            },
            busy: Duration::ZERO,
            done_here: 0,
            busy_done: Duration::ZERO,
            samples: VecDeque::new(),
            is_stopping: false,
        })
    }

    pub(super) fn take(&mut self, event: &Event<'_>, now: Instant) {
        match event {
            Event::Started {
                task,
                attempt,
                expected,
            } => {
                let index = task.index();
                let is_new = self.resting.remove(&index).is_none();
                if is_new && index >= self.tasks {
                    self.to_run += 1;
                } else if is_new {
                    self.ahead.take(*expected);
                }
                let running = Running {
                    task: task.task(),
                    since: now,
                    attempt: *attempt,
                    expected: *expected,
                    done: 0,
                    total: 0,
                    message: None,
                };
                self.running.insert(index, running);
            }
            Event::Progress {
                task,
                done,
                total,
                message,
            } => {
                if let Some(running) = self.running.get_mut(&task.index()) {
                    (running.done, running.total) = (*done, *total);
                    running.message = message.map(str::to_owned);
                }
            }
            Event::Finished { task, elapsed, .. } => {
                self.leave(task.index(), now);
                self.done += 1;
                self.done_here = self.done_here.saturating_add(1);
                self.busy_done += *elapsed;
            }
            Event::Retrying { task, .. } => {
                let ended = self.leave(task.index(), now);
                let expected = ended.and_then(|running| running.expected);
                self.resting.insert(task.index(), expected);
            }
            Event::Failed { task, .. } => {
                self.settle(task.index(), now);
                self.failed += 1;
            }
            Event::CompletedByOther { task } => {
                self.settle(task.index(), now);
                self.done += 1;
            }
            Event::Interrupted { task, .. } | Event::Blocked { task, .. } => {
                self.settle(task.index(), now);
                self.dropped += 1;
            }
            Event::Deferred { expected, .. } => {
                self.ahead.take(Some(*expected));
                self.dropped += 1;
            }
            Event::Stopping { .. } => self.is_stopping = true,
            _ => {}
        }
    }

    /// An attempt has ended, if it was under way.
    fn leave(&mut self, index: usize, now: Instant) -> Option<Running> {
        let running = self.running.remove(&index)?;
        self.busy += now.saturating_duration_since(running.since);
        Some(running)
    }

    /// No more attempts are made.
    fn settle(&mut self, index: usize, now: Instant) {
        let had_begun = self.leave(index, now).is_some() | self.resting.remove(&index).is_some();
        if !had_begun {
            self.ahead.lose();
        }
    }

    pub(super) fn left(&self) -> usize {
        let settled = self.done + self.failed + self.dropped;
        self.to_run.saturating_sub(settled + self.running.len())
    }

    /// Of all, those about which nothing more is to be done: from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a share of a bar")]
    pub(super) fn share(&self) -> f64 {
        let settled = self.done + self.failed + self.dropped;
        settled as f64 / self.to_run.max(settled).max(1) as f64
    }

    /// Notes how many are done, for the rate.
    pub(super) fn sample(&mut self, now: Instant) {
        let is_due = |at: Instant| now.saturating_duration_since(at).as_secs() >= 1;
        if self.samples.back().is_none_or(|(at, _)| is_due(*at)) {
            self.samples.push_back((now, self.done));
        }
        while self.samples.len() > 2
            && now.saturating_duration_since(self.samples[0].0).as_secs() > RATE_SECONDS
        {
            self.samples.pop_front();
        }
    }

    /// How many tasks were done a second, of late.
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        let (since, before) = self.samples.front().copied()?;
        let elapsed = now.saturating_duration_since(since).as_secs_f64();
        let done = self.done - before;
        (elapsed >= 1.0 && done > 0).then(|| done as f64 / elapsed)
    }

    /// How long until all is done, if as much is done at once as until now.
    pub(super) fn time_left(&self, now: Instant) -> Option<Duration> {
        if self.is_stopping {
            return None;
        }
        let mean = (self.done_here > 0)
            .then(|| self.busy_done / self.done_here)
            .or_else(|| self.ahead.mean())
            .or_else(|| {
                let known = self.running.values().filter_map(|running| running.expected);
                known.max()
            });
        let expected = |expected: Option<Duration>| expected.or(mean);
        let mut work = self.ahead.work;
        if self.ahead.unknown > 0 {
            work += mean?.saturating_mul(u32::try_from(self.ahead.unknown).ok()?);
        }
        for rests in self.resting.values() {
            work += expected(*rests)?;
        }
        let mut longest = Duration::ZERO;
        let mut spent = self.busy;
        for running in self.running.values() {
            let age = now.saturating_duration_since(running.since);
            let rest = expected(running.expected)?.saturating_sub(age);
            longest = longest.max(rest);
            work += rest;
            spent += age;
        }
        let elapsed = now.saturating_duration_since(self.began).as_secs_f64();
        let at_once = (spent.as_secs_f64() / elapsed.max(0.001)).max(1.0);
        if self.left() > 0 {
            longest = longest.max(mean?);
        }
        let seconds = work.as_secs_f64() / at_once;
        Duration::try_from_secs_f64(seconds)
            .ok()
            .map(|left| left.max(longest))
    }
}
