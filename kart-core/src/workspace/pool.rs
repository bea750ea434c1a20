//! Many small operations on files for one hop to a thread.
//!
//! A hop costs more than a small file does. So operations stand in a queue, and a *drainer*, on a thread of the store,
//! takes them until the queue is empty. No lock is held while an operation runs.
//!
//! One drainer is the fastest on a local disk: two that create files in one directory wait for its lock
//! in the kernel. More are started when operations turn out to be slow, as on a network file system, and when none
//! ends: one that never answers holds up no other.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::threads::{self, Wanted};

/// A further drainer starts when more than this many operations wait for each that is active.
const QUEUE_PER_DRAINER: usize = 4;

/// Small operations that take longer than this on average are slow.
const SLOW: Duration = Duration::from_millis(1);

const MAX_DRAINERS: usize = 8;

/// A further drainer starts when operations wait and none has ended for so long.
const STUCK: Duration = Duration::from_millis(20);

type Operation = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Pool {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<(Size, Operation)>,
    active: usize,
    /// How many operations have ended.
    ended: u64,
    is_watched: bool,
    /// A moving average of how long small operations take.
    pace: Duration,
}

impl State {
    /// How many drainers there may be for operations of that size.
    fn most(&self, size: Size) -> usize {
        match size {
            Size::Small if self.pace < SLOW => 1,
            Size::Small => MAX_DRAINERS,
            Size::Batch => processors(),
        }
    }
}

/// How soon an operation wants a drainer.
#[derive(Clone, Copy)]
pub(super) enum Size {
    /// Some microseconds.
    Small,
    /// A batch of small ones, worth a drainer of its own while there are processors.
    Batch,
}

impl Pool {
    /// Runs an operation on a thread of the store, together with others. It does not run when the future is dropped before
    /// its turn; once begun, it runs to its end.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        size: Size,
        operation: impl FnOnce(&Wanted<'_>) -> T + Send + 'static,
    ) -> io::Result<T> {
        threads::answer_of(operation, |operation| self.enqueue(size, operation)).await
    }

    fn enqueue(&self, size: Size, operation: Operation) -> io::Result<()> {
        let mut state = self.queue.lock();
        state.waiting.push_back((size, operation));
        let per_drainer = match size {
            Size::Small => QUEUE_PER_DRAINER,
            Size::Batch => 0,
        };
        let is_crowded = state.waiting.len() > per_drainer * state.active;
        if state.active == 0 || (is_crowded && state.active < state.most(size)) {
            return self.queue.add_drainer(state);
        }
        if state.is_watched {
            return Ok(());
        }
        state.is_watched = true;
        drop(state);
        let queue = self.queue.clone();
        threads::spawn(Box::new(move || queue.watch()))
    }
}

/// Asked for once: in a container the answer is read from several files.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| {
        thread::available_parallelism().map_or(1, |count| count.get().min(MAX_DRAINERS))
    })
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_drainer(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> io::Result<()> {
        state.active += 1;
        drop(state);
        let drainer = Drainer {
            queue: self.clone(),
            done: false,
        };
        threads::spawn(Box::new(move || drainer.run()))
    }

    /// Adds a drainer whenever operations wait and none ends, until none waits.
    fn watch(self: &Arc<Self>) {
        let mut ended = self.lock().ended;
        loop {
            thread::sleep(STUCK);
            let mut state = self.lock();
            if state.waiting.is_empty() {
                state.is_watched = false;
                return;
            }
            if std::mem::replace(&mut ended, state.ended) == state.ended {
                // Where no thread can be started it is tried again.
                let _ = self.add_drainer(state);
            }
        }
    }
}

struct Drainer {
    queue: Arc<Queue>,
    done: bool,
}

impl Drainer {
    fn run(mut self) {
        let mut took = None;
        while let Some((size, operation)) = self.next(took) {
            let started = Instant::now();
            // The operation's sender is dropped by the unwinding, which tells the one who waits.
            let _ = catch_unwind(AssertUnwindSafe(operation));
            took = matches!(size, Size::Small).then(|| started.elapsed());
        }
    }

    /// The next operation; the one before it, if small, took that long.
    fn next(&mut self, took: Option<Duration>) -> Option<(Size, Operation)> {
        let mut state = self.queue.lock();
        state.ended += 1;
        if let Some(took) = took {
            state.pace = (state.pace * 31 + took) / 32;
        }
        let operation = state.waiting.pop_front();
        if operation.is_none() {
            // Under the same lock as the look into the queue, so that no operation is left behind.
            state.active -= 1;
            self.done = true;
        }
        operation
    }
}

/// A drainer for which no thread could be started is dropped before it has begun. Nobody would come for the queue
/// then, so what waits in it is dropped too, and those who wait get an error.
impl Drop for Drainer {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.queue.lock();
        state.active -= 1;
        if state.active == 0 {
            let abandoned = std::mem::take(&mut state.waiting);
            drop(state);
            drop(abandoned);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn operations_all_run_and_answer() {
        let pool = Pool::default();
        let answers = join_all((0..1000).map(|i| pool.submit(Size::Small, move |_| i * 2))).await;
        let answers: Vec<i32> = answers.into_iter().map(Result::unwrap).collect();
        assert!(answers.iter().copied().eq((0..1000).map(|i| i * 2)));
    }

    #[tokio::test]
    async fn a_panic_is_the_error_of_one_operation() {
        let pool = Pool::default();
        let operations = (0..100)
            .map(|i| pool.submit(Size::Small, move |_| assert!(i != 50, "a panic on purpose")));
        let failed = join_all(operations)
            .await
            .iter()
            .filter(|a| a.is_err())
            .count();
        assert_eq!(failed, 1);
        assert_eq!(pool.submit(Size::Small, |_| 7).await.unwrap(), 7);
    }
}
