//! One try of one process to acquire the lease on one key.

#[cfg(test)]
mod tests;

use super::failure_detector::Health;
use super::record::{Nonce, ProcessId};

/// What the state machine wants to know, or wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Create the claim in that generation, only if it is absent. It names this process and the nonce.
    Create(u64),
    /// List the generations.
    List,
    /// Read the claim of that generation.
    Read(u64),
    /// Look at the heartbeat of that process.
    Look(ProcessId),
    /// Delete this process's claim of that generation.
    Delete(u64),
}

/// The response to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    /// It was absent, and exists now.
    Created,
    /// The store says that it exists already, or did not answer: it may still be this process's own.
    NotCreated,
    /// The generations, in any order.
    Generations(Vec<u64>),
    /// Who claims, by what nonce.
    Claim(ProcessId, Nonce),
    /// The holder says that its work failed for good; whether this run has seen it hold the claim before.
    Failed {
        by: ProcessId,
        was_seen: bool,
    },
    /// The claim is gone.
    NoClaim,
    /// The claim is not readable: it is nobody's.
    Unreadable,
    /// Whether the process is alive.
    Health(Health),
    Deleted,
    /// The store did not answer.
    NotDeleted,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Request(Request),
    /// This process holds the lease until it loses it.
    Won(Won),
    /// Another process holds it.
    Held {
        by: ProcessId,
        generation: u64,
        health: Health,
    },
    /// The work failed for good at another process.
    Failed {
        by: ProcessId,
        generation: u64,
    },
    /// The claims kept changing: try again later.
    Contended,
}

/// A claim that was won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Won {
    pub(crate) generation: u64,
    pub(crate) nonce: Nonce,
}

/// How often the state machine starts again because what it saw was gone a moment later.
const ROUNDS: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Creating(u64),
    /// Looking for the highest generation, after one could not be created.
    Listing,
    /// After a takeover: checking that it is the highest generation.
    Confirming(u64),
    /// After that: checking that the claim that was taken over is still there.
    Comparing(u64),
    /// Giving up a generation whose predecessor has changed.
    Abandoning(u64),
    Reading(u64),
    Looking(u64, ProcessId),
    /// The same for a holder whose work failed for good.
    LookingFailed(u64, ProcessId),
    /// Reading the claim of a dead holder once more: its work may have failed for good right before its end.
    Rereading(u64, ProcessId),
}

/// One process's try for one key: start with [`START`](Self::START), then call [`next`](Self::next) with each
/// response until it ends. A process makes one at a time for each key, and none for a key that it holds.
#[derive(Clone, Debug)]
pub(crate) struct Acquire {
    process: ProcessId,
    nonce: Nonce,
    state: State,
    rounds: u32,
    /// What the last claim that was read said, and the one that was taken over.
    last_read: Response,
    taken_over: Response,
    #[cfg(test)]
    flaw: Flaw,
}

/// What a test build leaves out, to show that it is needed.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// A generation that exists is taken for one's own.
    NoGenerationCheck,
    /// A claim of one's own whose answer was lost is taken for another's.
    NoNonce,
    /// A claim whose work failed for good is taken over like a dead process's.
    FailedIsFree,
}

impl Acquire {
    pub(crate) fn new(process: ProcessId, nonce: Nonce) -> Self {
        Acquire {
            process,
            nonce,
            state: State::Creating(1),
            rounds: 0,
            last_read: Response::NoClaim,
            taken_over: Response::NoClaim,
            #[cfg(test)]
            flaw: Flaw::None,
        }
    }

    #[cfg(test)]
    pub(super) fn with_flaw(mut self, flaw: Flaw) -> Self {
        self.flaw = flaw;
        self
    }

    /// Returns the nonce that this process's claims carry.
    pub(crate) fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// The first request. Nobody claims most keys, and this is the only one.
    pub(crate) const START: Request = Request::Create(1);

    /// Takes the response to the last request.
    pub(crate) fn next(&mut self, response: &Response) -> Action {
        if let State::Reading(_) | State::Rereading(..) = self.state {
            self.last_read = response.clone();
        }
        match (self.state, response) {
            (State::Creating(1), Response::Created) => self.won(1),
            (State::Creating(generation), Response::Created) => {
                self.request(State::Confirming(generation), Request::List)
            }
            #[cfg(test)]
            (State::Creating(generation), Response::NotCreated)
                if self.flaw == Flaw::NoGenerationCheck =>
            {
                self.won(generation)
            }
            (State::Creating(_), Response::NotCreated) => self.look_again(),
            (State::Listing, Response::Generations(generations)) => {
                match generations.iter().max() {
                    Some(&highest) => self.request(State::Reading(highest), Request::Read(highest)),
                    None => self.request(State::Creating(1), Request::Create(1)),
                }
            }
            (State::Confirming(mine), Response::Generations(generations)) => {
                if generations.iter().max() == Some(&mine) {
                    self.compare(mine)
                } else {
                    self.look_again()
                }
            }
            (State::Comparing(mine), found) if *found == self.taken_over => self.won(mine),
            (State::Comparing(mine), _) => {
                self.request(State::Abandoning(mine), Request::Delete(mine))
            }
            (State::Abandoning(_), Response::Deleted) if self.rounds < ROUNDS => {
                self.rounds += 1;
                self.request(State::Creating(1), Self::START)
            }
            (State::Abandoning(_), _) => Action::Contended,
            (State::Reading(generation), Response::Claim(process, nonce)) => {
                self.read(generation, *process, *nonce)
            }
            (State::Reading(generation), Response::Failed { by, was_seen }) => {
                self.failed(generation, *by, *was_seen)
            }
            (State::Rereading(generation, dead), Response::Claim(process, _))
                if *process == dead =>
            {
                self.take_over(generation)
            }
            (State::Rereading(generation, _), Response::Claim(process, nonce)) => {
                self.read(generation, *process, *nonce)
            }
            (State::Rereading(generation, _), Response::Failed { by, .. }) => {
                self.failed(generation, *by, true)
            }
            (State::Reading(_) | State::Rereading(..), Response::NoClaim) => self.look_again(),
            (
                State::Reading(generation) | State::Rereading(generation, _),
                Response::Unreadable,
            ) => self.take_over(generation),
            (State::Looking(generation, by), Response::Health(Health::Dead)) => {
                self.request(State::Rereading(generation, by), Request::Read(generation))
            }
            (State::LookingFailed(generation, _), Response::Health(Health::Dead)) => {
                self.take_over(generation)
            }
            (State::LookingFailed(generation, by), Response::Health(Health::Alive)) => {
                Action::Failed { by, generation }
            }
            (
                State::Looking(generation, by) | State::LookingFailed(generation, by),
                Response::Health(health),
            ) => Action::Held {
                by,
                generation,
                health: *health,
            },
            _ => {
                debug_assert!(false, "{response:?} does not answer {:?}", self.state);
                Action::Contended
            }
        }
    }

    /// The claim of the highest generation.
    fn read(&mut self, generation: u64, process: ProcessId, nonce: Nonce) -> Action {
        let look = (State::Looking(generation, process), Request::Look(process));
        #[cfg(test)]
        if self.flaw == Flaw::NoNonce {
            return self.request(look.0, look.1);
        }
        if process != self.process {
            return self.request(look.0, look.1);
        }
        if nonce == self.nonce && generation > 1 {
            return self.compare(generation);
        }
        if nonce == self.nonce {
            return self.won(generation);
        }
        // Of an earlier try of this process, whose answer was lost.
        self.take_over(generation)
    }

    /// The claim of the highest generation says that the work failed for good.
    fn failed(&mut self, generation: u64, by: ProcessId, was_seen: bool) -> Action {
        #[cfg(test)]
        if self.flaw == Flaw::FailedIsFree {
            return self.take_over(generation);
        }
        if was_seen || by == self.process {
            return Action::Failed { by, generation };
        }
        self.request(State::LookingFailed(generation, by), Request::Look(by))
    }

    /// Compares what lies below a generation that was won with what was taken over. Whoever sweeps deletes all generations
    /// of a key while it holds the highest, and a slow contender may create that one again: the first generation would be
    /// free beside it.
    fn compare(&mut self, generation: u64) -> Action {
        self.request(State::Comparing(generation), Request::Read(generation - 1))
    }

    fn take_over(&mut self, generation: u64) -> Action {
        self.taken_over = self.last_read.clone();
        self.request(
            State::Creating(generation + 1),
            Request::Create(generation + 1),
        )
    }

    fn look_again(&mut self) -> Action {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            return Action::Contended;
        }
        self.request(State::Listing, Request::List)
    }

    fn request(&mut self, state: State, request: Request) -> Action {
        self.state = state;
        Action::Request(request)
    }

    fn won(&self, generation: u64) -> Action {
        Action::Won(Won {
            generation,
            nonce: self.nonce,
        })
    }
}
