//! What happens, kept for a while: everybody who listens reads it at their own pace.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

/// Something that happened, as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    pub(crate) id: u64,
    pub(crate) kind: &'static str,
    /// JSON, on one line.
    pub(crate) data: Arc<str>,
}

/// What is kept, and the number of the next.
#[derive(Debug)]
struct Ring {
    kept: VecDeque<Happening>,
    /// How long their data is in all.
    bytes: usize,
    next: u64,
}

/// What happens, in order.
#[derive(Debug)]
pub(crate) struct Feed {
    ring: Mutex<Ring>,
    capacity: usize,
    newest: watch::Sender<u64>,
}

/// What a listener gets next.
#[derive(Debug)]
pub(crate) struct Batch {
    /// How many are not kept any more that it has not seen; `None` where that is not known, since it listened to
    /// another process before.
    pub(crate) missed: Option<u64>,
    pub(crate) happenings: Vec<Happening>,
}

/// No more than that is kept, however few it are.
const MOST_BYTES: usize = 16 << 20;

/// How many are taken at once.
const BATCH: usize = 64;

impl Feed {
    /// Numbers begin above those of a process before this one, so that who comes back is known to have missed some.
    pub(crate) fn new(capacity: usize) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default();
        // Below 2^53, which is as far as numbers go in JavaScript.
        let next = now.saturating_mul(1000);
        Feed {
            ring: Mutex::new(Ring {
                kept: VecDeque::new(),
                bytes: 0,
                next,
            }),
            capacity: capacity.max(1),
            newest: watch::Sender::new(next),
        }
    }

    pub(crate) fn push(&self, kind: &'static str, data: &serde_json::Value) {
        let data: Arc<str> = data.to_string().into();
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let id = ring.next;
        ring.next += 1;
        ring.bytes += data.len();
        while ring.kept.len() >= self.capacity || ring.bytes > MOST_BYTES {
            let Some(oldest) = ring.kept.pop_front() else {
                break;
            };
            ring.bytes -= oldest.data.len();
        }
        ring.kept.push_back(Happening { id, kind, data });
        drop(ring);
        self.newest.send_replace(id);
    }

    /// The number of what happens next.
    pub(crate) fn next(&self) -> u64 {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.next
    }

    /// What has happened from that number on, as far as it is kept.
    pub(crate) fn since(&self, wanted: u64) -> Batch {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = ring.next - ring.kept.len() as u64;
        let (missed, from) = if wanted > ring.next {
            (None, oldest)
        } else {
            (Some(oldest.saturating_sub(wanted)), wanted.max(oldest))
        };
        let skipped = usize::try_from(from - oldest).unwrap_or(usize::MAX);
        let happenings = ring.kept.iter().skip(skipped).take(BATCH);
        Batch {
            missed,
            happenings: happenings.cloned().collect(),
        }
    }

    /// Hears of everything new.
    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.newest.receiver_count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(batch: &Batch) -> Vec<&str> {
        batch.happenings.iter().map(|one| &*one.data).collect()
    }

    #[test]
    fn who_is_too_slow_is_told_how_many_are_gone_and_goes_on() {
        let feed = Feed::new(3);
        let start = feed.next();
        for n in 0..5 {
            feed.push("n", &n.into());
        }
        let batch = feed.since(start);
        assert_eq!((batch.missed, seen(&batch)), (Some(2), vec!["2", "3", "4"]));
        let batch = feed.since(start + 4);
        assert_eq!((batch.missed, seen(&batch)), (Some(0), vec!["4"]));
        let batch = feed.since(feed.next());
        assert_eq!((batch.missed, seen(&batch)), (Some(0), vec![]));
    }

    #[test]
    fn who_comes_from_another_process_is_told_so() {
        let feed = Feed::new(3);
        feed.push("n", &1.into());
        assert_eq!(feed.since(feed.next() + 7).missed, None);
        assert!(feed.since(12).missed.is_some_and(|missed| missed > 0));
    }
}
