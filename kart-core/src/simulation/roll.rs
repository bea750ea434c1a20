//! What becomes of one request, by the seed, the process and the number of the request. Each kind of fault is drawn by itself,
//! so that one that is switched off changes none of the others.

use std::time::Duration;

use super::faults::Kind;
use super::world::{TTL, World};

#[derive(Clone, Copy, Debug)]
pub(super) struct Roll {
    drawn: u64,
    /// The way to the store, and back.
    pub(super) way: Duration,
    pub(super) back: Duration,
    /// How often others go first.
    pub(super) yields: u8,
    pub(super) is_refused: bool,
    /// After how long it takes effect, if late.
    pub(super) late: Option<Duration>,
    pub(super) hidden: Duration,
}

impl Roll {
    pub(super) fn new(seed: u64, number: u64, world: &World, operation: &str) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let way = Duration::from_millis(rng.u64(1..20));
        let back = Duration::from_millis(rng.u64(1..20));
        let yields = rng.u8(..3);
        let (long, late, hidden) = (rng.u64(50..400), rng.u64(1..200), rng.u64(100..20_000));
        let (is_long, is_minutes) = (rng.bool(), rng.u8(..6) == 0);
        let mut drawn = 0;
        for kind in Kind::OF_STORE {
            let chance = rng.u32(..1000);
            let is_read = matches!(operation, "get" | "list");
            if world.may(*kind)
                && chance < world.rate(*kind)
                && (is_read || *kind != Kind::Truncated)
            {
                drawn |= 1 << *kind as u64;
            }
        }
        let mut roll = Roll {
            drawn,
            way,
            back,
            yields,
            is_refused: false,
            late: None,
            hidden: Duration::ZERO,
        };
        let is_write = matches!(operation, "put" | "create" | "delete" | "copy");
        roll.is_refused = world.is_refusing();
        if roll.has(Kind::Slow) {
            roll.way += Duration::from_millis(if is_long { long } else { 0 });
            roll.back += Duration::from_millis(if is_long { 0 } else { long });
        }
        if roll.has(Kind::Late) {
            let unit = if is_minutes { TTL } else { TTL / 30 };
            roll.late = Some(TTL / 3 + unit * u32::try_from(late).unwrap_or(1));
        }
        if roll.has(Kind::Hidden) && is_write {
            roll.hidden = Duration::from_millis(hidden);
        }
        roll
    }

    pub(super) fn has(&self, kind: Kind) -> bool {
        self.drawn & 1 << kind as u64 != 0
    }
}

impl std::fmt::Display for Roll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for kind in Kind::OF_STORE {
            if self.has(*kind) {
                write!(f, " [{kind}]")?;
            }
        }
        match (self.is_refused, self.late) {
            (true, _) => f.write_str(" [refused]"),
            (_, Some(late)) => write!(f, " by {:.1} s", late.as_secs_f64()),
            _ => Ok(()),
        }
    }
}
