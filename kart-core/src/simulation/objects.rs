//! What lies in the store, and all that was ever written to it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, PutMode, Result};

/// The whole store. Times are virtual, since the history began.
#[derive(Debug, Default)]
pub(super) struct Objects {
    by_path: BTreeMap<String, Object>,
    /// The writes that took effect, in their order.
    pub(super) writes: Vec<Write>,
    tags: u64,
    /// The time of the request that takes effect.
    pub(super) now: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    tag: u64,
    /// Until when listings do not show it.
    hidden: Duration,
}

/// A write that took effect.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) path: String,
    pub(super) sent: Sent,
    /// When it took effect.
    pub(super) at: Duration,
    /// Whether something lay there.
    pub(super) replaced: bool,
    /// What was written; nothing for a deletion.
    pub(super) bytes: Option<Bytes>,
}

/// Who sent a request, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// The life that it was sent in.
    pub(super) by: usize,
    pub(super) at: Duration,
}

impl Objects {
    pub(super) fn get(&self, path: &str) -> Option<&Object> {
        self.by_path.get(path)
    }

    pub(super) fn put(
        &mut self,
        path: &str,
        bytes: Bytes,
        mode: &PutMode,
        write: (Sent, Duration, Duration),
    ) -> Result<u64> {
        let (sent, at, hidden) = write;
        let there = self.by_path.get(path);
        match mode {
            PutMode::Create if there.is_some() => {
                return Err(Error::AlreadyExists {
                    path: path.to_owned(),
                    source: "the object is there".into(),
                });
            }
            PutMode::Update(version)
                if there.map(|there| there.tag.to_string()) != version.e_tag =>
            {
                return Err(Error::Precondition {
                    path: path.to_owned(),
                    source: "another version is there".into(),
                });
            }
            _ => {}
        }
        self.tags += 1;
        let object = Object {
            bytes: bytes.clone(),
            tag: self.tags,
            // What was shown before is shown, in whatever version.
            hidden: there.map_or(hidden, |there| there.hidden),
        };
        self.writes.push(Write {
            path: path.to_owned(),
            sent,
            at,
            replaced: there.is_some(),
            bytes: Some(bytes),
        });
        self.by_path.insert(path.to_owned(), object);
        Ok(self.tags)
    }

    pub(super) fn delete(&mut self, path: &str, sent: Sent, at: Duration) {
        if self.by_path.remove(path).is_some() {
            self.writes.push(Write {
                path: path.to_owned(),
                sent,
                at,
                replaced: true,
                bytes: None,
            });
        }
    }

    /// What a listing shows below a prefix.
    pub(super) fn list(&self, prefix: &str, now: Duration) -> Vec<ObjectMeta> {
        let from = match prefix {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let below = self.by_path.range(from.clone()..);
        below
            .take_while(|(path, _)| path.starts_with(&from))
            .filter(|(_, object)| object.hidden <= now)
            .map(|(path, object)| object.meta(path))
            .collect()
    }

    /// Listings show everything from now on.
    pub(super) fn unhide(&mut self) {
        for object in self.by_path.values_mut() {
            object.hidden = Duration::ZERO;
        }
    }

    /// The paths below a prefix as they are, and not as a listing shows them.
    pub(super) fn below(&self, prefix: &str) -> Vec<&str> {
        let below = self.by_path.range(prefix.to_owned()..);
        below
            .map(|(path, _)| path.as_str())
            .take_while(|path| path.starts_with(prefix))
            .collect()
    }

    /// Since when an object has been there, before a moment.
    pub(super) fn written_before(&self, path: &str, moment: Duration) -> Option<&Write> {
        let before = self.writes.iter().rev();
        before
            .filter(|write| write.path == path)
            .find(|write| write.at < moment)
            .filter(|write| write.bytes.is_some())
    }
}

impl Object {
    pub(super) fn meta(&self, path: &str) -> ObjectMeta {
        ObjectMeta {
            location: Path::parse(path).expect("it was a path when it was written"),
            last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
            size: self.bytes.len() as u64,
            e_tag: Some(self.tag.to_string()),
            version: None,
        }
    }
}
