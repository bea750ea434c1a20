//! What a body can ask about its own attempt.

use std::sync::Arc;

use super::stop::Stop;
use crate::key::Key;

/// This attempt of this task: take it as `#[context] cx: &Context`.
#[derive(Clone, Debug)]
pub struct Context {
    task: &'static str,
    key: Key,
    path: Arc<str>,
    attempt: u32,
    stop: Stop,
}

impl Context {
    pub(crate) fn new(
        task: &'static str,
        key: Key,
        path: Arc<str>,
        attempt: u32,
        stop: Stop,
    ) -> Self {
        Context {
            task,
            key,
            path,
            attempt,
            stop,
        }
    }

    /// The task's stable name.
    pub fn task(&self) -> &'static str {
        self.task
    }

    /// The task's key.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Where the output will be, relative to the workspace.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Which attempt this is in this run, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether the run is stopping: nothing new starts, and what runs has the rest of the grace to
    /// save what it has and return `Err(kart::interrupted().into())`. A plain `fn` asks between the
    /// pieces of its work.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_stopping()
    }

    /// Waits until the run is stopping; see [`is_stopping`](Self::is_stopping).
    pub async fn stopped(&self) {
        self.stop.stopped().await;
    }
}
