//! What a body saves for its own resumption: steps, and states that it moves forward.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;
use crate::error::{BoxError, Error, StoreError};
use crate::format::{Format, Json};
use crate::key::Key;
use crate::key::path::encode_segment;
use crate::workspace::{Commit, Workspace};

/// The objects that one task saves, under `_kart/steps/{key}/`.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(super) workspace: Workspace,
    directory: String,
    /// Whether this attempt has had to do with any of them.
    is_used: AtomicBool,
    under_way: Mutex<HashSet<String>>,
}

impl Saved {
    pub(crate) fn new(workspace: Workspace, key: Key) -> Self {
        Saved {
            workspace,
            directory: format!("_kart/steps/{key}"),
            is_used: AtomicBool::new(false),
            under_way: Mutex::default(),
        }
    }

    /// Where `name` is saved; the ending tells what kind it is.
    pub(super) fn path(&self, name: &str, ending: &str) -> String {
        self.is_used.store(true, Ordering::Relaxed);
        format!("{}/{}.{ending}", self.directory, encode_segment(name))
    }

    /// Deletes all of it, if this attempt has had to do with it: the output is published.
    pub(crate) async fn clear(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            return;
        }
        let cleared = async {
            for path in self.workspace.list(&self.directory).await? {
                self.workspace.delete(&path).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = cleared.await {
            tracing::warn!(
                error = crate::error::chain(&error),
                "failed to delete what a task had saved"
            );
        }
    }

    /// Keeps others of this attempt from `path` until it is dropped.
    pub(super) fn begin(&self, path: &str) -> Result<UnderWay<'_>, Error> {
        if self.lock().insert(path.to_owned()) {
            return Ok(UnderWay {
                saved: self,
                path: path.to_owned(),
            });
        }
        Err(Error::Saved {
            operation: "begin",
            location: self.workspace.locate(path),
            advice: "give each step and each loop of a body a name of its own",
            source: "another of that name is under way".into(),
        })
    }

    pub(super) fn encode<T: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        value: &T,
    ) -> Result<Bytes, Error> {
        Json::encode(value).map_err(|source| Error::Saved {
            operation: "encode",
            location: self.workspace.locate(path),
            advice: "what is saved is written as JSON",
            source,
        })
    }

    pub(super) fn decode<T: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        bytes: Bytes,
    ) -> Result<T, Error> {
        Json::decode(bytes).map_err(|source| self.undecodable(path, source))
    }

    pub(super) fn undecodable(&self, path: &str, source: BoxError) -> Error {
        Error::Saved {
            operation: "decode",
            location: self.workspace.locate(path),
            advice: "delete the object to have that part made again, or bump the task's `version` if its type has changed",
            source,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that is in use.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    saved: &'a Saved,
    path: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.saved.lock().remove(&self.path);
    }
}

impl Context {
    /// Does a part of the work once for this task, whatever the number of attempts and processes: its result
    /// is saved, and where it has been saved before, `work` is not polled at all.
    ///
    /// The result is kept as JSON under `_kart/steps/` until the task's output is published, and what is
    /// returned is what was read back, the first time too. A bumped `version` starts afresh.
    ///
    /// # Errors
    ///
    /// What `work` fails with; and, as `kart::Error` made into it, that the result could not be saved or
    /// restored, or that a step of that name is under way.
    ///
    /// # Examples
    ///
    /// ```
    /// use kart::{Context, task};
    ///
    /// async fn download(day: &str) -> std::io::Result<Vec<u8>> {
    ///     Ok(day.as_bytes().to_vec())
    /// }
    ///
    /// #[task]
    /// async fn import(day: &str, #[context] cx: &Context) -> anyhow::Result<usize> {
    ///     let raw = cx.step("download", async { anyhow::Ok(download(day).await?) }).await?;
    ///     let rows = cx.step("parse", async { anyhow::Ok(raw.len() * 2) }).await?;
    ///     Ok(rows)
    /// }
    /// ```
    pub async fn step<T, E>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
    {
        let saved = self.saved();
        let path = saved.path(name, "step");
        let _under_way = saved.begin(&path)?;
        if let Some(bytes) = saved.workspace.read(&path).await.map_err(Error::from)? {
            return Ok(saved.decode(&path, bytes)?);
        }
        let result = work.await?;
        let bytes = saved.encode(&path, &result)?;
        let created = saved.workspace.create(&path, bytes.clone()).await;
        let kept = match created.map_err(Error::from)? {
            Commit::Written => bytes,
            // Another process was first: all go on with the same.
            Commit::Exists(first) => first,
        };
        Ok(saved.decode(&path, kept)?)
    }

    /// Saves a state that the body moves forward, such as an epoch or an offset, in place of the last one of
    /// that name: in one step, so that a kill leaves either.
    ///
    /// A plain `fn` saves by [`block_on`](Self::block_on).
    ///
    /// # Errors
    ///
    /// The state could not be written as JSON, or the store could not take it.
    ///
    /// # Examples
    ///
    /// ```
    /// use kart::{Context, task};
    ///
    /// #[task]
    /// async fn train(epochs: u32, #[context] cx: &Context) -> anyhow::Result<f64> {
    ///     let (mut epoch, mut weight) = cx.restore("model").await?.unwrap_or((0, 1.0));
    ///     while epoch < epochs {
    ///         weight *= 0.5;
    ///         epoch += 1;
    ///         cx.save("model", &(epoch, weight)).await?;
    ///         cx.progress(epoch.into(), epochs.into());
    ///         if cx.is_stopping() {
    ///             return Err(kart::interrupted().into());
    ///         }
    ///     }
    ///     Ok(weight)
    /// }
    /// ```
    pub async fn save<S: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        state: &S,
    ) -> Result<(), Error> {
        let saved = self.saved();
        let path = saved.path(name, "state");
        let bytes = saved.encode(&path, state)?;
        Ok(saved.workspace.replace(&path, bytes).await?)
    }

    /// The state that was saved last under that name, by this attempt or another, here or elsewhere.
    ///
    /// # Errors
    ///
    /// The store did not answer, or what was saved cannot be read as an `S`.
    pub async fn restore<S: Serialize + DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<S>, Error> {
        let saved = self.saved();
        let path = saved.path(name, "state");
        match saved.workspace.read(&path).await? {
            Some(bytes) => saved.decode(&path, bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Waits, from a plain `fn`, for something asynchronous: `cx.block_on(cx.save("offset", &n))?`.
    ///
    /// # Panics
    ///
    /// In an `async fn`, which awaits instead.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        #[cfg(test)]
        let future = match crate::simulation::block_on(future) {
            Ok(output) => return output,
            Err(future) => future,
        };
        tokio::runtime::Handle::current().block_on(future)
    }
}
