//! All that happens in a run, in the order in which it happened, and what goes on beside the attempts.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::asks::Ask;
use super::beside::Beside;
use crate::error::Error;
use crate::model::NodeId;
use crate::plan::Need;

/// Something that happened, apart from the end of an attempt.
#[derive(Debug)]
pub(super) enum Step {
    /// The body has ended well, and its output is on its way to the store.
    Ended(NodeId),
    /// Nobody else has the task: its body begins its attempt of that number.
    Began(NodeId, u32),
    Progress(NodeId, ProgressNow),
    /// The body asks for a task.
    Asked(Ask),
    /// The body does not wait any more for what it asked for.
    Withdrawn {
        by: NodeId,
        ask: u64,
    },
    /// The body has taken what it was given, and waits for more.
    Parked(NodeId),
    Surveyed(Surveyed),
    /// The worker that made the task tells what its body asked for.
    Told(NodeId, Beside),
    Looked(Looks),
    /// The pause before the next attempt, with its number, is over.
    Rested(NodeId, u32),
    /// A step of the run itself panicked, as the code that names a requirement may.
    Panicked(Box<dyn Any + Send>),
}

/// How far a body says it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ProgressNow {
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) message: Option<String>,
}

/// What is known about a task that was asked for, and about all that it needs.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub(super) target: NodeId,
    pub(super) asker: NodeId,
    pub(super) needs: Result<Vec<(NodeId, Need)>, Error>,
}

/// What became of tasks that other processes have.
pub(super) type Looks = Result<Vec<(NodeId, Found)>, Error>;

/// What became of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Made,
    /// It is to be tried again.
    Free,
    Held,
}

/// What has happened and was not taken in yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    steps: Mutex<VecDeque<Step>>,
    bell: Notify,
}

impl Inbox {
    pub(super) fn tell(&self, step: Step) {
        self.lock().push_back(step);
        self.ring();
    }

    pub(super) fn next(&self) -> Option<Step> {
        self.lock().pop_front()
    }

    /// Has the loop of the run look at what there is to do.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    pub(super) async fn heard(&self) {
        self.bell.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Surveys, looks at other processes, and pauses between attempts. Dropping it stops them all.
#[derive(Debug)]
pub(super) struct Aside {
    inbox: Arc<Inbox>,
    surveys: JoinSet<()>,
    looks: JoinSet<()>,
    rests: JoinSet<()>,
    is_looking: bool,
}

impl Aside {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Aside {
            inbox,
            surveys: JoinSet::new(),
            looks: JoinSet::new(),
            rests: JoinSet::new(),
            is_looking: false,
        }
    }

    pub(super) fn survey(&mut self, survey: impl Future<Output = Surveyed> + Send + 'static) {
        begin(&mut self.surveys, &self.inbox, survey.map(Step::Surveyed));
    }

    /// Looks after a while at what other processes have, unless a look is under way.
    pub(super) fn look(&mut self, look: impl Future<Output = Looks> + Send + 'static) {
        if !std::mem::replace(&mut self.is_looking, true) {
            begin(&mut self.looks, &self.inbox, look.map(Step::Looked));
        }
    }

    pub(super) fn is_looking(&self) -> bool {
        self.is_looking
    }

    pub(super) fn looked(&mut self) {
        self.is_looking = false;
    }

    /// Nobody is interested any more in what other processes have.
    pub(super) fn stop_looks(&mut self) {
        self.is_looking = false;
        self.looks.abort_all();
    }

    pub(super) fn rest(&mut self, node: NodeId, pause: Duration, next: u32) {
        let rest = tokio::time::sleep(pause).map(move |()| Step::Rested(node, next));
        begin(&mut self.rests, &self.inbox, rest);
    }

    /// Nothing that rests goes on.
    pub(super) fn stop_rests(&mut self) {
        self.rests.abort_all();
    }
}

fn begin(
    set: &mut JoinSet<()>,
    inbox: &Arc<Inbox>,
    work: impl Future<Output = Step> + Send + 'static,
) {
    while set.try_join_next().is_some() {}
    let inbox = Arc::clone(inbox);
    set.spawn(async move {
        let step = AssertUnwindSafe(work).catch_unwind().await;
        inbox.tell(step.unwrap_or_else(Step::Panicked));
    });
}
