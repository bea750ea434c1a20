//! Permission to commit, which can be withdrawn while a write is under way.
//!
//! A write prepares what takes long (a temporary file, the parts of an upload) and asks its guard right before the
//! irrevocable step. So a write that its owner has given up never commits afterwards, and the owner can wait
//! for those that were past that point.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// Asked right before a commit, besides whether the guard is open.
pub(crate) type Check = Arc<dyn Fn() -> bool + Send + Sync>;

/// Permission to commit; all clones are one.
#[derive(Clone)]
pub(crate) struct CommitGuard(Option<Arc<Shared>>);

struct Shared {
    state: watch::Sender<State>,
    check: Option<Check>,
    /// A commit passes both.
    parent: Option<CommitGuard>,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    /// Commits past the point of no return.
    committing: usize,
}

/// One commit past the point of no return, until it is dropped.
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

    /// Returns a guard that lets a commit pass while it is open, this one lets it pass too, and `check` holds.
    pub(crate) fn child(&self, check: Option<Check>) -> Self {
        Self::new(check, Some(self.clone()))
    }

    /// Returns the guard of writes that nobody withdraws; closing it has no effect.
    pub(crate) const fn always_open() -> Self {
        CommitGuard(None)
    }

    fn new(check: Option<Check>, parent: Option<CommitGuard>) -> Self {
        CommitGuard(Some(Arc::new(Shared {
            state: watch::Sender::default(),
            check,
            parent,
        })))
    }

    /// Closes the guard: from now on no commit passes. One that has passed may still be under way; see
    /// [`closed_and_idle`](Self::closed_and_idle).
    pub(crate) fn close(&self) {
        if let Some(shared) = &self.0 {
            shared.state.send_modify(|state| state.is_closed = true);
        }
    }

    /// Returns `true` while a commit would pass.
    pub(crate) fn is_open(&self) -> bool {
        let Some(shared) = &self.0 else { return true };
        !shared.state.borrow().is_closed && shared.is_valid()
    }

    /// Lets a commit pass the point of no return, unless the guard is closed. Keep the result until the effect is there.
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
        let mut has_passed = false;
        shared.state.send_modify(|state| {
            has_passed = !state.is_closed;
            state.committing += usize::from(has_passed);
        });
        has_passed.then(|| Committing {
            guard: Some(Arc::clone(shared)),
            _parent: parent,
        })
    }

    /// Waits until the guard is closed and no commit is past the point of no return.
    pub(crate) async fn closed_and_idle(&self) {
        let Some(shared) = &self.0 else {
            return std::future::pending().await;
        };
        let mut state = shared.state.subscribe();
        // The sender lives as long as `self`.
        let _ = state
            .wait_for(|state| state.is_closed && state.committing == 0)
            .await;
    }
}

impl Shared {
    fn is_valid(&self) -> bool {
        let passes_parent = self.parent.as_ref().is_none_or(CommitGuard::is_open);
        passes_parent && self.check.as_ref().is_none_or(|check| check())
    }
}

impl Drop for Committing {
    fn drop(&mut self) {
        if let Some(shared) = &self.guard {
            shared.state.send_modify(|state| state.committing -= 1);
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
