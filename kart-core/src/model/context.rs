//! What a body can ask about its own attempt.

use std::sync::Arc;

use crate::key::Key;

/// This attempt of this task: take it as `#[context] cx: &Context`.
#[derive(Clone, Debug)]
pub struct Context {
    task: &'static str,
    key: Key,
    path: Arc<str>,
    attempt: u32,
}

impl Context {
    pub(crate) fn new(task: &'static str, key: Key, path: Arc<str>, attempt: u32) -> Self {
        Context {
            task,
            key,
            path,
            attempt,
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
}
