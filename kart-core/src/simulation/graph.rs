//! Seeded graphs of tasks: what each task requires, does and gives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::faults::{Kind, Kinds};

/// A kind of task; see `bodies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavor {
    /// An `async fn` at the path that it has unless said otherwise.
    Keyed,
    /// One with retries and a timeout.
    Retried,
    /// One that takes a unit of a limit, at a path of its own.
    Limited,
    /// A plain `fn`.
    Plain,
    /// A plain `fn` with retries and a timeout.
    PlainRetried,
    /// One whose path holds no key.
    Named,
}

/// A piece of what a body does.
#[derive(Clone, Debug)]
pub(super) enum Move {
    Sleep(u64),
    /// A step of that name.
    Step(u64),
    /// A state that is moved forward so often.
    Save(u64),
    /// A loop over so many items.
    Map(u64),
    /// Asks for tasks, one after the other or at once.
    Get {
        targets: Vec<u32>,
        at_once: bool,
    },
    /// Asks for a task that asks for this one; its output plays no part.
    Circle(u32),
}

/// How a body ends instead of well, the first times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Fails,
    Panics,
    TimesOut,
    Interrupts,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) flavor: Flavor,
    pub(super) requires: Vec<u32>,
    pub(super) moves: Vec<Move>,
    pub(super) fault: Option<(Fault, u32)>,
}

/// A graph without its parameters. The last node requires or asks for all others.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) nodes: Vec<Node>,
}

static SHAPES: Mutex<BTreeMap<u64, Arc<Shape>>> = Mutex::new(BTreeMap::new());

/// The graph of a seed whose history is under way: what a task requires follows from its parameters.
pub(super) fn shape(seed: u64) -> Arc<Shape> {
    let shapes = SHAPES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(&shapes[&seed])
}

/// Keeps a graph as long as its history is under way.
pub(super) struct Kept(u64);

impl Kept {
    pub(super) fn new(seed: u64, shape: &Arc<Shape>) -> Self {
        let mut shapes = SHAPES.lock().unwrap_or_else(PoisonError::into_inner);
        shapes.insert(seed, Arc::clone(shape));
        Kept(seed)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut shapes = SHAPES.lock().unwrap_or_else(PoisonError::into_inner);
        shapes.remove(&self.0);
    }
}

impl Shape {
    pub(super) fn draw(rng: &mut fastrand::Rng, kinds: Kinds) -> Self {
        let count = rng.u32(2..=10);
        let form = rng.u8(..5);
        let mut nodes: Vec<Node> = Vec::new();
        for at in 0..count {
            // Drawn in any case, so that what is switched off changes nothing else.
            let mut rng = rng.fork();
            let requires = requires(&mut rng, form, at, count);
            let flavor = flavor(&mut rng, kinds);
            let moves = moves(&mut rng, kinds, at);
            let fault = fault(&mut rng, kinds, flavor);
            nodes.push(Node {
                flavor,
                requires,
                moves,
                fault,
            });
        }
        let mut shape = Shape { nodes };
        let pairs: Vec<(u32, u32)> = (0..8)
            .map(|_| (rng.u32(..count - 1), rng.u32(..count - 1)))
            .collect();
        if kinds.has(Kind::Circles) {
            let mut pairs = pairs.into_iter();
            let may_close = |(one, other): &(u32, u32)| {
                !shape.reaches(*one, *other) && !shape.reaches(*other, *one)
            };
            if let Some((one, other)) = pairs.find(may_close) {
                shape.close(one, other);
            }
        }
        shape
    }

    /// Lets two nodes ask for each other, neither of which reaches the other by what it requires.
    fn close(&mut self, one: u32, other: u32) {
        self.nodes[one as usize].moves.push(Move::Circle(other));
        self.nodes[other as usize].moves.push(Move::Circle(one));
    }

    /// Whether any task has a property that tasks have.
    pub(super) fn has(&self, property: Kind) -> bool {
        let does = |is_one: fn(&Move) -> bool| {
            let mut nodes = self.nodes.iter();
            nodes.any(|node| node.moves.iter().any(is_one))
        };
        let is = |flavors: &[Flavor]| {
            let mut nodes = self.nodes.iter();
            nodes.any(|node| flavors.contains(&node.flavor))
        };
        let mut faults = self.nodes.iter().filter_map(|node| node.fault);
        match property {
            Kind::FailsForGood => faults.any(|(_, times)| times == u32::MAX),
            Kind::Plain => is(&[Flavor::Plain, Flavor::PlainRetried]),
            Kind::Named => is(&[Flavor::Named]),
            Kind::Gets => does(|step| matches!(step, Move::Get { .. })),
            Kind::Circles => does(|step| matches!(step, Move::Circle(_))),
            Kind::Saves => {
                does(|step| matches!(step, Move::Step(_) | Move::Save(_) | Move::Map(_)))
            }
            _ => true,
        }
    }

    fn reaches(&self, from: u32, to: u32) -> bool {
        from == to || self.below(from).iter().any(|next| self.reaches(*next, to))
    }

    /// What a node takes the outputs of.
    pub(super) fn below(&self, at: u32) -> Vec<u32> {
        let node = &self.nodes[at as usize];
        let asked = node.moves.iter().flat_map(|step| match step {
            Move::Get { targets, .. } => targets.clone(),
            _ => Vec::new(),
        });
        node.requires.iter().copied().chain(asked).collect()
    }

    pub(super) fn root(&self) -> u32 {
        u32::try_from(self.nodes.len() - 1).unwrap_or(0)
    }

    /// What a task gives, as it is to be.
    pub(super) fn value(&self, day: u32, at: u32) -> u64 {
        let below = self.below(at);
        mix(day, at, below.iter().map(|below| self.value(day, *below)))
    }
}

/// What a body makes of what it was given.
pub(super) fn mix(day: u32, at: u32, values: impl IntoIterator<Item = u64>) -> u64 {
    let start = (u64::from(day) << 32 | u64::from(at)).wrapping_add(0x9e37_79b9);
    let mixed = values.into_iter().fold(start, |mixed, value| {
        mixed.rotate_left(7) ^ value.wrapping_mul(0x0100_0000_01b3)
    });
    // Other languages' JSON has no larger integers.
    mixed % (1 << 53)
}

fn requires(rng: &mut fastrand::Rng, form: u8, at: u32, count: u32) -> Vec<u32> {
    let chosen = rng.u32(..) | 1;
    let is_last = at == count - 1;
    match form {
        // A chain.
        0 => at.checked_sub(1).into_iter().collect(),
        // A fan: everything below the last.
        1 => {
            if is_last {
                (0..at).collect()
            } else {
                Vec::new()
            }
        }
        // A diamond.
        2 if is_last => (1..at).collect(),
        2 => {
            if at == 0 {
                Vec::new()
            } else {
                vec![0]
            }
        }
        // A ladder.
        3 => (at.saturating_sub(2)..at).collect(),
        // Anything.
        _ => (0..at)
            .filter(|below| chosen >> below & 1 == 1 || is_last && *below + 1 == at)
            .collect(),
    }
}

fn flavor(rng: &mut fastrand::Rng, kinds: Kinds) -> Flavor {
    match rng.u8(..10) {
        0..3 => Flavor::Retried,
        3 => Flavor::Limited,
        4 if kinds.has(Kind::Plain) => Flavor::Plain,
        5 if kinds.has(Kind::Plain) => Flavor::PlainRetried,
        6..8 if kinds.has(Kind::Named) => Flavor::Named,
        _ => Flavor::Keyed,
    }
}

fn moves(rng: &mut fastrand::Rng, kinds: Kinds, at: u32) -> Vec<Move> {
    let mut moves = Vec::new();
    for name in 0..rng.u64(..4) {
        let (what, size, chosen, at_once) = (rng.u8(..6), rng.u64(1..4), rng.u32(..), rng.bool());
        let saves = kinds.has(Kind::Saves);
        let targets: Vec<u32> = (0..at).filter(|below| chosen >> below & 3 == 3).collect();
        moves.push(match what {
            0 if saves => Move::Step(name),
            1 if saves => Move::Save(size),
            2 if saves => Move::Map(size + 1),
            3 | 4 if kinds.has(Kind::Gets) && !targets.is_empty() => Move::Get { targets, at_once },
            _ => Move::Sleep(u64::from(chosen % 700)),
        });
    }
    moves
}

fn fault(rng: &mut fastrand::Rng, kinds: Kinds, flavor: Flavor) -> Option<(Fault, u32)> {
    let has_timeout = matches!(flavor, Flavor::Retried | Flavor::PlainRetried);
    let (what, times, for_good) = (rng.u8(..16), rng.u32(1..4), rng.u8(..4) == 0);
    let fault = match what {
        0..3 if kinds.has(Kind::Fails) => Fault::Fails,
        3 if kinds.has(Kind::Panics) => Fault::Panics,
        4 if kinds.has(Kind::TimesOut) && has_timeout => Fault::TimesOut,
        5 if kinds.has(Kind::Interrupts) => Fault::Interrupts,
        _ => return None,
    };
    let for_good = for_good && kinds.has(Kind::FailsForGood);
    Some((fault, if for_good { u32::MAX } else { times }))
}
