//! The envelope of what bodies save: one line of ASCII, then what was saved.
//!
//! The line is `v=1 blake3=… code=… path=…`: the hash of the rest, the fingerprint of the code that saved it, and the path of
//! the output that it is for. A power cut may leave an object empty or cut off; the hash shows it.

use std::collections::HashSet;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::try_join_all;
use percent_encoding::utf8_percent_encode;

use super::provenance::{ENCODED, Fields};
use super::{Making, Workspace, layout};
use crate::error::StoreError;
use crate::key::Key;

/// The form that this release writes.
const FORM: &str = "1";

/// A saved object that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedObject {
    /// What was saved.
    pub(crate) body: Bytes,
    /// The fingerprint of the code that saved it.
    pub(crate) code: String,
    /// The path of the output that it is for.
    pub(crate) path: String,
}

/// A later release has written the object, in a form of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has the form `{0}`, which a later release of kart writes")]
pub(crate) struct LaterForm(String);

impl SavedObject {
    pub(crate) fn seal(body: &[u8], code: &str, path: &str) -> Bytes {
        let hash = blake3::hash(body).to_hex();
        let code = utf8_percent_encode(code, ENCODED);
        let path = utf8_percent_encode(path, ENCODED);
        let mut object = format!("v={FORM} blake3={hash} code={code} path={path}\n").into_bytes();
        object.extend_from_slice(body);
        object.into()
    }

    /// Returns the path of the output that an object is for, which may be cut off after its header.
    pub(crate) fn path_of(object: &[u8]) -> Option<String> {
        let end = object.iter().position(|byte| *byte == b'\n')?;
        let fields = Fields::of(std::str::from_utf8(&object[..end]).ok()?);
        fields
            .text("path")
            .filter(|_| fields.get("v") == Some(FORM))
    }

    /// Returns `None` for an object that is torn, or has no envelope.
    pub(crate) fn open(object: &Bytes) -> Result<Option<Self>, LaterForm> {
        let Some(end) = object.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let Ok(header) = std::str::from_utf8(&object[..end]) else {
            return Ok(None);
        };
        let fields = Fields::of(header);
        match fields.get("v") {
            Some(FORM) => {}
            Some(form) if header.starts_with("v=") => return Err(LaterForm(form.to_owned())),
            _ => return Ok(None),
        }
        let body = object.slice(end + 1..);
        let hash = fields.parse::<blake3::Hash>("blake3").ok().flatten();
        if hash != Some(blake3::hash(&body)) {
            return Ok(None);
        }
        Ok(fields
            .text("code")
            .zip(fields.text("path"))
            .map(|(code, path)| SavedObject { body, code, path }))
    }
}

/// One object that a body has saved for its own resumption.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedState {
    /// The key of the task.
    pub key: Key,
    /// The making that it belongs to; `None` for what an earlier release has saved, which nobody resumes.
    pub making: Option<Making>,
    /// What it is called below that: `download.step`, `epoch.state`, and for a loop `map.map/` with the name of a chunk.
    pub name: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// When it was written, by the clock of the store.
    pub modified: SystemTime,
}

impl Workspace {
    /// Returns what the tasks of these keys have saved for their own resumption, in the order of the paths. Costs one
    /// listing.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub async fn saved_state(&self, keys: &[Key]) -> Result<Vec<SavedState>, StoreError> {
        let directory = match keys {
            [key] => layout::steps(*key),
            _ => layout::STEPS.to_owned(),
        };
        let keys: HashSet<Key> = keys.iter().copied().collect();
        let objects = self.objects(&directory).await?.into_iter();
        let saved = objects.filter_map(|object| {
            let key = layout::steps_at(&object.path).filter(|key| keys.contains(key))?;
            let making = layout::making_at(&object.path);
            let depth = if making.is_some() { 4 } else { 3 };
            let name = object.path.splitn(depth + 1, '/').nth(depth)?.to_owned();
            Some(SavedState {
                key,
                making,
                name,
                bytes: object.bytes,
                modified: object.modified,
            })
        });
        Ok(saved.collect())
    }

    /// Deletes all that the task of a key has saved for its own resumption; returns how many objects there were.
    ///
    /// # Errors
    ///
    /// The store could not do it.
    pub async fn remove_saved_state(&self, key: Key) -> Result<usize, StoreError> {
        self.discard_saved(&layout::steps(key)).await
    }

    /// Deletes all saved state below a directory; returns how many objects there were.
    pub(crate) async fn discard_saved(&self, directory: &str) -> Result<usize, StoreError> {
        let saved = self.list(directory).await?;
        try_join_all(saved.iter().map(|path| self.delete(path))).await?;
        Ok(saved.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_again_and_what_is_cut_or_changed_is_absent() {
        let sealed = SavedObject::seal(b"[1,\n2]", "c0de", "a b/x.json");
        let opened = SavedObject::open(&sealed).unwrap().unwrap();
        assert_eq!(&*opened.body, b"[1,\n2]");
        assert_eq!((&*opened.code, &*opened.path), ("c0de", "a b/x.json"));
        for length in 0..sealed.len() {
            assert_eq!(
                SavedObject::open(&sealed.slice(..length)),
                Ok(None),
                "{length}"
            );
        }
        let mut zeroed = sealed.to_vec();
        *zeroed.last_mut().unwrap() = 0;
        assert_eq!(SavedObject::open(&zeroed.into()), Ok(None));
    }

    #[test]
    fn what_has_no_envelope_is_absent_and_a_later_form_is_named() {
        for bare in ["", "3", "{\"v\":1}\n", "\n", "\"v=7 \"\n"] {
            assert_eq!(SavedObject::open(&bare.into()), Ok(None), "{bare:?}");
        }
        let sealed = SavedObject::seal(b"1", "c", "p");
        let later = String::from_utf8(sealed.to_vec())
            .unwrap()
            .replacen("v=1", "v=2", 1);
        assert_eq!(
            SavedObject::open(&later.into()),
            Err(LaterForm("2".to_owned()))
        );
    }
}
