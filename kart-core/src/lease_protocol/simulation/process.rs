//! One process of the simulation: the parts of the protocol, driven as the runner drives them.

use std::collections::HashSet;
use std::time::Duration;

use super::super::{Acquire, FailureDetector, LeaseClock, Moment, Nonce, ProcessId, Request, Won};
use super::store::{Object, Op, Path, Reply};
use super::{Rng, Sabotage, TTL};

/// How often a running body checks whether its process has lost.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// What a process asks of the world.
#[derive(Debug)]
pub(super) enum Wish {
    /// A request, by the number under which its reply comes back.
    Send(u64, Op),
    /// To be woken.
    Wake(u64, Duration),
    /// A body starts or ends.
    Runs(usize),
    Stops,
    /// A commit of that task is about to be sent.
    Commits(usize),
    /// A heartbeat that was sent at that moment is in the store.
    Renewed(Moment),
    /// All leases are lost: from now on it is another process.
    Reborn,
    Finished,
}

#[derive(Debug)]
pub(super) enum Work {
    /// Waits for its first heartbeat, or for the next try.
    Idle,
    CheckingOutput,
    Contending(Acquire, Request, Moment),
    Confirming(Won),
    Running(Won, Moment),
    Committing(Won),
    /// Says in its claim that the task failed for good.
    Failing(Won),
    Releasing,
    Leaving,
    Done,
}

#[derive(Debug, PartialEq, Eq)]
enum Heartbeat {
    Starting(Moment),
    Waiting,
    Renewing(Moment),
    Stopped,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: ProcessId,
    pub(super) wall: i64,
    pub(super) flaw: Sabotage,
    tasks: Vec<usize>,
    /// Which tasks fail for good.
    fails: Vec<bool>,
    /// Whom it has seen hold which task.
    pub(super) seen: HashSet<(usize, ProcessId)>,
    at: usize,
    clock: Option<LeaseClock>,
    pub(super) detector: FailureDetector,
    heartbeat: Heartbeat,
    pub(super) work: Work,
    /// Numbers of what it waits for: a reply or an alarm under another number is stale.
    heartbeat_awaits: u64,
    work_awaits: u64,
    next: u64,
    runs: u64,
    wishes: Vec<Wish>,
}

impl Process {
    pub(super) fn new(rng: &mut Rng, fails: &[bool], flaw: Sabotage) -> Self {
        let tasks = fails.len();
        let first = rng.below(tasks as u64);
        let tasks: Vec<usize> = (0..tasks as u64)
            .map(|at| ((at + first) % tasks as u64) as usize)
            .collect();
        Process {
            id: ProcessId(rng.wide()),
            // Up to ten minutes off.
            wall: rng.below(1_200_000) as i64 - 600_000,
            flaw,
            tasks,
            fails: fails.to_vec(),
            seen: HashSet::new(),
            at: 0,
            clock: None,
            detector: FailureDetector::default(),
            heartbeat: Heartbeat::Stopped,
            work: Work::Idle,
            heartbeat_awaits: 0,
            work_awaits: 0,
            next: 0,
            runs: 0,
            wishes: Vec::new(),
        }
    }

    pub(super) fn wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn send(&mut self, op: Op) {
        self.work_awaits = self.number();
        self.wishes.push(Wish::Send(self.work_awaits, op));
    }

    fn sleep(&mut self, time: Duration) {
        self.work_awaits = self.number();
        self.wishes.push(Wish::Wake(self.work_awaits, time));
    }

    fn liveness(&self, beat: u64, now: Moment) -> Object {
        Object::Liveness {
            beat,
            wall: self.wall + now.as_millis() as i64,
        }
    }

    /// Starts, or starts again under another id.
    pub(super) fn start(&mut self, now: Moment) {
        self.heartbeat = Heartbeat::Starting(now);
        self.heartbeat_awaits = self.number();
        let liveness = self.liveness(0, now);
        self.wishes.push(Wish::Send(
            self.heartbeat_awaits,
            Op::Put(Path::Liveness(self.id), liveness),
        ));
    }

    /// Returns whether it has lost its leases. If so, it stops what runs and starts again as another process.
    fn has_lost(&mut self, now: Moment, rng: &mut Rng) -> bool {
        let Some(clock) = &mut self.clock else {
            return false;
        };
        if self.flaw == Sabotage::RenewalReacquires || !clock.is_lost(now) {
            return false;
        }
        if let Work::Running(..) | Work::Committing(..) = self.work {
            self.wishes.push(Wish::Stops);
        }
        self.clock = None;
        self.work = Work::Idle;
        self.work_awaits = 0;
        self.id = ProcessId(rng.wide());
        self.wishes.push(Wish::Reborn);
        self.start(now);
        true
    }

    pub(super) fn task(&self) -> usize {
        self.tasks[self.at]
    }

    pub(super) fn answered(&mut self, number: u64, reply: &Reply, now: Moment, rng: &mut Rng) {
        if self.has_lost(now, rng) {
            return;
        }
        if number == self.heartbeat_awaits {
            self.on_heartbeat(reply, now);
        } else if number == self.work_awaits {
            self.work(reply, now, rng);
        }
    }

    pub(super) fn woken(&mut self, number: u64, now: Moment, rng: &mut Rng) {
        if self.has_lost(now, rng) {
            return;
        }
        if number == self.heartbeat_awaits {
            self.renew(now);
        } else if number == self.work_awaits {
            match &self.work {
                Work::Idle => self.look(),
                Work::Running(won, until) => {
                    let (won, until) = (*won, *until);
                    self.run(won, until, now);
                }
                _ => {}
            }
        }
    }

    fn renew(&mut self, now: Moment) {
        let Some(clock) = &mut self.clock else {
            self.start(now);
            return;
        };
        let beat = clock.next_heartbeat();
        self.heartbeat = Heartbeat::Renewing(now);
        self.heartbeat_awaits = self.number();
        let liveness = self.liveness(beat, now);
        self.wishes.push(Wish::Send(
            self.heartbeat_awaits,
            Op::Put(Path::Liveness(self.id), liveness),
        ));
    }

    fn on_heartbeat(&mut self, reply: &Reply, now: Moment) {
        let is_good = *reply == Reply::Done;
        let wake = match (&self.heartbeat, &mut self.clock) {
            (Heartbeat::Starting(sent), _) if is_good => {
                let clock = LeaseClock::new(TTL, *sent);
                let due = clock.due();
                self.wishes.push(Wish::Renewed(*sent));
                self.clock = Some(clock);
                self.look();
                due
            }
            (Heartbeat::Renewing(sent), Some(clock)) if is_good => {
                if self.flaw == Sabotage::RenewalReacquires {
                    *clock = LeaseClock::new(TTL, *sent);
                } else {
                    clock.renewed(*sent, now);
                }
                self.wishes.push(Wish::Renewed(*sent));
                clock.due()
            }
            (Heartbeat::Stopped | Heartbeat::Waiting, _) => return,
            _ => now + TTL / 12,
        };
        self.heartbeat = Heartbeat::Waiting;
        self.heartbeat_awaits = self.number();
        self.wishes
            .push(Wish::Wake(self.heartbeat_awaits, wake.saturating_sub(now)));
    }

    /// Looks for the output of the next task.
    fn look(&mut self) {
        if self.at == self.tasks.len() {
            self.heartbeat = Heartbeat::Stopped;
            self.heartbeat_awaits = 0;
            self.work = Work::Leaving;
            self.send(Op::Delete(Path::Liveness(self.id)));
            return;
        }
        self.work = Work::CheckingOutput;
        self.send(Op::Get(Path::Output(self.task())));
    }

    fn work(&mut self, reply: &Reply, now: Moment, rng: &mut Rng) {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::CheckingOutput => match reply {
                Reply::Object(Some(_)) => self.done(),
                Reply::Object(None) => {
                    let acquire = Acquire::new(self.id, Nonce(rng.wide()))
                        .with_flaw(self.flaw.flaw_of_acquire());
                    let request = Acquire::START;
                    self.contend(acquire, request, now);
                }
                _ => self.again(rng),
            },
            Work::Contending(acquire, request, sent) => {
                self.contended(acquire, request, sent, reply, now, rng);
            }
            Work::Confirming(won) => match reply {
                Reply::Object(None) => {
                    // Some bodies take longer than the ttl.
                    let until = now + Duration::from_millis(10 + rng.below(3_000));
                    self.runs += 1;
                    self.wishes.push(Wish::Runs(self.task()));
                    self.run(won, until, now);
                }
                _ => self.release(won),
            },
            Work::Committing(won) => {
                self.wishes.push(Wish::Stops);
                self.release(won);
            }
            Work::Failing(won) => match reply {
                Reply::Done => self.done(),
                _ => self.fail(won),
            },
            Work::Releasing => self.look(),
            Work::Leaving => {
                self.work = Work::Done;
                self.wishes.push(Wish::Finished);
            }
            work => self.work = work,
        }
    }

    fn run(&mut self, won: Won, until: Moment, now: Moment) {
        if now < until {
            self.work = Work::Running(won, until);
            self.sleep(POLL.min(until.saturating_sub(now)));
            return;
        }
        if self.fails[self.task()] {
            self.wishes.push(Wish::Stops);
            self.fail(won);
            return;
        }
        self.wishes.push(Wish::Commits(self.task()));
        let path = Path::Output(self.task());
        let made = Object::Output {
            made_by: (self.id.0 as u64) ^ self.runs,
        };
        self.work = Work::Committing(won);
        self.send(if self.flaw == Sabotage::CommitOverwrites {
            Op::Put(path, made)
        } else {
            Op::Create(path, made)
        });
    }

    /// Keeps the claim, and writes into it that the task failed for good.
    fn fail(&mut self, won: Won) {
        self.work = Work::Failing(won);
        let failed = Object::Claim {
            process: self.id,
            nonce: won.nonce,
            failed: true,
        };
        self.send(Op::Put(Path::Claim(self.task(), won.generation), failed));
    }

    /// Deletes its own generation. It has not lost, or it would not be here.
    fn release(&mut self, won: Won) {
        self.work = Work::Releasing;
        self.send(Op::Delete(Path::Claim(self.task(), won.generation)));
    }

    pub(super) fn again(&mut self, rng: &mut Rng) {
        self.work = Work::Idle;
        let jitter = Duration::from_millis(rng.below(100));
        self.sleep(TTL / 12 + jitter);
    }

    pub(super) fn done(&mut self) {
        self.at += 1;
        self.look();
    }
}
