//! Background tasks of a run: lookups, polls of foreign tasks, pauses before retries.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::model::NodeId;
use crate::run::mailbox::Mailbox;
use crate::run::message::Message;

/// The background tasks of a run. Dropping it aborts them.
#[derive(Debug)]
pub(crate) struct BackgroundTasks {
    mailbox: Arc<Mailbox>,
    tasks: JoinSet<()>,
    /// The end of the run waits for these.
    writes: JoinSet<()>,
    poll: Option<AbortHandle>,
}

impl BackgroundTasks {
    pub(crate) fn new(mailbox: &Arc<Mailbox>) -> Self {
        BackgroundTasks {
            mailbox: Arc::clone(mailbox),
            tasks: JoinSet::new(),
            writes: JoinSet::new(),
            poll: None,
        }
    }

    /// Runs `work`, and sends the message that it returns.
    pub(crate) fn spawn(
        &mut self,
        work: impl Future<Output = Message> + Send + 'static,
    ) -> AbortHandle {
        while self.tasks.try_join_next().is_some() {}
        let mailbox = Arc::clone(&self.mailbox);
        self.tasks.spawn(async move {
            let message = AssertUnwindSafe(work).catch_unwind().await;
            mailbox.send(message.unwrap_or_else(Message::Panicked));
        })
    }

    /// Writes something for other processes, which the end of the run waits for.
    pub(crate) fn write(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        while self.writes.try_join_next().is_some() {}
        self.writes.spawn(work);
    }

    /// Sends `message` after a pause.
    pub(crate) fn after(&mut self, pause: Duration, message: Message) {
        self.spawn(async move {
            sleep(pause).await;
            message
        });
    }

    /// Makes the next attempt of `node` due after a pause.
    pub(crate) fn back_off(&mut self, node: NodeId, pause: Duration) {
        self.after(pause, Message::BackoffElapsed(node));
    }

    /// Polls foreign tasks, unless a poll is in progress.
    pub(crate) fn poll(&mut self, poll: impl Future<Output = Message> + Send + 'static) {
        if self.poll.is_none() {
            self.poll = Some(self.spawn(poll));
        }
    }

    pub(crate) fn is_polling(&self) -> bool {
        self.poll.is_some()
    }

    pub(crate) fn polled(&mut self) {
        self.poll = None;
    }

    /// Aborts the poll of foreign tasks.
    pub(crate) fn stop_polling(&mut self) {
        if let Some(poll) = self.poll.take() {
            poll.abort();
        }
    }

    /// Waits for the writes.
    pub(crate) async fn finish(mut self) {
        while self.writes.join_next().await.is_some() {}
    }
}
