//! The world of the simulation: virtual time, the store, the faults, and an observer that sees everything.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::super::Moment;
use super::process::{POLL, Process, Wish};
use super::slot::{Slot, State};
use super::store::{Op, Path, Reply, Store};
use super::{Rng, Sabotage, TTL, Tally};

/// From then on nothing fails any more, so that what is left must come to its end.
const FAULTS_END: Duration = Duration::from_secs(30);
/// Nothing takes longer unless somebody starves.
const END: Duration = Duration::from_mins(10);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    ApplyLate { op: usize },
    Apply { number: u64, op: usize, fate: Fate },
    Response { number: u64, reply: usize },
    Wake { number: u64 },
    Resume,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Good,
    /// It takes no effect.
    Lost,
    /// It takes effect, and its answer is lost.
    AnswerLost,
    /// It takes effect, its answer is lost, and it is sent once more.
    SentTwice,
    /// It takes effect long after whoever sent it has given up.
    Late,
}

pub(super) struct World {
    now: Duration,
    rng: Rng,
    store: Store,
    queue: BinaryHeap<Reverse<(Duration, u64, usize, What)>>,
    events: u64,
    ops: Vec<Op>,
    replies: Vec<Reply>,
    slots: Vec<Slot>,
    runs: Vec<u64>,
    /// Which tasks fail for good.
    fails: Vec<bool>,
    /// What may cost a run more: kills, losses, commits that failed.
    disruptions: u64,
    /// Whether requests may take longer than a third of the ttl. Then bodies may run at the same time, and
    /// everything else holds.
    has_late_requests: bool,
    tally: Tally,
    trace: bool,
}

impl World {
    pub(super) fn new(seed: u64, sabotage: Sabotage, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let tasks = 1 + rng.below(3);
        let fails: Vec<bool> = (0..tasks).map(|_| rng.below(4) == 0).collect();
        let processes = 2 + rng.below(3);
        let slots = (0..processes)
            .map(|_| Slot {
                process: Process::new(&mut rng, &fails, sabotage),
                state: State::Up,
                offset: Duration::from_millis(rng.below(1_000_000_000)),
                rate: 0.98 + 0.04 * rng.unit(),
                backlog: Vec::new(),
                renewed: None,
                running: None,
                is_finished: false,
            })
            .collect();
        World {
            now: Duration::ZERO,
            rng,
            store: Store::default(),
            queue: BinaryHeap::new(),
            events: 0,
            ops: Vec::new(),
            replies: Vec::new(),
            slots,
            runs: vec![0; fails.len()],
            fails,
            disruptions: 0,
            has_late_requests: seed % 2 == 1,
            tally: Tally::default(),
            trace,
        }
    }

    /// Runs the history; an error is a broken promise.
    pub(super) fn run(mut self) -> Result<Tally, String> {
        for at in 0..self.slots.len() {
            // Some start together, some later.
            let start = Duration::from_millis([0, 0, 500, 4_000][self.rng.below(4) as usize]);
            self.push(start, at, What::Wake { number: 0 });
        }
        while let Some(Reverse((time, _, at, what))) = self.queue.pop() {
            self.now = time;
            if self.now > END {
                break;
            }
            self.tally.steps += 1;
            self.step(at, what)?;
        }
        if self
            .slots
            .iter()
            .any(|slot| slot.state == State::Up && !slot.is_finished)
        {
            return Err("a process that lives did not come to its end".to_owned());
        }
        for (task, runs) in self.runs.iter().enumerate() {
            if !self.fails[task] && !self.store.has_output(task) {
                return Err(format!("task {task} has no output, and a process lives"));
            }
            // Whoever comes after the end of the process at which it failed tries it once more.
            let tries = if self.fails[task] {
                self.slots.len() as u64
            } else {
                1
            };
            if *runs > tries + self.disruptions {
                return Err(format!(
                    "task {task} ran {runs} times for {} disruptions",
                    self.disruptions
                ));
            }
            self.tally.runs += runs;
            self.tally.most_runs = self.tally.most_runs.max(*runs);
        }
        self.tally.seeds = 1;
        self.tally.tasks = self.runs.len() as u64;
        self.tally.failures = self.fails.iter().filter(|fails| **fails).count() as u64;
        Ok(self.tally)
    }

    fn push(&mut self, after: Duration, at: usize, what: What) {
        self.events += 1;
        self.queue
            .push(Reverse((self.now + after, self.events, at, what)));
    }

    fn step(&mut self, at: usize, what: What) -> Result<(), String> {
        if let What::Apply { number, op, fate } = what {
            return self.apply(at, number, op, fate);
        }
        if let What::ApplyLate { op } = what {
            return self.store.apply(self.ops[op]).map(drop);
        }
        if what == What::Resume {
            self.slots[at].state = State::Up;
            for what in std::mem::take(&mut self.slots[at].backlog) {
                self.push(Duration::ZERO, at, what);
            }
            return Ok(());
        }
        self.strike(at);
        let slot = &mut self.slots[at];
        match slot.state {
            State::Killed => return Ok(()),
            State::Paused => {
                slot.backlog.push(what);
                return Ok(());
            }
            State::Up => {}
        }
        let now = slot.now(self.now);
        match what {
            What::Wake { number: 0 } => slot.process.start(now),
            What::Wake { number } => slot.process.woken(number, now, &mut self.rng),
            What::Response { number, reply } => {
                let reply = &self.replies[reply];
                slot.process.answered(number, reply, now, &mut self.rng);
            }
            What::Apply { .. } | What::ApplyLate { .. } | What::Resume => {}
        }
        self.grant(at)?;
        let slot = &self.slots[at];
        if slot.running.is_some() && slot.now(self.now) > slot.lost_at() + POLL {
            return Err(format!("process {at} goes on although it has lost"));
        }
        Ok(())
    }

    /// Pauses or kills the process right before its next step, now and then.
    fn strike(&mut self, at: usize) {
        if self.now > FAULTS_END || self.slots[at].state != State::Up {
            return;
        }
        let is_first = at == 0;
        match self.rng.below(400) {
            0..3 => {
                let pause = Duration::from_millis(self.rng.below(4 * TTL.as_millis() as u64));
                self.slots[at].state = State::Paused;
                self.tally.pauses += 1;
                self.push(pause, at, What::Resume);
            }
            // One process lives.
            3 if !is_first => {
                self.slots[at].state = State::Killed;
                self.slots[at].running = None;
                self.tally.kills += 1;
                self.disruptions += 1;
            }
            _ => {}
        }
    }

    fn apply(&mut self, at: usize, number: u64, index: usize, fate: Fate) -> Result<(), String> {
        let op = self.ops[index];
        let mut reply = Reply::Failed;
        if fate == Fate::Late {
            let delay = Duration::from_millis(self.rng.below(4 * TTL.as_millis() as u64));
            self.push(delay, at, What::ApplyLate { op: index });
        } else if fate != Fate::Lost {
            reply = self.store.apply(op)?;
        }
        if fate == Fate::SentTwice {
            reply = self.store.apply(op)?;
        }
        if fate == Fate::AnswerLost {
            reply = Reply::Failed;
        }
        if reply == Reply::Failed
            && let Op::Create(Path::Output(_), _) | Op::Put(Path::Output(_), _) = op
        {
            self.disruptions += 1;
        }
        if self.trace {
            println!("{:>9.3?} {at} {op:?} {fate:?} -> {reply:?}", self.now);
        }
        self.replies.push(reply);
        let delay = self.delay();
        let reply = self.replies.len() - 1;
        self.push(delay, at, What::Response { number, reply });
        Ok(())
    }

    /// A request takes less than a third of the ttl, there and back.
    fn delay(&mut self) -> Duration {
        let most = if self.rng.below(20) == 0 { 190 } else { 20 };
        Duration::from_millis(1 + self.rng.below(most))
    }

    fn fate(&mut self) -> Fate {
        if self.now > FAULTS_END {
            return Fate::Good;
        }
        match self.rng.below(60) {
            0 => {
                self.tally.lost_requests += 1;
                Fate::Lost
            }
            1 => {
                self.tally.lost_answers += 1;
                Fate::AnswerLost
            }
            2 => {
                self.tally.sent_twice += 1;
                Fate::SentTwice
            }
            3 if self.has_late_requests => {
                self.tally.late += 1;
                self.disruptions += 1;
                Fate::Late
            }
            _ => Fate::Good,
        }
    }

    fn grant(&mut self, at: usize) -> Result<(), String> {
        for wish in self.slots[at].process.wishes() {
            let world = self.now;
            let now = self.slots[at].now(world);
            if self.trace {
                println!("{world:>9.3?} {at} {wish:?}");
            }
            match wish {
                Wish::Send(number, op) => {
                    self.tally.requests += 1;
                    self.ops.push(op);
                    let (fate, delay) = (self.fate(), self.delay());
                    let op = self.ops.len() - 1;
                    self.push(delay, at, What::Apply { number, op, fate });
                }
                Wish::Wake(number, after) => {
                    let after = after.div_f64(self.slots[at].rate);
                    self.push(after, at, What::Wake { number });
                }
                Wish::Runs(task) => {
                    self.runs[task] += 1;
                    if let Some(other) = self.runs_already(task, at) {
                        self.tally.overlaps += 1;
                        if !self.has_late_requests {
                            return Err(format!(
                                "processes {at} and {other} run task {task} at once, and neither has lost"
                            ));
                        }
                    }
                    if !self.has_late_requests && self.is_known_to_fail(task) {
                        return Err(format!(
                            "process {at} runs task {task}, which failed for good at a process that is alive"
                        ));
                    }
                    if now >= self.slots[at].lost_at() {
                        return Err(format!(
                            "process {at} starts task {task} although it has lost"
                        ));
                    }
                    self.slots[at].running = Some(task);
                }
                Wish::Stops => self.slots[at].running = None,
                Wish::Commits(task) => {
                    if now >= self.slots[at].lost_at() {
                        return Err(format!(
                            "process {at} commits task {task} although it has lost"
                        ));
                    }
                }
                Wish::Renewed(sent) => self.renewed(at, sent, now),
                Wish::Reborn => {
                    self.tally.losses += 1;
                    self.disruptions += 1;
                    self.slots[at].renewed = None;
                }
                Wish::Finished => self.slots[at].is_finished = true,
            }
        }
        Ok(())
    }

    /// Another process that runs the task and has not lost.
    fn runs_already(&self, task: usize, at: usize) -> Option<usize> {
        let others = self
            .slots
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != at);
        others
            .filter(|(_, slot)| slot.running == Some(task))
            .find(|(_, slot)| slot.now(self.now) < slot.lost_at())
            .map(|(other, _)| other)
    }

    /// Whether the task failed for good at a process that has not lost.
    fn is_known_to_fail(&self, task: usize) -> bool {
        self.store.failed_by(task).any(|process| {
            self.slots.iter().any(|slot| {
                slot.process.id == process
                    && slot.state != State::Killed
                    && !slot.is_finished
                    && slot.now(self.now) < slot.lost_at()
            })
        })
    }

    /// A heartbeat counts from when it was sent, and not at all once too much time has gone by.
    fn renewed(&mut self, at: usize, sent: Moment, now: Moment) {
        let slot = &mut self.slots[at];
        slot.renewed = match slot.renewed {
            Some(renewed) if now >= renewed + TTL * 2 / 3 => Some(renewed),
            Some(renewed) => Some(renewed.max(sent)),
            None => Some(sent),
        };
    }
}
