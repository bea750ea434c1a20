//! Outputs and their provenance: one function publishes with it, and one finds it. Nobody else knows whether it is metadata
//! of the object or a sidecar.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;

use super::backend::{Access, Backend as _, Content, Found, Mode, Object, Place, Write, Written};
use super::provenance::{Provenance, ProvenanceError};
use super::recorded::RecordedOutputs;
use super::{CommitGuard, Workspace, layout};
use crate::error::StoreError;
use crate::key::Key;

/// What a sidecar holds while its output is being written.
const PENDING: &str = "pending";

/// Whether a place keeps metadata with its objects, as far as is known.
#[derive(Debug, Default)]
pub(super) struct KeepsMetadata(AtomicU8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    Unknown,
    Yes,
    No,
}

impl KeepsMetadata {
    fn get(&self) -> Keeps {
        match self.0.load(Ordering::Relaxed) {
            1 => Keeps::Yes,
            2 => Keeps::No,
            _ => Keeps::Unknown,
        }
    }

    fn set(&self, keeps: Keeps) {
        self.0.store(keeps as u8, Ordering::Relaxed);
    }
}

/// What lies at the path of a task's output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputState {
    /// Nothing.
    Missing,
    /// What was recorded of it names this task and has its size.
    Complete {
        /// How many bytes it has.
        bytes: u64,
        /// What was recorded.
        provenance: Provenance,
    },
    /// Nothing is recorded of it. Where the path holds the key it counts as the task's output all the same; elsewhere
    /// somebody else has put it there.
    Unrecorded {
        /// How many bytes it has.
        bytes: u64,
    },
    /// A run was cut off while it wrote the output.
    Unfinished,
    /// A task with another key has made it.
    OtherKey {
        /// How many bytes it has.
        bytes: u64,
        /// What was recorded.
        provenance: Provenance,
    },
    /// It has fewer bytes than were written, as after a power cut.
    Torn {
        /// How many bytes it has.
        bytes: u64,
        /// What was recorded.
        provenance: Provenance,
    },
    /// It is not what was written: somebody has changed it.
    Changed {
        /// How many bytes it has.
        bytes: u64,
        /// What was recorded.
        provenance: Provenance,
    },
}

impl OutputState {
    /// Returns what lies there, by what is recorded of it.
    fn of(key: Option<Key>, bytes: u64, record: Record) -> Self {
        match record {
            Record::None => OutputState::Unrecorded { bytes },
            Record::Pending => OutputState::Unfinished,
            Record::Whole(provenance) => {
                if key.is_some_and(|key| key != provenance.key) {
                    OutputState::OtherKey { bytes, provenance }
                } else if bytes < provenance.bytes && provenance.run.is_some() {
                    OutputState::Torn { bytes, provenance }
                } else if bytes != provenance.bytes {
                    OutputState::Changed { bytes, provenance }
                } else {
                    OutputState::Complete { bytes, provenance }
                }
            }
        }
    }

    /// Returns whether the task need not run. Whoever reads what somebody has changed gets an error, and nothing is made
    /// in its place.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(
            self,
            OutputState::Complete { .. }
                | OutputState::Unrecorded { .. }
                | OutputState::Changed { .. }
        )
    }

    /// Returns what was recorded of what lies there.
    #[must_use]
    pub fn provenance(&self) -> Option<&Provenance> {
        match self {
            OutputState::Missing | OutputState::Unrecorded { .. } | OutputState::Unfinished => None,
            OutputState::Complete { provenance, .. }
            | OutputState::OtherKey { provenance, .. }
            | OutputState::Torn { provenance, .. }
            | OutputState::Changed { provenance, .. } => Some(provenance),
        }
    }
}

/// What it is, such as `torn: 3 of 12 bytes`.
impl fmt::Display for OutputState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputState::Missing => f.write_str("not there"),
            OutputState::Complete { bytes, .. } => write!(f, "{bytes} bytes"),
            OutputState::Unrecorded { bytes } => {
                write!(f, "{bytes} bytes, of which nothing is recorded")
            }
            OutputState::Unfinished => {
                f.write_str("unfinished: a run was cut off while it wrote it")
            }
            OutputState::OtherKey { provenance, .. } => {
                write!(
                    f,
                    "the output of another task, {} [{}]",
                    provenance.task, provenance.key
                )
            }
            OutputState::Torn { bytes, provenance } => {
                write!(f, "torn: {bytes} of {} bytes", provenance.bytes)
            }
            OutputState::Changed { bytes, provenance } if *bytes != provenance.bytes => {
                write!(
                    f,
                    "changed: {bytes} bytes, and {} were written",
                    provenance.bytes
                )
            }
            OutputState::Changed { .. } => f.write_str("changed: other bytes than were written"),
        }
    }
}

/// What is recorded of an output.
enum Record {
    None,
    /// A run began to write it.
    Pending,
    Whole(Provenance),
}

/// Where the output of a task is, and whose it has to be.
#[derive(Clone, Debug)]
pub(crate) struct OutputAddress {
    pub(crate) path: Arc<str>,
    /// None where anybody may put it there.
    pub(crate) key: Option<Key>,
    /// Whether the path holds the key, so that what lies there is of this task even if nothing is recorded of it.
    pub(crate) is_keyed: bool,
}

/// An output to be published.
pub(crate) struct Publication<'a> {
    pub(crate) path: &'a str,
    pub(crate) content: Content<'a>,
    pub(crate) mode: Mode,
    /// Whether the path holds the key, so that what lies there can be of no other task.
    pub(crate) is_keyed: bool,
    pub(crate) provenance: &'a Provenance,
}

impl Workspace {
    /// Publishes an output with its provenance; returns `false` when an output was there and the mode does not replace it.
    ///
    /// # Errors
    ///
    /// The store could not take it, or the guard is closed.
    pub(crate) async fn publish(
        &self,
        output: Publication<'_>,
        guard: &CommitGuard,
    ) -> Result<bool, StoreError> {
        self.check("write", output.path)?;
        let text = output.provenance.to_string();
        let write = |metadata| Write {
            path: output.path,
            content: output.content.clone(),
            mode: output.mode,
            metadata,
            access: Access::ReadOnly,
            guard,
        };
        let keeps = &self.inner.keeps_metadata;
        if keeps.get() != Keeps::No {
            let mut written = self.backend().write(write(Some(&text))).await?;
            if written == Written::Done && keeps.get() == Keeps::Unknown {
                written = self.verify_metadata(output.path, &text).await?;
            }
            match written {
                Written::Done => return Ok(true),
                Written::Exists => return Ok(false),
                Written::Bare => {
                    self.put_sidecar(output.path, text, guard).await?;
                    return Ok(true);
                }
                Written::Unsupported => keeps.set(Keeps::No),
            }
        }
        if !output.is_keyed {
            // A crash in between never leaves what looks like a complete output.
            let pending = PENDING.to_owned();
            self.put_sidecar(output.path, pending, guard).await?;
        }
        if self.backend().write(write(None)).await? == Written::Exists {
            return Ok(false);
        }
        self.put_sidecar(output.path, text, guard).await?;
        Ok(true)
    }

    /// Looks, once, whether metadata came through.
    async fn verify_metadata(&self, path: &str, text: &str) -> Result<Written, StoreError> {
        let keeps = &self.inner.keeps_metadata;
        if self.inner.place != Place::Bucket {
            keeps.set(Keeps::Yes);
            return Ok(Written::Done);
        }
        match self.backend().look_up(path).await? {
            Some(Found { metadata: None, .. }) => {
                keeps.set(Keeps::No);
                Ok(Written::Bare)
            }
            Some(found) if found.metadata.as_deref() == Some(text) => {
                keeps.set(Keeps::Yes);
                Ok(Written::Done)
            }
            // Somebody has replaced or deleted it meanwhile.
            _ => Ok(Written::Done),
        }
    }

    async fn put_sidecar(
        &self,
        path: &str,
        text: String,
        guard: &CommitGuard,
    ) -> Result<(), StoreError> {
        let sidecar = layout::sidecar(path);
        self.replace_guarded(&sidecar, Bytes::from(text), guard)
            .await
    }

    /// Records whose an output is that is there already.
    ///
    /// # Errors
    ///
    /// The store could not take it.
    pub(crate) async fn record_elsewhere(
        &self,
        path: &str,
        provenance: &Provenance,
    ) -> Result<(), StoreError> {
        let guard = CommitGuard::open();
        self.put_sidecar(path, provenance.to_string(), &guard).await
    }

    /// Finds what lies at these addresses, in their order.
    ///
    /// # Errors
    ///
    /// The store could not answer for one of them, or a later release wrote what is recorded of it.
    pub(crate) async fn output_states(
        &self,
        addresses: &[OutputAddress],
    ) -> Result<Vec<OutputState>, StoreError> {
        for address in addresses {
            self.check("look up", &address.path)?;
        }
        let paths = addresses.iter().map(|address| address.path.to_string());
        let found = self.backend().look_up_many(paths.collect()).await;
        let found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
        let has_metadata = |found: &Found| found.metadata.is_some();
        let sidecars = self.sidecars(
            addresses,
            found.iter().map(|it| it.as_ref().map(has_metadata)),
        );
        let sidecars = sidecars.await;
        let mut states = Vec::with_capacity(found.len());
        for ((address, found), sidecar) in addresses.iter().zip(found).zip(sidecars) {
            states.push(match found {
                Some(Found { bytes, metadata }) => {
                    self.state(address, bytes, metadata, sidecar).await?
                }
                None => OutputState::Missing,
            });
        }
        Ok(states)
    }

    /// Reads outputs, in the order of their addresses; of those that are there, the bytes. Each has an error of its own,
    /// those of [`output_states`](Self::output_states).
    pub(crate) async fn read_outputs(
        &self,
        addresses: &[OutputAddress],
    ) -> Vec<Result<(Bytes, OutputState), StoreError>> {
        let paths = addresses.iter().map(|address| address.path.to_string());
        let objects = self.read_objects(paths.collect()).await;
        let has_metadata = |object: &Object| object.metadata.is_some();
        let found = objects.iter().map(|object| match object {
            Ok(object) => object.as_ref().map(has_metadata),
            Err(_) => None,
        });
        let sidecars = self.sidecars(addresses, found).await;
        let mut outputs = Vec::with_capacity(objects.len());
        for ((address, object), sidecar) in addresses.iter().zip(objects).zip(sidecars) {
            outputs.push(match object {
                Ok(Some(Object { bytes, metadata })) => {
                    let size = bytes.len() as u64;
                    let state = self.state(address, size, metadata, sidecar).await;
                    state.map(|state| (bytes, state))
                }
                Ok(None) => Ok((Bytes::new(), OutputState::Missing)),
                Err(error) => Err(error),
            });
        }
        outputs
    }

    /// Reads the sidecars of the outputs that are there without metadata.
    async fn sidecars(
        &self,
        addresses: &[OutputAddress],
        has_metadata: impl Iterator<Item = Option<bool>>,
    ) -> Vec<Result<Option<Bytes>, StoreError>> {
        let mut sidecars: Vec<_> = addresses.iter().map(|_| Ok(None)).collect();
        let outputs = addresses.iter().zip(has_metadata).enumerate();
        let (bare, paths): (Vec<usize>, Vec<String>) = outputs
            .filter(|(_, (address, found))| address.key.is_some() && *found == Some(false))
            .map(|(at, (address, _))| (at, layout::sidecar(&address.path)))
            .unzip();
        if !bare.is_empty() {
            for (at, sidecar) in bare.into_iter().zip(self.read_many(paths).await) {
                sidecars[at] = sidecar;
            }
        }
        sidecars
    }

    async fn state(
        &self,
        address: &OutputAddress,
        bytes: u64,
        metadata: Option<String>,
        sidecar: Result<Option<Bytes>, StoreError>,
    ) -> Result<OutputState, StoreError> {
        let record = match (metadata, sidecar?) {
            _ if address.key.is_none() => Record::None,
            (Some(text), _) => self.parse(&address.path, &text)?,
            (None, Some(text)) => self.parse(&address.path, &String::from_utf8_lossy(&text))?,
            (None, None) if address.is_keyed => Record::None,
            (None, None) => self.logged(&address.path, bytes).await?,
        };
        Ok(OutputState::of(address.key, bytes, record))
    }

    fn parse(&self, path: &str, text: &str) -> Result<Record, StoreError> {
        if text == PENDING {
            return Ok(Record::Pending);
        }
        match Provenance::parse(text) {
            Ok(provenance) => Ok(Record::Whole(provenance)),
            // A power cut tears a record as it tears an output.
            Err(ProvenanceError::Field(_)) => Ok(Record::Pending),
            Err(error @ ProvenanceError::Form(_)) => Err(StoreError {
                operation: "read the provenance of",
                location: self.display_url(path),
                hint: Some(
                    "use the release of kart that wrote it, or delete the output".to_owned(),
                ),
                transient: false,
                source: Box::new(error),
            }),
        }
    }

    /// Returns what the run log knows of an output of that many bytes.
    async fn logged(&self, path: &str, bytes: u64) -> Result<Record, StoreError> {
        let recorded = &self.inner.recorded;
        let recorded = recorded.get_or_try_init(|| RecordedOutputs::load(self));
        let found = recorded.await?.find(path, bytes);
        Ok(found.map_or(Record::None, |made| Record::Whole(made.clone())))
    }

    /// Deletes an output, and then what belongs to it; returns whether there was one.
    ///
    /// # Errors
    ///
    /// The store could not do it.
    pub(crate) async fn delete_output(&self, path: &str) -> Result<bool, StoreError> {
        let was_there = self.exists(path).await?;
        self.delete(path).await?;
        self.delete(&layout::sidecar(path)).await?;
        Ok(was_there)
    }
}
