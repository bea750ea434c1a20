//! Remote progress: workers publish the progress of their bodies in the workspace, and runs poll it. Best effort.
//!
//! A worker whose bodies report progress writes one object, every two seconds if it has changed, and deletes it when none
//! of them runs any more. A run with an event handler lists and reads those objects as often. Bodies that end sooner, and
//! runs without a handler, cost nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::key::Key;
use crate::plan::Graph;
use crate::report::Event;
use crate::run::mailbox::Mailbox;
use crate::run::message::{Message, ProgressNow};
use crate::run_id::RunId;
use crate::workspace::{Workspace, layout};

const EVERY: Duration = Duration::from_secs(2);
/// The age of an unchanged object that a dead worker has left. A live one writes its object again.
const STALE: Duration = Duration::from_mins(10);

/// Publishes the progress of the bodies of one worker.
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
    /// Whether the publish loop runs.
    is_published: bool,
}

impl ProgressPublisher {
    pub(crate) fn new(workspace: &Workspace) -> Self {
        ProgressPublisher {
            workspace: workspace.clone(),
            path: layout::progress(RunId::now()),
            telling: Mutex::default(),
        }
    }

    /// Notes the progress of the body of one of those tasks.
    pub(crate) fn take(self: &Arc<Self>, event: &Event<'_>, keys: &[Key]) {
        let (Event::Progress { task, .. } | Event::StaleState { task }) = event else {
            return;
        };
        if !keys.contains(&task.key()) {
            return;
        }
        let mut telling = self.lock();
        let now = telling.now.entry(task.key()).or_default();
        match event {
            Event::Progress {
                done,
                total,
                message,
                ..
            } => {
                (now.done, now.total) = (*done, *total);
                now.message = message.map(str::to_owned);
            }
            _ => now.resumes_stale_state = true,
        }
        telling.is_new = true;
        if !std::mem::replace(&mut telling.is_published, true) {
            let teller = Arc::clone(self);
            tokio::spawn(async move { teller.publish_loop().await });
        }
    }

    /// Forgets the progress of these tasks when the result is dropped.
    pub(crate) fn until_end(&self, keys: Arc<[Key]>) -> impl Drop {
        Forget(self, keys)
    }

    /// Writes what is new, until no body with progress runs any more.
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
            // Best effort: a write that fails is repeated the next time, or never.
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

/// Polls the progress objects of all workers, and sends their news to a run.
pub(crate) async fn poll(workspace: Workspace, graph: Arc<Graph>, mailbox: Arc<Mailbox>) {
    let mut received: HashMap<String, (Bytes, Instant)> = HashMap::new();
    loop {
        sleep(EVERY).await;
        let Ok(paths) = workspace.list(layout::PROGRESS).await else {
            continue;
        };
        received.retain(|path, _| paths.contains(path));
        let read = workspace.read_many(paths.clone()).await;
        for (path, read) in paths.into_iter().zip(read) {
            let Ok(Some(text)) = read else { continue };
            match received.get(&path) {
                Some((before, since)) if *before == text => {
                    if since.elapsed() > STALE {
                        let _ = workspace.delete(&path).await;
                    }
                }
                _ => {
                    tell(&text, &graph, &mailbox);
                    received.insert(path, (text, Instant::now()));
                }
            }
        }
    }
}

fn tell(text: &[u8], graph: &Graph, mailbox: &Mailbox) {
    // Another release may write anything.
    let now: HashMap<Key, ProgressNow> = serde_json::from_slice(text).unwrap_or_default();
    for (key, now) in now {
        if let Some(node) = graph.find(key) {
            mailbox.send(Message::Progress(node, now));
        }
    }
}
