//! Threads for blocking work: bodies of plain functions, and the store.
//!
//! They are apart from the runtime's blocking pool, which has a fixed width, which libraries may fill, and which a runtime
//! waits for when it shuts down. Here every job finds an idle thread or gets a new one, so neither waiting bodies nor a
//! file system that never answers can keep another job from running.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long an idle thread waits for work before it ends.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

static THREADS: Threads = Threads {
    state: Mutex::new(State {
        jobs: VecDeque::new(),
        idle: 0,
    }),
    wake: Condvar::new(),
};

type Job = Box<dyn FnOnce() + Send>;

struct Threads {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    /// Never longer than the number of idle threads.
    jobs: VecDeque<Job>,
    idle: usize,
}

/// Tells an operation whether its caller still waits for it.
pub(crate) struct Wanted<'a>(&'a dyn Fn() -> bool);

impl Wanted<'_> {
    #[cfg(test)]
    pub(crate) const ALWAYS: Wanted<'static> = Wanted(&|| true);

    pub(crate) fn is_wanted(&self) -> bool {
        (self.0)()
    }
}

/// Runs a blocking operation on a thread of its own. Once started it runs to its end, even if the future is dropped.
pub(crate) async fn run<T: Send + 'static>(
    operation: impl FnOnce(&Wanted<'_>) -> T + Send + 'static,
) -> io::Result<T> {
    answer_of(operation, spawn).await
}

/// Hands over an operation and waits for its answer. An operation whose future was dropped before does not start.
pub(crate) async fn answer_of<T: Send + 'static>(
    operation: impl FnOnce(&Wanted<'_>) -> T + Send + 'static,
    hand_over: impl FnOnce(Job) -> io::Result<()>,
) -> io::Result<T> {
    #[cfg(test)]
    if are_simulated() {
        return Ok(operation(&Wanted::ALWAYS));
    }
    let _clock = hold_clock();
    let (sender, receiver) = oneshot::channel();
    hand_over(Box::new(move || {
        if !sender.is_closed() {
            let answer = operation(&Wanted(&|| !sender.is_closed()));
            // The receiver may be gone.
            let _ = sender.send(answer);
        }
    }))?;
    let lost = |_| io::Error::other("the operation panicked, or no thread could be started");
    receiver.await.map_err(lost)
}

/// Whether what would have a thread of its own runs within the runtime, in a simulation's order.
pub(crate) fn are_simulated() -> bool {
    #[cfg(test)]
    return crate::simulation::is_active();
    #[cfg(not(test))]
    false
}

/// Runs a job on an idle thread, or on a new one.
pub(crate) fn spawn(job: Job) -> io::Result<()> {
    let mut state = THREADS.lock();
    if state.idle > state.jobs.len() {
        state.jobs.push_back(job);
        drop(state);
        THREADS.wake.notify_one();
        return Ok(());
    }
    drop(state);
    let thread = thread::Builder::new().name("kart".to_owned());
    thread.spawn(move || THREADS.serve(job)).map(drop)
}

impl Threads {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut job: Job) {
        loop {
            job();
            let mut state = self.lock();
            state.idle += 1;
            let waited = self
                .wake
                .wait_timeout_while(state, KEEP_ALIVE, |state| state.jobs.is_empty());
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            match state.jobs.pop_front() {
                Some(next) => job = next,
                None => return,
            }
        }
    }
}

/// Keeps a paused tokio clock from advancing while the result lives, as the runtime's own blocking pool does. Costs three
/// clock reads if the clock is not paused.
pub(crate) fn hold_clock() -> Option<mpsc::Sender<()>> {
    let before = std::time::Instant::now();
    let now = tokio::time::Instant::now().into_std();
    if (before..=std::time::Instant::now()).contains(&now) {
        return None;
    }
    let (hold, released) = mpsc::channel();
    let runtime = Handle::try_current().ok()?;
    runtime.spawn_blocking(move || released.recv());
    Some(hold)
}
