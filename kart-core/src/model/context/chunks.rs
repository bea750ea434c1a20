//! The finished items of a loop, in chunk objects.
//!
//! A chunk is a text of lines, `{"item":"KEY","result":JSON}`, in an envelope. It is written whole and never changed, so
//! that a kill loses what was not written yet and nothing else; many small ones are merged into one, which
//! is written before they are deleted.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::step_store::StepStore;
use crate::error::{BoxError, Error};
use crate::format::{Format as _, Json};
use crate::key::Key;
use crate::workspace::layout;

/// More than that many chunks are merged into one.
const MOST_CHUNKS: usize = 32;
/// Chunks are merged into one of about that size at most.
const MERGED_BYTES: usize = 8 << 20;
/// Results that take more than that are written before their time.
const BUFFERED_BYTES: usize = 8 << 20;

/// What tells an item from the others of its loop: the hash of its content, and, for equal ones, which of
/// them it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ItemKey {
    pub(super) content: Key,
    pub(super) copy: u32,
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.copy {
            0 => write!(f, "{}", self.content),
            copy => write!(f, "{}+{copy}", self.content),
        }
    }
}

impl FromStr for ItemKey {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (content, copy) = text.split_once('+').unwrap_or((text, "0"));
        Ok(ItemKey {
            content: content.parse()?,
            copy: copy.parse()?,
        })
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    item: &'a str,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// The chunks of one loop.
#[derive(Debug)]
pub(super) struct Chunks<'a> {
    steps: &'a StepStore,
    directory: String,
    /// What is not written yet.
    buffer: Vec<u8>,
    has_any: bool,
}

/// Where finished items are: for each the number of its chunk.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) chunks: Vec<String>,
    pub(super) at: HashMap<ItemKey, usize>,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(steps: &'a StepStore, directory: String) -> Self {
        Chunks {
            steps,
            directory,
            buffer: Vec::new(),
            has_any: false,
        }
    }

    /// Where the items are that were finished before.
    pub(super) async fn index(&mut self) -> Result<Index, Error> {
        let mut at = HashMap::new();
        let chunks = self
            .restore(|chunks, number, path, bytes| {
                chunks.each_line(path, bytes, |item, _| {
                    at.insert(item, number);
                    Ok(())
                })
            })
            .await?;
        Ok(Index { chunks, at })
    }

    /// All results that were finished before.
    pub(super) async fn results<R: DeserializeOwned>(
        &mut self,
    ) -> Result<HashMap<ItemKey, R>, Error> {
        let mut results = HashMap::new();
        self.restore(|chunks, _, path, bytes| {
            chunks.each_line(path, bytes, |item, text| {
                results.insert(item, chunks.decode(path, text)?);
                Ok(())
            })
        })
        .await?;
        Ok(results)
    }

    /// What was finished before, merged where it has become many small objects. `each` is given every chunk
    /// once: its number and its bytes.
    async fn restore(
        &mut self,
        mut each: impl FnMut(&Self, usize, &str, &Bytes) -> Result<(), Error>,
    ) -> Result<Vec<String>, Error> {
        let mut paths = self.steps.workspace.list(&self.directory).await?;
        self.has_any = !paths.is_empty();
        if paths.len() > MOST_CHUNKS {
            paths = self.merge(paths).await?;
        }
        for (number, group) in paths.chunks(MOST_CHUNKS).enumerate() {
            let read = self.steps.workspace.read_many(group.to_vec()).await;
            for (at, bytes) in read.into_iter().enumerate() {
                let number = number * MOST_CHUNKS + at;
                let (path, bytes) = (&paths[number], bytes?.unwrap_or_default());
                if let Some(saved) = self.steps.open(path, &bytes)? {
                    each(self, number, path, &saved.body)?;
                }
            }
        }
        Ok(paths)
    }

    /// Writes many chunks as few, and then deletes them; what is in both meanwhile is the same. Torn ones hold nothing.
    async fn merge(&mut self, paths: Vec<String>) -> Result<Vec<String>, Error> {
        let mut kept = Vec::new();
        let mut merged: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut old = Vec::new();
        for path in paths {
            let Some(saved) = self.steps.read(&path).await? else {
                old.push(path);
                continue;
            };
            if saved.body.len() > MERGED_BYTES / 2 {
                kept.push(path);
                continue;
            }
            old.push(path);
            let lines = merged.entry(saved.code.clone()).or_default();
            lines.extend_from_slice(&saved.body);
            if lines.len() > MERGED_BYTES {
                let lines = std::mem::take(lines);
                kept.push(self.write(&lines, &saved.code).await?);
            }
        }
        for (code, lines) in merged {
            if !lines.is_empty() {
                kept.push(self.write(&lines, &code).await?);
            }
        }
        for path in old {
            self.steps.delete(&path).await?;
        }
        Ok(kept)
    }

    /// The items of a chunk with their results as they are written.
    fn each_line(
        &self,
        path: &str,
        bytes: &[u8],
        mut each: impl FnMut(ItemKey, &str) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for line in bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let line: Line<'_> = serde_json::from_slice(line)
                .map_err(|error| self.steps.undecodable(path, error.into()))?;
            let item = line.item.parse();
            let item = item.map_err(|error| self.steps.undecodable(path, error))?;
            each(item, line.result.get())?;
        }
        Ok(())
    }

    fn decode<R: DeserializeOwned>(&self, path: &str, text: &str) -> Result<R, Error> {
        serde_json::from_str(text).map_err(|error| self.steps.undecodable(path, error.into()))
    }

    /// The items of one chunk with their results.
    pub(super) async fn read<R: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<HashMap<ItemKey, R>, Error> {
        let mut results = HashMap::new();
        if let Some(saved) = self.steps.read(path).await? {
            self.each_line(path, &saved.body, |item, text| {
                results.insert(item, self.decode(path, text)?);
                Ok(())
            })?;
        }
        Ok(results)
    }

    /// Notes a finished item; `true` when it is time to write because there is so much.
    pub(super) fn note<R: Serialize + DeserializeOwned>(
        &mut self,
        item: &ItemKey,
        result: &R,
    ) -> Result<bool, Error> {
        let json = Json::encode(result).map_err(|source| Error::Saved {
            operation: "encode",
            location: self.steps.workspace.display_url(&self.directory),
            hint: "what a loop gives is written as JSON",
            source,
        })?;
        self.buffer.extend_from_slice(b"{\"item\":\"");
        self.buffer.extend_from_slice(item.to_string().as_bytes());
        self.buffer.extend_from_slice(b"\",\"result\":");
        self.buffer.extend_from_slice(&json);
        self.buffer.extend_from_slice(b"}\n");
        Ok(self.buffer.len() >= BUFFERED_BYTES)
    }

    /// Writes what is not written yet.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            self.write(&self.buffer, self.steps.code()).await?;
            self.buffer.clear();
            self.has_any = true;
        }
        Ok(())
    }

    /// Writes the rest at the end of the loop, unless the whole loop was too short to be worth it.
    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        if self.has_any {
            self.flush().await?;
        }
        Ok(())
    }

    async fn write(&self, lines: &[u8], code: &str) -> Result<String, Error> {
        // No two processes write the same chunk, and a chunk is never changed.
        let path = layout::chunk(&self.directory, fastrand::u128(..));
        self.steps.create_of(&path, lines, code).await?;
        Ok(path)
    }
}
