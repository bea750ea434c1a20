//! One try to claim one key.

use super::record::{Nonce, ProcessId};

/// What a contest wants to know or to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Create the claim in that generation, only if it is absent. It names this process and the nonce.
    Create(u64),
    /// List the generations that there are.
    List,
    /// Read the claim of that generation.
    Read(u64),
    /// Look whether that process is dead.
    Look(ProcessId),
}

/// What came of an [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    /// It was absent and is created now.
    Created,
    /// The store says that it exists already, or gave no answer: it may be one's own all the same.
    NotCreated,
    /// The generations that there are, in any order.
    Generations(Vec<u64>),
    /// Who claims, by what nonce.
    Claim(ProcessId, Nonce),
    /// The claim is gone.
    NoClaim,
    /// The claim says nothing that can be read: it is nobody's.
    Unreadable,
    /// Whether the process is dead.
    Dead(bool),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Request(Request),
    /// The key is this process's, as long as it has not lost.
    Won(Won),
    /// Somebody who is alive holds it.
    Held {
        by: ProcessId,
        generation: u64,
    },
    /// The claims changed with every look: try again later.
    Contended,
}

/// A claim that was won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Won {
    pub(crate) generation: u64,
    pub(crate) nonce: Nonce,
}

/// How often a contest begins again because what it saw was gone a moment later.
const ROUNDS: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Creating(u64),
    /// Looking for the highest generation, after generation `tried` could not be created.
    Listing,
    /// After a takeover: whether it is the highest generation still.
    Confirming(u64),
    Reading(u64),
    Looking(u64, ProcessId),
    /// Whether the claim of a dead process is there still: who leaves in good order deletes it first.
    Verifying(u64, ProcessId),
}

/// The contest of one process for one key: [`START`](Self::START), then [`next`](Self::next) with each
/// answer until it ends. A process makes one at a time for each key, and none for a key that it holds.
#[derive(Clone, Debug)]
pub(crate) struct Acquire {
    process: ProcessId,
    nonce: Nonce,
    state: State,
    rounds: u32,
    #[cfg(test)]
    flaw: Flaw,
}

/// What a test build leaves out, to show that it is missed.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// A generation that exists is taken for one's own.
    NoGenerationCheck,
    /// A claim of one's own whose answer was lost is taken for another's.
    NoNonce,
}

impl Acquire {
    pub(crate) fn new(process: ProcessId, nonce: Nonce) -> Self {
        Acquire {
            process,
            nonce,
            state: State::Creating(1),
            rounds: 0,
            #[cfg(test)]
            flaw: Flaw::None,
        }
    }

    #[cfg(test)]
    pub(super) fn with_flaw(mut self, flaw: Flaw) -> Self {
        self.flaw = flaw;
        self
    }

    /// What its claims say, so that they are known again.
    pub(crate) fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// The first question. Most keys are claimed by nobody, and this is the only one.
    pub(crate) const START: Request = Request::Create(1);

    /// Takes the answer to the last question.
    pub(crate) fn next(&mut self, answer: &Response) -> Action {
        match (self.state, answer) {
            (State::Creating(1), Response::Created) => self.won(1),
            (State::Creating(generation), Response::Created) => {
                self.ask(State::Confirming(generation), Request::List)
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
                    Some(&highest) => self.ask(State::Reading(highest), Request::Read(highest)),
                    None => self.ask(State::Creating(1), Request::Create(1)),
                }
            }
            (State::Confirming(mine), Response::Generations(generations)) => {
                if generations.iter().max() == Some(&mine) {
                    self.won(mine)
                } else {
                    self.look_again()
                }
            }
            (State::Reading(generation), Response::Claim(process, nonce)) => {
                self.read(generation, *process, *nonce)
            }
            (State::Reading(_), Response::NoClaim) => self.look_again(),
            (State::Reading(generation), Response::Unreadable) => self.take_over(generation),
            (State::Looking(generation, process), Response::Dead(true)) => self.ask(
                State::Verifying(generation, process),
                Request::Read(generation),
            ),
            (State::Verifying(generation, dead), Response::Claim(process, _))
                if *process == dead =>
            {
                self.take_over(generation)
            }
            (State::Verifying(generation, _), Response::Unreadable) => self.take_over(generation),
            (State::Verifying(..), Response::NoClaim | Response::Claim(..)) => self.look_again(),
            (State::Looking(generation, by), Response::Dead(false)) => {
                Action::Held { by, generation }
            }
            _ => {
                debug_assert!(false, "{answer:?} is no answer to {:?}", self.state);
                Action::Contended
            }
        }
    }

    /// The claim of the highest generation.
    fn read(&mut self, generation: u64, process: ProcessId, nonce: Nonce) -> Action {
        #[cfg(test)]
        if self.flaw == Flaw::NoNonce {
            return self.ask(State::Looking(generation, process), Request::Look(process));
        }
        if process != self.process {
            return self.ask(State::Looking(generation, process), Request::Look(process));
        }
        if nonce == self.nonce {
            return self.won(generation);
        }
        // Of an earlier contest of this process, whose answer was lost.
        self.take_over(generation)
    }

    fn take_over(&mut self, generation: u64) -> Action {
        self.ask(
            State::Creating(generation + 1),
            Request::Create(generation + 1),
        )
    }

    fn look_again(&mut self) -> Action {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            return Action::Contended;
        }
        self.ask(State::Listing, Request::List)
    }

    fn ask(&mut self, state: State, ask: Request) -> Action {
        self.state = state;
        Action::Request(ask)
    }

    fn won(&self, generation: u64) -> Action {
        Action::Won(Won {
            generation,
            nonce: self.nonce,
        })
    }
}
