//! Outputs and their provenance: one function publishes with it, and one finds it. Nobody else knows whether it is metadata
//! of the object or a sidecar.

use std::sync::Arc;

use bytes::Bytes;

use super::backend::{Access, Backend as _, Content, Found, Mode, Object, Place, Write, Written};
use super::keeps_metadata::Keeps;
use super::output_state::{OutputState, Record};
use super::provenance::{Provenance, ProvenanceError};
use super::recorded::RecordedOutputs;
use super::{CommitGuard, Workspace, layout};
use crate::error::StoreError;
use crate::key::Key;

/// What a sidecar holds while its output is being written.
const PENDING: &str = "pending";

/// Where the output of a task is, and whose it has to be.
#[derive(Clone, Debug)]
pub(crate) struct OutputAddress {
    pub(crate) path: Arc<str>,
    pub(crate) maker: Maker,
}

/// Who has to have made an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    /// The task of a key.
    Task(Key),
    /// Any task.
    Anybody,
    /// Nobody here: it is an external input, of which kart records nothing.
    External,
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
        if !output.is_keyed {
            // An output whose metadata was lost would be anybody's.
            self.keeps_metadata().await?;
        }
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
        // A crash in between never leaves what looks like a complete output.
        let pending = Bytes::from_static(PENDING.as_bytes());
        let sidecar = layout::sidecar(output.path);
        if !output.is_keyed {
            self.replace_guarded(&sidecar, pending, guard).await?;
        } else if self.inner.place == Place::Directory {
            // What lies at a path with the key counts without a sidecar, but a power cut may leave it empty. Another process
            // that makes the same may have recorded it already.
            self.create_guarded(&sidecar, pending, guard).await?;
        }
        if self.backend().write(write(None)).await? == Written::Exists {
            return Ok(false);
        }
        self.put_sidecar(output.path, text, guard).await?;
        Ok(true)
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

    /// Records of an output that is there already what is recorded of it from now on.
    ///
    /// # Errors
    ///
    /// The store could not take it.
    pub(crate) async fn record_provenance(
        &self,
        path: &str,
        provenance: &Provenance,
    ) -> Result<(), StoreError> {
        self.check("write", path)?;
        if self
            .backend()
            .annotate(path, &provenance.to_string())
            .await?
        {
            return Ok(());
        }
        let Some(file) = self.fetch(path).await? else {
            return Ok(());
        };
        let output = Publication {
            path,
            content: Content::File(&file),
            mode: Mode::Replace,
            is_keyed: true,
            provenance,
        };
        self.publish(output, &CommitGuard::open()).await?;
        Ok(())
    }

    /// Records in a sidecar whose an output is.
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
        let mut log = None;
        for ((address, found), sidecar) in addresses.iter().zip(found).zip(sidecars) {
            states.push(match found {
                Some(Found { bytes, metadata }) => {
                    self.state(address, bytes, metadata, sidecar, &mut log)
                        .await?
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
        let mut log = None;
        for ((address, object), sidecar) in addresses.iter().zip(objects).zip(sidecars) {
            outputs.push(match object {
                Ok(Some(Object { bytes, metadata })) => {
                    let size = bytes.len() as u64;
                    let state = self.state(address, size, metadata, sidecar, &mut log).await;
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
            .filter(|(_, (address, found))| {
                address.maker != Maker::External && *found == Some(false)
            })
            .map(|(at, (address, _))| (at, layout::sidecar(&address.path)))
            .unzip();
        if !bare.is_empty() {
            for (at, sidecar) in bare.into_iter().zip(self.read_many(paths).await) {
                sidecars[at] = sidecar;
            }
        }
        sidecars
    }

    /// Returns what lies at an address, by what is recorded of it; `log` is what the run log knows, once it was asked.
    async fn state(
        &self,
        address: &OutputAddress,
        bytes: u64,
        metadata: Option<String>,
        sidecar: Result<Option<Bytes>, StoreError>,
        log: &mut Option<Arc<RecordedOutputs>>,
    ) -> Result<OutputState, StoreError> {
        let key = match address.maker {
            Maker::Task(key) => Some(key),
            Maker::Anybody => None,
            Maker::External => return Ok(OutputState::Unrecorded { bytes }),
        };
        let path = &address.path;
        if let Some(text) = metadata {
            return Ok(OutputState::of(key, bytes, self.parse(path, &text)?));
        }
        let recorded = match sidecar? {
            Some(text) => self.parse(path, &String::from_utf8_lossy(&text))?,
            None => Record::None,
        };
        let keeps = self.inner.keeps_metadata.get();
        let is_by_run = |made: &Provenance| made.run.is_some();
        match recorded {
            Record::Pending => return Ok(OutputState::Unfinished),
            Record::Whole(made) if keeps == Keeps::No && is_by_run(&made) => {
                return Ok(OutputState::of(key, bytes, Record::Whole(made)));
            }
            _ => {}
        }
        // A copy has lost the metadata, or somebody has made the file anew. Its sidecar may be older.
        if log.is_none() {
            *log = Some(self.recorded_outputs().await?);
        }
        let logged = log.as_ref().and_then(|log| log.find(path)).cloned();
        Ok(match (recorded, logged) {
            (Record::Whole(made), Some(logged)) if made.run < logged.run => {
                OutputState::of_copy(key, bytes, logged)
            }
            (Record::None, Some(logged)) => OutputState::of_copy(key, bytes, logged),
            (recorded, _) => OutputState::of(key, bytes, recorded),
        })
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

    /// Records with an output what the run log knows of it, if nothing is recorded with it; returns whether there was.
    ///
    /// # Errors
    ///
    /// The store could not take it.
    pub(crate) async fn repair(&self, path: &str) -> Result<bool, StoreError> {
        let Some(found) = self.backend().look_up(path).await? else {
            return Ok(false);
        };
        if found.metadata.is_some() {
            return Ok(false);
        }
        let address = OutputAddress {
            path: path.into(),
            maker: Maker::Anybody,
        };
        let addresses = std::slice::from_ref(&address);
        let state = self.output_states(addresses).await?.pop();
        let Some(OutputState::Complete { provenance, .. }) = state else {
            return Ok(false);
        };
        if provenance.run.is_none() {
            return Ok(false);
        }
        self.record_provenance(path, &provenance).await?;
        Ok(true)
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

#[cfg(all(test, feature = "fs"))]
mod tests;
