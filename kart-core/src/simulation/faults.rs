//! What may happen in a history, by kinds that can be switched off one by one.

use std::fmt;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident $chance:literal,)*) => {
        /// A kind of fault, or of things that tasks and processes do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Kind { $($(#[doc = $doc])* $kind,)* }

        impl Kind {
            pub(super) const ALL: &[Kind] = &[$(Kind::$kind),*];
            pub(super) const COUNT: usize = Self::ALL.len();

            /// In how many histories of one hundred it may happen.
            fn chance(self) -> u8 {
                match self { $(Kind::$kind => $chance,)* }
            }
        }
    };
}

kinds! {
    /// A request takes longer than others, and overtakes none of the deadlines of the protocol.
    Slow 50,
    /// A request takes effect long after it was sent, even if whoever sent it has given up.
    Late 20,
    /// A request has no effect, and its answer is an error.
    LostBefore 20,
    /// A request takes effect, and its answer is an error.
    LostAfter 20,
    /// The body of an answer ends early.
    Truncated 20,
    /// The store refuses for a while: 503.
    Refused 20,
    /// An object is hidden from listings for a while.
    Hidden 15,
    /// A process is killed on another machine: it is silent from then on.
    Killed 35,
    /// A process is killed on this machine: others can tell at once.
    KilledHere 20,
    /// A process stands still for a while.
    Paused 20,
    /// The future of a run is dropped, and its process goes on.
    Dropped 25,
    /// A run is asked to stop.
    Stopped 25,
    /// A run has a deadline.
    Deadline 20,
    /// A body fails a few times.
    Fails 35,
    /// A body fails as long as there are faults.
    FailsForGood 15,
    /// A body panics.
    Panics 15,
    /// A body takes longer than its `timeout`.
    TimesOut 15,
    /// A body says that it was interrupted although nothing stops.
    Interrupts 10,
    /// Bodies of plain functions.
    Plain 40,
    /// Outputs at paths without a key.
    Named 25,
    /// Bodies ask for other tasks.
    Gets 40,
    /// Bodies ask for each other.
    Circles 10,
    /// Bodies save steps, states and loops.
    Saves 45,
    /// Two families of tasks with other parameters, and the same paths where these hold no key.
    Days 25,
    /// Processes run other roots of the same graph.
    Roots 25,
    /// Runs make tasks again.
    Reruns 15,
    /// A process runs two runs of one root at once.
    Twins 10,
    /// Runs keep a log.
    Logs 15,
    /// Runs stop at the first failure.
    FailFast 15,
}

impl Kind {
    /// Those that befall requests and their answers.
    pub(super) const OF_STORE: &[Kind] = &[
        Kind::Slow,
        Kind::Late,
        Kind::LostBefore,
        Kind::LostAfter,
        Kind::Truncated,
        Kind::Refused,
        Kind::Hidden,
    ];

    /// Those that a history has or has not; all others happen in it, any number of times.
    pub(super) const PROPERTIES: &[Kind] = &[
        Kind::FailsForGood,
        Kind::Plain,
        Kind::Named,
        Kind::Gets,
        Kind::Circles,
        Kind::Saves,
        Kind::Days,
        Kind::Roots,
        Kind::Reruns,
        Kind::Twins,
        Kind::Logs,
        Kind::FailFast,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u64);

impl Kinds {
    pub(super) const NONE: Kinds = Kinds(0);

    pub(super) fn all() -> Self {
        Kinds((1 << Kind::COUNT) - 1)
    }

    /// Those that may happen in a history.
    pub(super) fn draw(rng: &mut fastrand::Rng) -> Self {
        let mut kinds = Kinds::NONE;
        let is_calm = rng.u8(..4) == 0;
        for kind in Kind::ALL {
            let is_drawn = rng.u8(..100) < kind.chance();
            if is_drawn && !(is_calm && Kind::OF_STORE.contains(kind)) {
                kinds = kinds.with(*kind);
            }
        }
        kinds
    }

    pub(super) fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u64 != 0
    }

    pub(super) fn with(self, kind: Kind) -> Self {
        Kinds(self.0 | 1 << kind as u64)
    }

    pub(super) fn without(self, kind: Kind) -> Self {
        Kinds(self.0 & !(1 << kind as u64))
    }

    pub(super) fn and(self, other: Kinds) -> Self {
        Kinds(self.0 & other.0)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL
            .iter()
            .copied()
            .filter(move |kind| self.has(*kind))
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// How often something of each kind has happened, or in how many histories. Its text leaves out what never has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts([u64; Kind::COUNT]);

impl Default for Counts {
    fn default() -> Self {
        Counts([0; Kind::COUNT])
    }
}

impl Counts {
    pub(super) fn count(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }

    pub(super) fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    pub(super) fn add(&mut self, other: &Counts) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = Kind::ALL.iter().filter(|kind| self.of(**kind) > 0);
        let counted: Vec<String> = counted
            .map(|kind| format!("{kind} {}", self.of(*kind)))
            .collect();
        f.write_str(&counted.join(", "))
    }
}
