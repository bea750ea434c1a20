//! How far bodies are that other processes run: told by way of the workspace, which is all that they surely share.
//!
//! A worker whose bodies tell anything writes one object, every two seconds if there is news, and deletes it when none
//! of them runs any more; a run that somebody watches lists and reads those objects as often. Bodies that end sooner,
//! and runs that nobody watches, cost nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::key::Key;
use crate::log::RunId;
use crate::plan::Graph;
use crate::report::Event;
use crate::run::mailbox::Mailbox;
use crate::run::message::{Message, ProgressNow};
use crate::workspace::Workspace;

const DIRECTORY: &str = "_kart/progress";
const EVERY: Duration = Duration::from_secs(2);
/// What has told nothing for so long was left by a worker that is gone, or will be written again.
const STALE: Duration = Duration::from_mins(10);

/// What the bodies of one worker tell.
#[derive(Debug)]
pub(crate) struct ProgressPublisher {
    workspace: Workspace,
    path: String,
    telling: Mutex<Telling>,
}

#[derive(Debug, Default)]
struct Telling {
    now: HashMap<Key, ProgressNow>,
    is_new: bool,
    /// Whether somebody sees to it that it is written.
    is_published: bool,
}

impl ProgressPublisher {
    pub(crate) fn new(workspace: &Workspace) -> Self {
        ProgressPublisher {
            workspace: workspace.clone(),
            path: format!("{DIRECTORY}/{}", RunId::now()),
            telling: Mutex::default(),
        }
    }

    /// Notes what the body of one of those tasks tells.
    pub(crate) fn take(self: &Arc<Self>, event: &Event<'_>, keys: &[Key]) {
        let Event::Progress {
            task,
            done,
            total,
            message,
        } = event
        else {
            return;
        };
        if !keys.contains(&task.key()) {
            return;
        }
        let now = ProgressNow {
            done: *done,
            total: *total,
            message: message.map(str::to_owned),
        };
        let mut telling = self.lock();
        telling.now.insert(task.key(), now);
        telling.is_new = true;
        if !std::mem::replace(&mut telling.is_published, true) {
            let teller = Arc::clone(self);
            tokio::spawn(async move { teller.publish_loop().await });
        }
    }

    /// Forgets, when it is dropped, what the bodies of these tasks have told.
    pub(crate) fn until_end(&self, keys: Arc<[Key]>) -> impl Drop {
        Forget(self, keys)
    }

    /// Writes what is new, until nothing runs that has told anything.
    async fn publish_loop(&self) {
        let mut is_there = false;
        loop {
            sleep(EVERY).await;
            let text = {
                let mut telling = self.lock();
                if !std::mem::take(&mut telling.is_new) {
                    continue;
                }
                telling.is_published = !telling.now.is_empty();
                telling
                    .is_published
                    .then(|| serde_json::to_vec(&telling.now))
            };
            // It is news and no more: what cannot be written is written the next time, or never.
            match text {
                Some(Ok(text)) => {
                    let written = self.workspace.replace(&self.path, Bytes::from(text)).await;
                    is_there |= written.is_ok();
                }
                Some(Err(_)) => {}
                None => {
                    if is_there {
                        let _ = self.workspace.delete(&self.path).await;
                    }
                    return;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Telling> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Forget<'a>(&'a ProgressPublisher, Arc<[Key]>);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        let mut telling = self.0.lock();
        for key in self.1.iter() {
            if telling.now.remove(key).is_some() {
                telling.is_new = true;
            }
        }
    }
}

/// Tells a run what the workers tell, for as long as it is polled.
pub(crate) async fn poll(workspace: Workspace, graph: Arc<Graph>, mailbox: Arc<Mailbox>) {
    let mut heard: HashMap<String, (Bytes, Instant)> = HashMap::new();
    loop {
        sleep(EVERY).await;
        let Ok(paths) = workspace.list(DIRECTORY).await else {
            continue;
        };
        heard.retain(|path, _| paths.contains(path));
        let read = workspace.read_many(paths.clone()).await;
        for (path, read) in paths.into_iter().zip(read) {
            let Ok(Some(text)) = read else { continue };
            match heard.get(&path) {
                Some((before, since)) if *before == text => {
                    if since.elapsed() > STALE {
                        let _ = workspace.delete(&path).await;
                    }
                }
                _ => {
                    tell(&text, &graph, &mailbox);
                    heard.insert(path, (text, Instant::now()));
                }
            }
        }
    }
}

fn tell(text: &[u8], graph: &Graph, mailbox: &Mailbox) {
    // Of another release it may be anything.
    let now: HashMap<Key, ProgressNow> = serde_json::from_slice(text).unwrap_or_default();
    for (key, now) in now {
        if let Some(node) = graph.find(key) {
            mailbox.send(Message::Progress(node, now));
        }
    }
}
