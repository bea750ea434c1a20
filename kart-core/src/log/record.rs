//! The lines of the log.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::key::Key;
use crate::model::{NodeId, StoredOutput};
use crate::report::Counts;
use crate::run_id::RunId;
use crate::workspace::Workspace;

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) run: RunId,
    /// Which line of its run it is, from 0.
    #[serde(rename = "line")]
    pub(super) number: u64,
    #[serde(flatten)]
    pub(super) record: Record,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Record {
    Start(StartRecord),
    Task(Box<TaskRecord>),
    End(EndRecord),
    /// Of a later release.
    #[serde(other)]
    Unknown,
}

/// What became of an attempt, in short: a record is made of it when it is written.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) node: NodeId,
    pub(crate) outcome: RecordedOutcome,
    pub(crate) attempt: u32,
    /// When the attempt ended.
    pub(crate) at: SystemTime,
    pub(crate) elapsed: Duration,
    pub(crate) error: Option<Box<str>>,
    /// The size and the hash of the output.
    pub(crate) output: Option<(u64, Option<blake3::Hash>)>,
    /// The key of the output whose place it has taken.
    pub(crate) replaced: Option<Key>,
    /// Who made the attempt, if not this process.
    pub(crate) worker: Option<Box<str>>,
    /// What the body asked for.
    pub(crate) asked: Vec<NodeId>,
}

/// The begin of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StartRecord {
    #[serde(with = "rfc3339")]
    pub(crate) at: SystemTime,
    /// The release of kart.
    pub(crate) kart: String,
    /// The root, with its parameters.
    pub(crate) root: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) tasks: usize,
    pub(crate) missing: usize,
}

/// The end of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EndRecord {
    #[serde(with = "rfc3339")]
    pub(crate) at: SystemTime,
    pub(crate) counts: Counts,
}

/// What became of one task in one run, as the log says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskRecord {
    /// The run; it stands on the line itself.
    #[serde(skip)]
    pub run: Option<RunId>,
    /// The task's stable name.
    pub task: String,
    /// The task's key.
    pub key: Key,
    /// Where the output goes, relative to the workspace.
    pub path: String,
    /// The parameters as JSON; those that are secret are `***`, those that are tasks are left out.
    pub params: serde_json::Value,
    /// The keys of what the task requires; of very many only the first.
    pub requires: Vec<Key>,
    /// How many tasks it requires.
    pub required: usize,
    /// The keys of the tasks that the body asked for, by [`Context::get`](crate::Context::get).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Key>,
    /// The task's version.
    pub version: u32,
    /// The fingerprint of its code; see [`TaskSpec::code`](crate::TaskSpec).
    pub code: String,
    /// When the attempt began, by the clock of its machine.
    #[serde(with = "rfc3339")]
    pub start: SystemTime,
    /// How long it took, without the time that the body waited for tasks that it asked for.
    #[serde(with = "seconds")]
    pub duration: Duration,
    /// Which attempt of the run it was, from 1.
    pub attempt: u32,
    /// What became of it.
    pub outcome: RecordedOutcome,
    /// What went wrong, with the whole chain of causes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many bytes the output has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The BLAKE3 hash of the stored bytes, as 64 hex digits; a [`File`](crate::File) of more than 1 GiB has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// The key of the task whose output was at the path before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Key>,
    /// The machine and the process, as `host/pid`.
    pub worker: String,
}

impl TaskRecord {
    /// Returns the output of the task in a workspace, whether it is there or not.
    #[must_use]
    pub fn stored(&self, workspace: &Workspace) -> StoredOutput {
        StoredOutput::at(workspace, &self.path, self.key)
    }
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordedOutcome {
    /// Its output was published.
    Ran,
    /// It failed, and was to be made again.
    Retrying,
    /// It failed for good.
    Failed,
    /// It could not run, because a task that it requires failed.
    Blocked,
    /// It was cut off.
    Interrupted,
    /// Something that a later release knows.
    #[serde(other)]
    Unknown,
}

/// Moments as RFC 3339 writes them, in UTC.
mod rfc3339 {
    use super::{Deserialize, Deserializer, Serializer, SystemTime};

    pub(super) fn serialize<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_rfc3339_millis(*at))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_rfc3339(&text).map_err(serde::de::Error::custom)
    }
}

/// Durations in seconds, to the microsecond.
mod seconds {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    #[expect(clippy::cast_precision_loss, reason = "285 years in microseconds fit")]
    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(duration.as_micros() as f64 / 1e6)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(from)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}
