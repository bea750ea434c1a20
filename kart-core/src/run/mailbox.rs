//! The mailbox: messages that the event loop of a run has not handled yet.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::message::Message;

/// A queue with any number of senders and one event loop. A closed mailbox drops what is sent to it, and with it the
/// reply channels that bodies wait on.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    queue: Mutex<Queue>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    is_closed: bool,
}

impl Mailbox {
    pub(crate) fn send(&self, message: Message) {
        let mut queue = self.lock();
        if queue.is_closed {
            // Drop it without the lock: what it holds may send again.
            drop(queue);
            drop(message);
            return;
        }
        queue.messages.push_back(message);
        drop(queue);
        self.wake();
    }

    pub(crate) fn next(&self) -> Option<Message> {
        self.lock().messages.pop_front()
    }

    /// Drops all messages, now and in future.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.is_closed = true;
        let messages = std::mem::take(&mut queue.messages);
        drop(queue);
        drop(messages);
    }

    /// Wakes the event loop.
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    pub(crate) async fn notified(&self) {
        self.notify.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
