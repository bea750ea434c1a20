//! How a process of the simulation contends for a task.

use super::super::acquire::Flaw;
use super::super::{Acquire, Action, Health, Moment, Observation, ProcessId, Request, Response};
use super::process::{Process, Work};
use super::store::{Object, Op, Path, Reply};
use super::{Rng, Sabotage, TTL};

impl Process {
    pub(super) fn contend(&mut self, acquire: Acquire, request: Request, now: Moment) {
        let op = match request {
            Request::Create(generation) => {
                let claim = Object::Claim {
                    process: self.id,
                    nonce: acquire.nonce(),
                    failed: false,
                };
                Op::Create(Path::Claim(self.task(), generation), claim)
            }
            Request::List => Op::List(self.task()),
            Request::Read(generation) => Op::Get(Path::Claim(self.task(), generation)),
            Request::Look(process) => Op::Get(Path::Liveness(process)),
            Request::Delete(generation) => Op::Delete(Path::Claim(self.task(), generation)),
        };
        self.work = Work::Contending(acquire, request, now);
        self.send(op);
    }

    pub(super) fn contended(
        &mut self,
        mut acquire: Acquire,
        request: Request,
        sent: Moment,
        reply: &Reply,
        now: Moment,
        rng: &mut Rng,
    ) {
        let response = match (request, reply) {
            (Request::Create(_), Reply::Done) => Response::Created,
            (Request::Create(_), _) => Response::NotCreated,
            (Request::Delete(_), Reply::Done) => Response::Deleted,
            (Request::Delete(_), _) => Response::NotDeleted,
            (_, Reply::Failed) => return self.again(rng),
            (Request::Look(process), Reply::Object(found)) => {
                Response::Health(self.health(process, sent, now, *found))
            }
            (_, Reply::Object(Some(claim @ Object::Claim { .. }))) => self.read(*claim),
            (_, Reply::Object(None)) => Response::NoClaim,
            (_, Reply::Generations(generations)) => Response::Generations(generations.clone()),
            _ => Response::Unreadable,
        };
        match acquire.next(&response) {
            Action::Request(request) => self.contend(acquire, request, now),
            Action::Won(won) => {
                self.work = Work::Confirming(won);
                self.send(Op::Get(Path::Output(self.task())));
            }
            Action::Failed { .. } => self.done(),
            Action::Held { .. } | Action::Contended => self.again(rng),
        }
    }

    fn read(&mut self, claim: Object) -> Response {
        let task = self.task();
        match claim {
            Object::Claim {
                process,
                failed: true,
                ..
            } => Response::Failed {
                by: process,
                was_seen: self.seen.contains(&(task, process)),
            },
            Object::Claim { process, nonce, .. } => {
                self.seen.insert((task, process));
                Response::Claim(process, nonce)
            }
            _ => Response::Unreadable,
        }
    }

    fn health(
        &mut self,
        process: ProcessId,
        sent: Moment,
        now: Moment,
        found: Option<Object>,
    ) -> Health {
        let found = match found {
            Some(Object::Liveness { wall, .. }) if self.flaw == Sabotage::WallClocks => {
                let here = self.wall + now.as_millis() as i64;
                return if here - wall > TTL.as_millis() as i64 {
                    Health::Dead
                } else {
                    Health::Alive
                };
            }
            Some(Object::Liveness { beat, .. }) => Observation::Heartbeat(beat),
            _ => Observation::Gone,
        };
        self.detector.observe(process, TTL, sent, now, found)
    }
}

impl Sabotage {
    pub(super) fn flaw_of_acquire(self) -> Flaw {
        match self {
            Sabotage::NoGenerationCheck => Flaw::NoGenerationCheck,
            Sabotage::NoNonce => Flaw::NoNonce,
            Sabotage::FailedIsFree => Flaw::FailedIsFree,
            _ => Flaw::None,
        }
    }
}
