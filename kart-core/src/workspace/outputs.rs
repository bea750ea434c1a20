//! Outputs and their provenance: one function publishes with it, and one finds it. Nobody else knows whether it is metadata
//! of the object or a sidecar.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;

use super::backend::{Backend as _, Content, Found, Mode, Object, Place, Write, Written};
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

/// An output that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredOutput {
    /// How many bytes it has.
    pub(crate) bytes: u64,
    pub(crate) origin: Origin,
}

/// Where an output comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Recorded(Provenance),
    /// A run was cut off while it wrote the output.
    Pending,
    /// Nothing is recorded.
    Unknown,
}

/// Whether an output is what the task of a key has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validity<'a> {
    /// It is, as far as is known.
    Valid(Option<&'a Provenance>),
    /// The task of another key has made it.
    OtherKey(&'a Provenance),
    /// A run was cut off while it wrote the output.
    Pending,
    /// It is shorter than what was written, as a power cut leaves it.
    Torn(&'a Provenance),
    /// It is longer than what was written: somebody has changed it.
    Changed(&'a Provenance),
}

impl Origin {
    /// The one question of all who read, show or delete an output of that many bytes.
    pub(crate) fn validity(&self, key: Key, bytes: u64) -> Validity<'_> {
        match self {
            Origin::Unknown => Validity::Valid(None),
            Origin::Pending => Validity::Pending,
            Origin::Recorded(made) if made.key != key => Validity::OtherKey(made),
            Origin::Recorded(made) if bytes < made.bytes => Validity::Torn(made),
            Origin::Recorded(made) if bytes > made.bytes => Validity::Changed(made),
            Origin::Recorded(made) => Validity::Valid(Some(made)),
        }
    }
}

/// Where the output of a task is, and whose it has to be.
#[derive(Clone, Debug)]
pub(crate) struct OutputAddress {
    pub(crate) path: Arc<str>,
    /// None where anybody may put it there.
    pub(crate) key: Option<Key>,
    /// Whether the path holds the key, so that what lies there is of this task even if nothing is recorded with it.
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

    /// Finds outputs, in the order of their addresses.
    ///
    /// # Errors
    ///
    /// The store could not answer for one of them, or a later release wrote what is recorded with it.
    pub(crate) async fn outputs(
        &self,
        addresses: &[OutputAddress],
    ) -> Result<Vec<Option<StoredOutput>>, StoreError> {
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
        let mut outputs = Vec::with_capacity(found.len());
        for ((address, found), sidecar) in addresses.iter().zip(found).zip(sidecars) {
            outputs.push(match found {
                Some(Found { bytes, metadata }) => {
                    let origin = self.origin(address, bytes, metadata, sidecar).await?;
                    Some(StoredOutput { bytes, origin })
                }
                None => None,
            });
        }
        Ok(outputs)
    }

    /// Reads outputs, in the order of their addresses. Each has an error of its own, those of [`outputs`](Self::outputs).
    pub(crate) async fn read_outputs(
        &self,
        addresses: &[OutputAddress],
    ) -> Vec<Result<Option<(Bytes, Origin)>, StoreError>> {
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
                    let origin = self.origin(address, size, metadata, sidecar).await;
                    origin.map(|origin| Some((bytes, origin)))
                }
                Ok(None) => Ok(None),
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

    async fn origin(
        &self,
        address: &OutputAddress,
        bytes: u64,
        metadata: Option<String>,
        sidecar: Result<Option<Bytes>, StoreError>,
    ) -> Result<Origin, StoreError> {
        let text = match (metadata, sidecar?) {
            (Some(text), _) => text,
            (None, Some(text)) => String::from_utf8_lossy(&text).into_owned(),
            (None, None) if address.is_keyed || address.key.is_none() => {
                return Ok(Origin::Unknown);
            }
            (None, None) => return self.recorded(&address.path, bytes).await,
        };
        if text == PENDING {
            return Ok(Origin::Pending);
        }
        match Provenance::parse(&text) {
            Ok(provenance) => Ok(Origin::Recorded(provenance)),
            // A power cut tears a record as it tears an output.
            Err(ProvenanceError::Field(_)) => Ok(Origin::Pending),
            Err(error @ ProvenanceError::Form(_)) => Err(StoreError {
                operation: "read the provenance of",
                location: self.display_url(&address.path),
                hint: Some(
                    "use the release of kart that wrote it, or delete the output".to_owned(),
                ),
                transient: false,
                source: Box::new(error),
            }),
        }
    }

    /// Asks the run log.
    async fn recorded(&self, path: &str, bytes: u64) -> Result<Origin, StoreError> {
        let recorded = &self.inner.recorded;
        let recorded = recorded.get_or_try_init(|| RecordedOutputs::load(self));
        let found = recorded.await?.find(path, bytes);
        Ok(found.map_or(Origin::Unknown, |made| Origin::Recorded(made.clone())))
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
