//! Which attempts a run made, and when: what the timeline is drawn from.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use kart_core::{Event, Key, chain};
use serde::Serialize;

/// `[task, number, start, end, outcome, bytes, error]`.
#[derive(Serialize)]
pub(crate) struct Attempt(usize, u32, f64, f64, char, u64, i64);

/// Takes the events of a run.
pub(crate) struct Recorder {
    started: SystemTime,
    begin: Instant,
    recorded: Mutex<Recorded>,
}

#[derive(Default)]
struct Recorded {
    /// The attempts under way: which, and since when.
    open: HashMap<Key, (u32, f64)>,
    ended: Vec<Ended>,
}

struct Ended {
    key: Key,
    number: u32,
    start: f64,
    end: f64,
    outcome: char,
    bytes: u64,
    error: Option<String>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Recorder {
            started: SystemTime::now(),
            begin: Instant::now(),
            recorded: Mutex::default(),
        }
    }

    /// When the run began.
    pub(crate) fn started(&self) -> SystemTime {
        self.started
    }

    pub(crate) fn take(&self, event: &Event<'_>) {
        let now = self.begin.elapsed().as_secs_f64();
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = &mut *recorded;
        let (task, outcome, bytes, error) = match event {
            Event::Started { task, attempt, .. } => {
                recorded.open.insert(task.key(), (*attempt, now));
                return;
            }
            Event::Finished { task, bytes, .. } => (task, 'r', *bytes, None),
            Event::Retrying { task, error, .. } => (task, 'y', 0, Some(chain(*error))),
            Event::Failed { task, error, .. } => (task, 'f', 0, Some(chain(*error))),
            Event::Interrupted { task, .. } => (task, 'i', 0, None),
            _ => return,
        };
        let key = task.key();
        if let Some((number, start)) = recorded.open.remove(&key) {
            recorded.ended.push(Ended {
                key,
                number,
                start,
                end: now,
                outcome,
                bytes,
                error,
            });
        }
    }

    /// All attempts, by the places of their tasks, and their errors.
    pub(crate) fn attempts(
        &self,
        places: &HashMap<Key, usize>,
        elapsed: Duration,
    ) -> (Vec<Attempt>, Vec<String>) {
        let recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let mut errors = Vec::new();
        let mut attempts = Vec::with_capacity(recorded.ended.len());
        let micros = |seconds: f64| (seconds * 1e6).round() / 1e6;
        for ended in &recorded.ended {
            let Some(place) = places.get(&ended.key) else {
                continue;
            };
            let error = ended.error.as_ref().map_or(-1, |error| {
                let at = errors
                    .iter()
                    .position(|other| other == error)
                    .unwrap_or_else(|| {
                        errors.push(error.clone());
                        errors.len() - 1
                    });
                i64::try_from(at).unwrap_or(-1)
            });
            attempts.push(Attempt(
                *place,
                ended.number,
                micros(ended.start),
                micros(ended.end),
                ended.outcome,
                ended.bytes,
                error,
            ));
        }
        let end = elapsed.as_secs_f64();
        for (key, (number, start)) in &recorded.open {
            if let Some(place) = places.get(key) {
                attempts.push(Attempt(
                    *place,
                    *number,
                    micros(*start),
                    micros(end),
                    'i',
                    0,
                    -1,
                ));
            }
        }
        (attempts, errors)
    }
}
