//! One process of the simulation: the protocol's parts, driven as the runner drives them.

use std::time::Duration;

use super::super::acquire::Flaw;
use super::super::{
    Acquire, Action, FailureDetector, LeaseClock, Moment, Nonce, Observation, ProcessId, Request,
    Response, Won,
};
use super::store::{Object, Op, Path, Reply};
use super::{Rng, Sabotage, TTL};

/// How often a body that runs looks whether it has lost.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// What a process wants of the world.
#[derive(Debug)]
pub(super) enum Wish {
    /// A request, by the number under which its answer comes back.
    Send(u64, Op),
    /// To be woken.
    Wake(u64, Duration),
    /// A body starts, or goes on, or ends.
    Runs(usize),
    Stops,
    /// What a commit is about to be sent for.
    Commits(usize),
    /// A renewal that was sent at that moment is known to be good.
    Renewed(Moment),
    /// Everything claimed is lost: from now on it is another process.
    Reborn,
    Finished,
}

#[derive(Debug)]
enum Work {
    /// Waits for its liveness, or for the next try.
    Idle,
    Asking,
    Contending(Acquire, Request, Moment),
    Checking(Won),
    Running(Won, Moment),
    Committing(Won),
    Releasing,
    Leaving,
    Done,
}

#[derive(Debug, PartialEq, Eq)]
enum Heart {
    Starting(Moment),
    Waiting,
    Renewing(Moment),
    Stopped,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: ProcessId,
    wall: i64,
    flaw: Sabotage,
    tasks: Vec<usize>,
    at: usize,
    pulse: Option<LeaseClock>,
    watch: FailureDetector,
    heart: Heart,
    work: Work,
    /// Numbers of what is awaited: an answer or an alarm under another number is stale.
    heart_awaits: u64,
    work_awaits: u64,
    next: u64,
    runs: u64,
    wishes: Vec<Wish>,
}

impl Process {
    pub(super) fn new(rng: &mut Rng, tasks: usize, flaw: Sabotage) -> Self {
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
            at: 0,
            pulse: None,
            watch: FailureDetector::new(TTL),
            heart: Heart::Stopped,
            work: Work::Idle,
            heart_awaits: 0,
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

    fn send(&mut self, op: Op) {
        self.work_awaits = self.number();
        self.wishes.push(Wish::Send(self.work_awaits, op));
    }

    fn sleep(&mut self, time: Duration) {
        self.work_awaits = self.number();
        self.wishes.push(Wish::Wake(self.work_awaits, time));
    }

    fn life(&self, beat: u64, now: Moment) -> Object {
        Object::Liveness {
            beat,
            wall: self.wall + now.as_millis() as i64,
        }
    }

    /// Comes to life, or back to it under another name.
    pub(super) fn start(&mut self, now: Moment) {
        self.heart = Heart::Starting(now);
        self.heart_awaits = self.number();
        let life = self.life(0, now);
        self.wishes.push(Wish::Send(
            self.heart_awaits,
            Op::Put(Path::Liveness(self.id), life),
        ));
    }

    /// Whether it has lost; if so, it stops what runs and begins again as another.
    fn has_lost(&mut self, now: Moment, rng: &mut Rng) -> bool {
        let Some(pulse) = &mut self.pulse else {
            return false;
        };
        if self.flaw == Sabotage::RenewalReacquires || !pulse.is_lost(now) {
            return false;
        }
        if let Work::Running(..) | Work::Committing(..) = self.work {
            self.wishes.push(Wish::Stops);
        }
        self.pulse = None;
        self.work = Work::Idle;
        self.work_awaits = 0;
        self.id = ProcessId(rng.wide());
        self.wishes.push(Wish::Reborn);
        self.start(now);
        true
    }

    fn task(&self) -> usize {
        self.tasks[self.at]
    }

    pub(super) fn answered(&mut self, number: u64, reply: &Reply, now: Moment, rng: &mut Rng) {
        if self.has_lost(now, rng) {
            return;
        }
        if number == self.heart_awaits {
            self.heart(reply, now);
        } else if number == self.work_awaits {
            self.work(reply, now, rng);
        }
    }

    pub(super) fn woken(&mut self, number: u64, now: Moment, rng: &mut Rng) {
        if self.has_lost(now, rng) {
            return;
        }
        if number == self.heart_awaits {
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
        let Some(pulse) = &mut self.pulse else {
            self.start(now);
            return;
        };
        let beat = pulse.beat();
        self.heart = Heart::Renewing(now);
        self.heart_awaits = self.number();
        let life = self.life(beat, now);
        self.wishes.push(Wish::Send(
            self.heart_awaits,
            Op::Put(Path::Liveness(self.id), life),
        ));
    }

    fn heart(&mut self, reply: &Reply, now: Moment) {
        let is_good = *reply == Reply::Done;
        let wake = match (&self.heart, &mut self.pulse) {
            (Heart::Starting(sent), _) if is_good => {
                let pulse = LeaseClock::new(TTL, *sent);
                let due = pulse.due();
                self.wishes.push(Wish::Renewed(*sent));
                self.pulse = Some(pulse);
                self.look();
                due
            }
            (Heart::Renewing(sent), Some(pulse)) if is_good => {
                if self.flaw == Sabotage::RenewalReacquires {
                    *pulse = LeaseClock::new(TTL, *sent);
                } else {
                    pulse.renewed(*sent, now);
                }
                self.wishes.push(Wish::Renewed(*sent));
                pulse.due()
            }
            (Heart::Stopped | Heart::Waiting, _) => return,
            _ => now + TTL / 12,
        };
        self.heart = Heart::Waiting;
        self.heart_awaits = self.number();
        self.wishes
            .push(Wish::Wake(self.heart_awaits, wake.saturating_sub(now)));
    }

    /// Looks for the output of the next task.
    fn look(&mut self) {
        if self.at == self.tasks.len() {
            self.heart = Heart::Stopped;
            self.heart_awaits = 0;
            self.work = Work::Leaving;
            self.send(Op::Delete(Path::Liveness(self.id)));
            return;
        }
        self.work = Work::Asking;
        self.send(Op::Get(Path::Output(self.task())));
    }

    fn work(&mut self, reply: &Reply, now: Moment, rng: &mut Rng) {
        match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Asking => match reply {
                Reply::Object(Some(_)) => self.done(),
                Reply::Object(None) => {
                    let contest =
                        Acquire::new(self.id, Nonce(rng.wide())).with_flaw(self.flaw.in_contest());
                    let ask = Acquire::START;
                    self.contend(contest, ask, now);
                }
                _ => self.again(rng),
            },
            Work::Contending(contest, ask, asked) => {
                self.contended(contest, ask, asked, reply, now, rng);
            }
            Work::Checking(won) => match reply {
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

    fn contend(&mut self, contest: Acquire, ask: Request, now: Moment) {
        let op = match ask {
            Request::Create(generation) => {
                let claim = Object::Claim {
                    process: self.id,
                    nonce: contest.nonce(),
                };
                Op::Create(Path::Claim(self.task(), generation), claim)
            }
            Request::List => Op::List(self.task()),
            Request::Read(generation) => Op::Get(Path::Claim(self.task(), generation)),
            Request::Look(process) => Op::Get(Path::Liveness(process)),
        };
        self.work = Work::Contending(contest, ask, now);
        self.send(op);
    }

    fn contended(
        &mut self,
        mut contest: Acquire,
        ask: Request,
        asked: Moment,
        reply: &Reply,
        now: Moment,
        rng: &mut Rng,
    ) {
        let answer = match (ask, reply) {
            (Request::Create(_), Reply::Done) => Response::Created,
            (Request::Create(_), _) => Response::NotCreated,
            (_, Reply::Failed) => return self.again(rng),
            (Request::Look(process), Reply::Object(found)) => {
                Response::Dead(self.is_dead(process, asked, now, *found))
            }
            (_, Reply::Object(Some(Object::Claim { process, nonce }))) => {
                Response::Claim(*process, *nonce)
            }
            (_, Reply::Object(None)) => Response::NoClaim,
            (_, Reply::Generations(generations)) => Response::Generations(generations.clone()),
            _ => Response::Unreadable,
        };
        match contest.next(&answer) {
            Action::Request(ask) => self.contend(contest, ask, now),
            Action::Won(won) => {
                self.work = Work::Checking(won);
                self.send(Op::Get(Path::Output(self.task())));
            }
            Action::Held { .. } | Action::Contended => self.again(rng),
        }
    }

    fn is_dead(
        &mut self,
        process: ProcessId,
        asked: Moment,
        now: Moment,
        found: Option<Object>,
    ) -> bool {
        let Some(Object::Liveness { beat, wall }) = found else {
            return self.watch.is_dead(process, asked, now, Observation::Gone);
        };
        if self.flaw == Sabotage::WallClocks {
            let here = self.wall + now.as_millis() as i64;
            return here - wall > TTL.as_millis() as i64;
        }
        self.watch
            .is_dead(process, asked, now, Observation::Heartbeat(beat))
    }

    /// Deletes its own generation; it has not lost, or it would not be here.
    fn release(&mut self, won: Won) {
        self.work = Work::Releasing;
        self.send(Op::Delete(Path::Claim(self.task(), won.generation)));
    }

    fn again(&mut self, rng: &mut Rng) {
        self.work = Work::Idle;
        let jitter = Duration::from_millis(rng.below(100));
        self.sleep(TTL / 12 + jitter);
    }

    fn done(&mut self) {
        self.at += 1;
        self.look();
    }
}

impl Sabotage {
    fn in_contest(self) -> Flaw {
        match self {
            Sabotage::NoGenerationCheck => Flaw::NoGenerationCheck,
            Sabotage::NoNonce => Flaw::NoNonce,
            _ => Flaw::None,
        }
    }
}
