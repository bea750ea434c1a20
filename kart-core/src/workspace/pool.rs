//! Many small operations on files for one hop to the runtime's blocking threads.
//!
//! A hop costs more than a small file does. So operations stand in a queue, and a *drainer*, one blocking
//! task, takes them until the queue is empty. No lock is held while an operation runs.
//!
//! One drainer is the fastest on a local disk: two that create files in one directory wait for its lock
//! in the kernel. More are started when operations turn out to be slow, as on a network file system.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::oneshot, task};

/// A further drainer starts when more than this many operations wait for each that is active.
const QUEUE_PER_DRAINER: usize = 4;

/// Small operations that take longer than this on average are slow.
const SLOW: Duration = Duration::from_millis(1);

const MAX_DRAINERS: usize = 8;

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

/// Tells an operation whether its caller still waits for it.
pub(super) struct Wanted<'a>(&'a dyn Fn() -> bool);

impl Wanted<'_> {
    pub(super) const ALWAYS: Wanted<'static> = Wanted(&|| true);

    pub(super) fn is_wanted(&self) -> bool {
        (self.0)()
    }
}

impl Pool {
    /// Runs an operation on a blocking thread, together with others. It does not run when the future
    /// is dropped before its turn; once begun, it runs to its end.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        size: Size,
        operation: impl FnOnce(&Wanted) -> T + Send + 'static,
    ) -> io::Result<T> {
        let Ok(runtime) = Handle::try_current() else {
            return Ok(operation(&Wanted::ALWAYS));
        };
        let (sender, receiver) = oneshot::channel();
        let operation = Box::new(move || {
            if !sender.is_closed() {
                // A receiver that has gone meanwhile wants no answer.
                let answer = operation(&Wanted(&|| !sender.is_closed()));
                let _ = sender.send(answer);
            }
        });
        self.enqueue(&runtime, size, operation);
        receiver.await.map_err(|_| lost())
    }

    /// Runs an operation that takes long on a blocking thread of its own.
    pub(super) async fn alone<T: Send + 'static>(
        operation: impl FnOnce(&Wanted) -> T + Send + 'static,
    ) -> io::Result<T> {
        if Handle::try_current().is_err() {
            return Ok(operation(&Wanted::ALWAYS));
        }
        let (sender, receiver) = oneshot::channel();
        task::spawn_blocking(move || {
            let answer = operation(&Wanted(&|| !sender.is_closed()));
            // A receiver that has gone meanwhile wants no answer.
            let _ = sender.send(answer);
        });
        receiver.await.map_err(|_| lost())
    }

    fn enqueue(&self, runtime: &Handle, size: Size, operation: Operation) {
        let mut state = self.queue.lock();
        state.waiting.push_back((size, operation));
        let per_drainer = match size {
            Size::Small => QUEUE_PER_DRAINER,
            Size::Batch => 0,
        };
        let is_crowded = state.waiting.len() > per_drainer * state.active;
        if state.active > 0 && !(is_crowded && state.active < state.most(size)) {
            return;
        }
        state.active += 1;
        drop(state);
        let drainer = Drainer {
            queue: self.queue.clone(),
            done: false,
        };
        runtime.spawn_blocking(move || drainer.run());
    }
}

/// Asked for once: in a container the answer is read from several files.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| {
        thread::available_parallelism().map_or(1, |count| count.get().min(MAX_DRAINERS))
    })
}

fn lost() -> io::Error {
    io::Error::other("the operation panicked, or the runtime is shutting down")
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// A runtime that shuts down drops a drainer that has not begun. Nobody would come for the queue then,
/// so what waits in it is dropped too, and those who wait get an error.
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

    #[test]
    fn a_runtime_that_ends_leaves_nobody_waiting() {
        let pool = Arc::new(Pool::default());
        let builder = || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.max_blocking_threads(1).build().unwrap()
        };
        let first = builder();
        let (release, held) = std::sync::mpsc::channel::<()>();
        // The only blocking thread is taken, so the drainer that follows never begins.
        first.spawn_blocking(move || held.recv());
        let other = pool.clone();
        let waiting = first.spawn(async move { other.submit(Size::Small, |_| 1).await });
        first.block_on(task::yield_now());
        first.block_on(task::yield_now());
        first.shutdown_background();
        drop(waiting);
        release.send(()).unwrap();
        assert_eq!(
            builder().block_on(pool.submit(Size::Batch, |_| 2)).unwrap(),
            2
        );
    }
}
