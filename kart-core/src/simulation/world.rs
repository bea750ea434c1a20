//! What all processes of a history share: the store, the clock, the graph, and an observer that sees everything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::bodies;
use super::faults::{Counts, Kind, Kinds};
use super::front::Request;
use super::graph::{Flavor, Shape};
use super::notes::Notes;
use super::objects::{Objects, Sent};
use super::promises::{self, Promise};
use super::roll::Roll;
use crate::Coordination;

/// How long a process may be silent.
pub(super) const TTL: Duration = Duration::from_secs(3);
/// How long bodies have when a run stops.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// What is known of a history before it begins.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) seed: u64,
    /// What may happen at most.
    pub(super) allowed: Kinds,
    /// How many processes there are at most.
    pub(super) processes: usize,
    /// The promises that are not looked at.
    pub(super) leaves_out: Vec<Promise>,
    /// Whether its story is kept.
    pub(super) is_told: bool,
}

/// Whose output a path is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) day: u32,
    pub(super) at: u32,
    pub(super) is_keyed: bool,
}

pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) kinds: Kinds,
    pub(super) shape: Arc<Shape>,
    pub(super) coordination: Coordination,
    pub(super) days: u32,
    /// Of keyless paths that of any day.
    paths: BTreeMap<String, Place>,
    keys: BTreeMap<String, (u32, u32)>,
    values: BTreeMap<(u32, u32), u64>,
    rates: [u32; Kind::COUNT],
    refusing: Vec<(Duration, Duration)>,
    start: Instant,
    objects: Mutex<Objects>,
    notes: Mutex<Notes>,
    is_healed: AtomicBool,
    arriving: AtomicUsize,
    lives: AtomicUsize,
}

impl World {
    /// A world whose history begins now, within a runtime.
    pub(super) fn new(settings: Settings, rng: &mut fastrand::Rng) -> Self {
        let kinds = Kinds::draw(&mut rng.fork()).and(settings.allowed);
        let shape = Arc::new(Shape::draw(&mut rng.fork(), kinds));
        let (is_shared, day) = (rng.bool(), rng.u32(2..4));
        let refusals = rng.u64(1..4);
        let mut rates = [0; Kind::COUNT];
        for rate in &mut rates {
            *rate = [3, 10, 40][rng.usize(..3)];
        }
        let refusing = (0..refusals).map(|_| {
            let from = Duration::from_millis(rng.u64(..12_000));
            let most = [300, 3_000, 30_000][rng.usize(..3)];
            (from, from + Duration::from_millis(rng.u64(100..=most)))
        });
        let refusing = refusing.collect();
        World {
            kinds,
            shape,
            coordination: if is_shared {
                Coordination::Shared
            } else {
                Coordination::Exclusive
            },
            days: if kinds.has(Kind::Days) { day } else { 1 },
            paths: BTreeMap::new(),
            keys: BTreeMap::new(),
            values: BTreeMap::new(),
            rates,
            refusing,
            start: Instant::now(),
            objects: Mutex::default(),
            notes: Mutex::new(Notes::new(settings.is_told)),
            is_healed: AtomicBool::new(false),
            arriving: AtomicUsize::new(0),
            lives: AtomicUsize::new(0),
            settings,
        }
    }

    /// Finds out where each output will be. The graph has to be known by its seed.
    pub(super) fn display_url(&mut self) {
        for day in 0..self.days {
            for (at, node) in self.shape.nodes.iter().enumerate() {
                let at = u32::try_from(at).unwrap_or(0);
                let task = bodies::task(self.settings.seed, day, at);
                let is_keyed = node.flavor != Flavor::Named;
                let place = Place { day, at, is_keyed };
                self.paths.insert(task.try_path().unwrap(), place);
                self.keys
                    .insert(task.try_key().unwrap().to_string(), (day, at));
                self.values.insert((day, at), self.shape.value(day, at));
            }
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn seed_of(&self, life: usize) -> u64 {
        fastrand::Rng::with_seed(self.settings.seed ^ (life as u64 + 1) << 40).u64(..)
    }

    /// A process that begins.
    pub(super) fn next_life(&self) -> usize {
        self.lives.fetch_add(1, Ordering::Relaxed)
    }

    /// A process is no more.
    pub(super) fn died(&self, life: usize) {
        let now = self.now();
        self.notes().died(life, now);
    }

    /// A run is over.
    pub(super) fn ended(&self, run: usize) {
        let now = self.now();
        let run = &mut self.notes().runs[run];
        run.is_over = true;
        run.ended = Some(now);
    }

    pub(super) fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap()
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    pub(super) fn place(&self, path: &str) -> Option<Place> {
        self.paths.get(path).copied()
    }

    pub(super) fn path(&self, day: u32, at: u32) -> &str {
        let is_it = |place: &Place| place.at == at && (place.day == day || !place.is_keyed);
        let found = self.paths.iter().find(|(_, place)| is_it(place));
        found.map_or("", |(path, _)| path)
    }

    /// The task that a key is of.
    pub(super) fn keyed(&self, key: &str) -> Option<(u32, u32)> {
        self.keys.get(key).copied()
    }

    pub(super) fn value(&self, day: u32, at: u32) -> Bytes {
        Bytes::from(self.values[&(day, at)].to_string())
    }

    /// Whether such a thing may happen now.
    pub(super) fn may(&self, kind: Kind) -> bool {
        self.kinds.has(kind) && !self.is_healed()
    }

    pub(super) fn is_healed(&self) -> bool {
        self.is_healed.load(Ordering::Relaxed)
    }

    /// Ends all faults.
    pub(super) fn heal(&self) {
        self.is_healed.store(true, Ordering::Relaxed);
        self.tell(usize::MAX, || "no more faults".to_owned());
    }

    /// How many of a thousand requests meet a fault.
    pub(super) fn rate(&self, kind: Kind) -> u32 {
        self.rates[kind as usize]
    }

    pub(super) fn is_refusing(&self) -> bool {
        let now = self.now();
        let is_now = |(from, until): &(Duration, Duration)| (*from..*until).contains(&now);
        self.may(Kind::Refused) && self.refusing.iter().any(is_now)
    }

    /// The properties that this history has, each once.
    pub(super) fn properties(&self) -> Counts {
        let mut properties = Counts::default();
        let has = |kind: &&Kind| self.kinds.has(**kind) && self.shape.has(**kind);
        for kind in Kind::PROPERTIES.iter().filter(has) {
            properties.count(*kind);
        }
        properties
    }

    pub(super) fn count(&self, kind: Kind) {
        self.notes().counts.count(kind);
    }

    pub(super) fn counts(&self) -> Counts {
        self.notes().counts
    }

    /// A process has sent a request.
    pub(super) fn request(&self, sent: Sent, operation: &str, path: &str, roll: &Roll) {
        let mut notes = self.notes();
        notes.requests += 1;
        for kind in Kind::OF_STORE {
            if roll.has(*kind) {
                notes.counts.count(*kind);
            }
        }
        if roll.is_refused {
            notes.counts.count(Kind::Refused);
        }
        drop(notes);
        self.tell(sent.by, || {
            format!("{operation} {}{}", self.shown(path), roll)
        });
        promises::sent(self, sent, operation, path);
    }

    /// A request takes effect.
    pub(super) fn apply<T>(
        &self,
        request: Request,
        effect: impl FnOnce(&mut Objects, Request) -> T,
    ) -> T {
        let (result, write) = {
            let mut objects = self.objects();
            objects.now = self.now();
            let writes = objects.writes.len();
            let result = effect(&mut objects, request);
            (result, objects.writes.get(writes).cloned())
        };
        if let Some(write) = write {
            promises::written(self, &write);
        }
        result
    }

    /// Something is on its way to the store that nobody may wait for any more.
    pub(super) fn arriving(self: &Arc<Self>) -> Arriving {
        self.arriving.fetch_add(1, Ordering::Relaxed);
        Arriving(Arc::clone(self))
    }

    pub(super) fn is_anything_arriving(&self) -> bool {
        self.arriving.load(Ordering::Relaxed) > 0
    }

    /// Adds to the story.
    pub(super) fn tell(&self, life: usize, what: impl FnOnce() -> String) {
        if self.settings.is_told {
            let now = self.now();
            let what = what();
            self.notes().tell(now, life, &what);
        }
    }

    /// Notes that a promise was checked, and whether it was kept.
    pub(super) fn check(&self, promise: Promise, is_kept: bool, broken: impl FnOnce() -> String) {
        if self.settings.leaves_out.contains(&promise) {
            return;
        }
        let now = self.now();
        if is_kept {
            self.notes().kept[promise as usize] += 1;
        } else {
            let broken = broken();
            self.tell(usize::MAX, || format!("BROKEN: {promise}: {broken}"));
            self.notes().broke(now, promise, broken);
        }
    }

    /// A path as the story names it.
    pub(super) fn shown(&self, path: &str) -> String {
        if let Some(place) = self.place(path) {
            return format!("output of {}.{}", place.day, place.at);
        }
        let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
        for part in &mut parts {
            if let Some((day, at)) = self.keyed(part) {
                *part = format!("{day}.{at}");
            } else if part.len() == 32 {
                part.truncate(4);
            }
        }
        parts.join("/")
    }
}

/// A request on its way.
pub(super) struct Arriving(Arc<World>);

impl Arriving {
    pub(super) fn apply<T>(
        &self,
        request: Request,
        effect: impl FnOnce(&mut Objects, Request) -> T,
    ) -> T {
        self.0
            .tell(request.sent.by, || "a late request takes effect".to_owned());
        let writes = self.0.objects().writes.len();
        let result = self.0.apply(request, effect);
        let objects = self.0.objects();
        let write = objects.writes.get(writes);
        if write.is_some_and(|write| write.path.starts_with("_kart/claims/")) {
            self.0.notes().late_claims += 1;
        }
        result
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.arriving.fetch_sub(1, Ordering::Relaxed);
    }
}
