//! Fencing: permission to commit, which can be withdrawn while a write is in progress.
//!
//! A write does the slow part first (a temporary file, the parts of an upload) and asks its guard right before the
//! irrevocable step. So a write that its owner has given up never commits afterwards, and the owner can wait for commits
//! that are past that point.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A condition that also has to hold right before a commit.
pub(crate) type Check = Arc<dyn Fn() -> bool + Send + Sync>;

/// Permission to commit. Clones share one state.
#[derive(Clone)]
pub(crate) struct CommitGuard(Option<Arc<Shared>>);

struct Shared {
    state: Mutex<State>,
    /// Notified when the guard is closed and no commit is past the point of no return.
    idle: Notify,
    check: Option<Check>,
    /// A commit has to pass this guard too.
    parent: Option<CommitGuard>,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    /// The number of commits past the point of no return.
    committing: usize,
}

/// A commit past the point of no return, until it is dropped.
#[must_use]
pub(crate) struct Committing {
    guard: Option<Arc<Shared>>,
    _parent: Option<Box<Committing>>,
}

impl CommitGuard {
    /// Returns a guard that is open until it is closed.
    pub(crate) fn open() -> Self {
        Self::new(None, None)
    }

    /// Returns a guard that lets a commit pass while it is open and `check` holds.
    pub(crate) fn with_check(check: Check) -> Self {
        Self::new(Some(check), None)
    }

    /// Returns a guard that lets a commit pass while it is open, `check` holds, and this guard lets it pass too.
    pub(crate) fn child(&self, check: Option<Check>) -> Self {
        Self::new(check, Some(self.clone()))
    }

    /// Returns a guard for writes that are never withdrawn. Closing it has no effect.
    pub(crate) const fn always_open() -> Self {
        CommitGuard(None)
    }

    fn new(check: Option<Check>, parent: Option<CommitGuard>) -> Self {
        CommitGuard(Some(Arc::new(Shared {
            state: Mutex::default(),
            idle: Notify::new(),
            check,
            parent,
        })))
    }

    /// Closes the guard: no commit passes any more. One that has passed may still be in progress; see
    /// [`closed_and_idle`](Self::closed_and_idle).
    pub(crate) fn close(&self) {
        if let Some(shared) = &self.0 {
            shared.change(|state| state.is_closed = true);
        }
    }

    /// Returns `true` while a commit would pass.
    pub(crate) fn is_open(&self) -> bool {
        let Some(shared) = &self.0 else { return true };
        !shared.lock().is_closed && shared.is_valid()
    }

    /// Lets a commit pass the point of no return, or returns `None`. Keep the result until the commit has taken effect.
    pub(crate) fn enter(&self) -> Option<Committing> {
        let Some(shared) = &self.0 else {
            return Some(Committing {
                guard: None,
                _parent: None,
            });
        };
        if !shared.is_valid() {
            return None;
        }
        let parent = match &shared.parent {
            Some(parent) => Some(Box::new(parent.enter()?)),
            None => None,
        };
        let mut state = shared.lock();
        if state.is_closed {
            return None;
        }
        state.committing += 1;
        drop(state);
        Some(Committing {
            guard: Some(Arc::clone(shared)),
            _parent: parent,
        })
    }

    /// Waits until the guard is closed and no commit is past the point of no return.
    pub(crate) async fn closed_and_idle(&self) {
        let Some(shared) = &self.0 else {
            return std::future::pending().await;
        };
        loop {
            let mut idle = pin!(shared.idle.notified());
            idle.as_mut().enable();
            if shared.lock().is_idle() {
                return;
            }
            idle.await;
        }
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.is_closed && self.committing == 0
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let is_idle = state.is_idle();
        drop(state);
        if is_idle {
            self.idle.notify_waiters();
        }
    }

    fn is_valid(&self) -> bool {
        let passes_parent = self.parent.as_ref().is_none_or(CommitGuard::is_open);
        passes_parent && self.check.as_ref().is_none_or(|check| check())
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        if let Some(shared) = &self.guard {
            shared.change(|state| state.committing -= 1);
        }
    }
}

impl fmt::Debug for CommitGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitGuard")
            .field("is_open", &self.is_open())
            .finish()
    }
}

#[cfg(test)]
mod tests;
