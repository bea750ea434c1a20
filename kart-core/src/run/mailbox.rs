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

use crate::error::Error;
use crate::model::NodeId;
use crate::plan::Status;
use crate::run::event_loop::subtask_waits::SubtaskRequest;
use crate::run::remote::subtask_report::SubtaskReport;

/// Something that happened, apart from the end of an attempt.
#[derive(Debug)]
pub(crate) enum Message {
    /// The body has ended well, and its output is on its way to the store.
    BodyFinished(NodeId),
    /// Nobody else has the task: its body begins its attempt of that number.
    AttemptStarted(NodeId, u32),
    Progress(NodeId, ProgressNow),
    /// The body asks for a task.
    SubtaskRequested(SubtaskRequest),
    /// The body does not wait any more for what it asked for.
    SubtaskCancelled {
        by: NodeId,
        ask: u64,
    },
    /// The body has taken what it was given, and waits for more.
    BodyBlocked(NodeId),
    StatusKnown(Surveyed),
    /// The worker that made the task tells what its body asked for.
    RemoteSubtasks(NodeId, SubtaskReport),
    ClaimsPolled(ClaimPoll),
    /// The pause before the next attempt, with its number, is over.
    BackoffElapsed(NodeId, u32),
    /// A step of the run itself panicked, as the code that names a requirement may.
    Panicked(Box<dyn Any + Send>),
}

/// How far a body says it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ProgressNow {
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) message: Option<String>,
}

/// What is known about a task that was asked for, and about all that it needs.
#[derive(Debug)]
pub(crate) struct Surveyed {
    pub(crate) target: NodeId,
    pub(crate) asker: NodeId,
    pub(crate) needs: Result<Vec<(NodeId, Status)>, Error>,
}

/// What became of tasks that other processes have.
pub(crate) type ClaimPoll = Result<Vec<(NodeId, ForeignStatus)>, Error>;

/// What became of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignStatus {
    Made,
    /// It is to be tried again.
    Free,
    Held,
}

/// What has happened and was not taken in yet.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    steps: Mutex<VecDeque<Message>>,
    bell: Notify,
}

impl Mailbox {
    pub(crate) fn send(&self, step: Message) {
        self.lock().push_back(step);
        self.wake();
    }

    pub(crate) fn next(&self) -> Option<Message> {
        self.lock().pop_front()
    }

    /// Has the loop of the run look at what there is to do.
    pub(crate) fn wake(&self) {
        self.bell.notify_one();
    }

    pub(crate) async fn notified(&self) {
        self.bell.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Surveys, looks at other processes, and pauses between attempts. Dropping it stops them all.
#[derive(Debug)]
pub(crate) struct BackgroundTasks {
    mailbox: Arc<Mailbox>,
    surveys: JoinSet<()>,
    looks: JoinSet<()>,
    rests: JoinSet<()>,
    is_looking: bool,
}

impl BackgroundTasks {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        BackgroundTasks {
            mailbox,
            surveys: JoinSet::new(),
            looks: JoinSet::new(),
            rests: JoinSet::new(),
            is_looking: false,
        }
    }

    pub(crate) fn survey(&mut self, survey: impl Future<Output = Surveyed> + Send + 'static) {
        begin(
            &mut self.surveys,
            &self.mailbox,
            survey.map(Message::StatusKnown),
        );
    }

    /// Looks after a while at what other processes have, unless a look is under way.
    pub(crate) fn look(&mut self, look: impl Future<Output = ClaimPoll> + Send + 'static) {
        if !std::mem::replace(&mut self.is_looking, true) {
            begin(
                &mut self.looks,
                &self.mailbox,
                look.map(Message::ClaimsPolled),
            );
        }
    }

    pub(crate) fn is_looking(&self) -> bool {
        self.is_looking
    }

    pub(crate) fn looked(&mut self) {
        self.is_looking = false;
    }

    /// Nobody is interested any more in what other processes have.
    pub(crate) fn stop_looks(&mut self) {
        self.is_looking = false;
        self.looks.abort_all();
    }

    pub(crate) fn rest(&mut self, node: NodeId, pause: Duration, next: u32) {
        let rest = tokio::time::sleep(pause).map(move |()| Message::BackoffElapsed(node, next));
        begin(&mut self.rests, &self.mailbox, rest);
    }

    /// Nothing that rests goes on.
    pub(crate) fn stop_rests(&mut self) {
        self.rests.abort_all();
    }
}

fn begin(
    set: &mut JoinSet<()>,
    mailbox: &Arc<Mailbox>,
    work: impl Future<Output = Message> + Send + 'static,
) {
    while set.try_join_next().is_some() {}
    let mailbox = Arc::clone(mailbox);
    set.spawn(async move {
        let step = AssertUnwindSafe(work).catch_unwind().await;
        mailbox.send(step.unwrap_or_else(Message::Panicked));
    });
}
