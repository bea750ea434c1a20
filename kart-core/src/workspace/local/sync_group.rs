//! Flushes of the disk that many writers share.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Lets writers that wait at the same time share one flush.
#[derive(Debug, Default)]
pub(super) struct SyncGroup {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last flush that began.
    begun: u64,
    /// The number of the last one that succeeded.
    succeeded: u64,
    is_running: bool,
}

impl SyncGroup {
    /// Returns once a flush that began after this call has succeeded.
    ///
    /// # Errors
    ///
    /// The flush failed.
    pub(super) fn sync(&self, flush: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        // One that is running may have missed what this writer has written.
        let wanted = state.begun + 1;
        while state.is_running {
            let ended = self.ended.wait(state);
            state = ended.unwrap_or_else(PoisonError::into_inner);
            if state.succeeded >= wanted {
                return Ok(());
            }
        }
        state.is_running = true;
        state.begun += 1;
        let number = state.begun;
        drop(state);
        let flushed = flush();
        let mut state = self.lock();
        state.is_running = false;
        if flushed.is_ok() {
            state.succeeded = number;
        }
        self.ended.notify_all();
        flushed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn writers_that_come_during_a_flush_share_the_next_one() {
        let (group, flushes) = (SyncGroup::default(), AtomicU32::new(0));
        let (begun, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let count = || {
            flushes.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let (group, count) = (&group, &count);
        thread::scope(|scope| {
            scope.spawn(move || {
                group.sync(|| {
                    begun.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    count()
                })
            });
            has_begun.recv().unwrap();
            let late: Vec<_> = (0..8)
                .map(|_| scope.spawn(move || group.sync(count)))
                .collect();
            // They wait: the flush that is running does not count for them.
            while group.lock().begun != 1 {
                thread::yield_now();
            }
            go_on.send(()).unwrap();
            for writer in late {
                writer.join().unwrap().unwrap();
            }
        });
        let flushes = flushes.load(Ordering::SeqCst);
        assert!((2..=9).contains(&flushes), "{flushes}");
    }

    #[test]
    fn a_flush_that_fails_counts_for_nobody() {
        let group = SyncGroup::default();
        assert!(group.sync(|| Err(io::ErrorKind::Other.into())).is_err());
        let mut is_flushed = false;
        let flush = || {
            is_flushed = true;
            Ok(())
        };
        group.sync(flush).unwrap();
        assert!(is_flushed);
    }
}
