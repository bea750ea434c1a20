//! Threads for what blocks: bodies of plain functions, and the store, apart from those of the runtime.
//!
//! Libraries fill the runtime's blocking threads, of which there are only so many, and a runtime that shuts down waits
//! for them. Here every piece of work finds an idle thread or gets a new one, so that neither bodies that wait nor a file
//! system that never answers keep anything else from its thread.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long a thread without work stays.
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
    /// Never more than there are idle threads.
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

/// Runs what blocks on a thread of its own. Once begun it runs to its end, also when the future is dropped.
pub(crate) async fn run<T: Send + 'static>(
    operation: impl FnOnce(&Wanted<'_>) -> T + Send + 'static,
) -> io::Result<T> {
    answer_of(operation, spawn).await
}

/// Hands over an operation that does not begin when the future is dropped before, and waits for its answer.
pub(crate) async fn answer_of<T: Send + 'static>(
    operation: impl FnOnce(&Wanted<'_>) -> T + Send + 'static,
    hand_over: impl FnOnce(Job) -> io::Result<()>,
) -> io::Result<T> {
    #[cfg(test)]
    if crate::simulation::is_active() {
        return Ok(operation(&Wanted::ALWAYS));
    }
    let _clock = hold_clock();
    let (sender, receiver) = oneshot::channel();
    hand_over(Box::new(move || {
        if !sender.is_closed() {
            let answer = operation(&Wanted(&|| !sender.is_closed()));
            // A receiver that has gone meanwhile wants no answer.
            let _ = sender.send(answer);
        }
    }))?;
    let lost = |_| io::Error::other("the operation panicked, or no thread could be started");
    receiver.await.map_err(lost)
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

/// Keeps a paused clock from advancing while the result lives, as the runtime's own blocking work does. A clock that
/// is not paused costs three looks at it.
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
