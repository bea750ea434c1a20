//! What tasks have saved for their own resumption, as `show`, `rm` and `gc` tell of it.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use kart_core::{AnyTask, Key, SavedState};
use serde_json::{Value as Json, json};

use crate::out::{bytes, plural, time};
use crate::{End, Session};

/// One step, one state, or all chunks of one loop.
struct Entry {
    bytes: u64,
    modified: SystemTime,
}

/// All that a task has saved: by its making, as a path names it, and its name.
pub(super) struct Saved(BTreeMap<(Option<String>, String), Entry>);

impl Saved {
    pub(super) async fn of(session: &Session, key: Key) -> Result<Self, End> {
        let mut entries: BTreeMap<(Option<String>, String), Entry> = BTreeMap::new();
        for saved in session.workspace.saved_state(&[key]).await? {
            let name = saved.name.split('/').next().unwrap_or_default();
            let making = saved.making.map(|making| making.to_string());
            let at = (making, name.to_owned());
            let entry = entries.entry(at).or_insert(Entry {
                bytes: 0,
                modified: saved.modified,
            });
            entry.bytes += saved.bytes;
            entry.modified = entry.modified.max(saved.modified);
        }
        Ok(Saved(entries))
    }

    /// A line for each.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|((making, name), entry)| {
            let (size, at) = (bytes(entry.bytes), time(entry.modified));
            let of = match making.as_deref() {
                Some("first") => String::new(),
                Some("again") => ", for a replacement".to_owned(),
                Some(rerun) => format!(", for the rerun {rerun}"),
                None => ", by an earlier release".to_owned(),
            };
            format!("{name} ({size}, {at}{of})")
        })
    }

    pub(super) fn json(&self) -> Json {
        let entries = self.0.iter().map(|((making, name), entry)| {
            json!({
                "making": making,
                "name": name,
                "bytes": entry.bytes,
                "modified": time(entry.modified),
            })
        });
        entries.collect()
    }
}

/// What these tasks have saved.
pub(super) async fn of_tasks(session: &Session, tasks: &[AnyTask]) -> Result<Vec<SavedState>, End> {
    let keys = tasks.iter().map(AnyTask::try_key);
    let keys = keys.collect::<Result<Vec<Key>, _>>()?;
    Ok(session.workspace.saved_state(&keys).await?)
}

/// Deletes what is saved; returns how many objects there were.
pub(super) async fn remove(session: &Session, saved: &[SavedState]) -> Result<usize, End> {
    let keys: HashSet<Key> = saved.iter().map(|saved| saved.key).collect();
    let mut removed = 0;
    for key in keys {
        removed += session.workspace.remove_saved_state(key).await?;
    }
    Ok(removed)
}

/// Names what is saved with how much it is, for a question and its answer: `what 2 tasks have saved (3 objects, 1.2 kB)`.
pub(super) fn described(saved: &[SavedState]) -> String {
    let tasks: HashSet<Key> = saved.iter().map(|saved| saved.key).collect();
    let size = bytes(saved.iter().map(|saved| saved.bytes).sum());
    let of = match tasks.len() {
        1 => "1 task has".to_owned(),
        tasks => format!("{tasks} tasks have"),
    };
    let objects = saved.len();
    format!(
        "what {of} saved ({objects} object{}, {size})",
        plural(objects)
    )
}

/// The paths of saved state that nobody resumes any more.
pub(super) async fn finished(session: &Session) -> Result<HashSet<String>, End> {
    let finished = session.workspace.finished_saved_state().await?;
    Ok(finished.into_iter().map(|saved| saved.path).collect())
}
