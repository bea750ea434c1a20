//! What a body saves for its own resumption: steps, and states that it moves forward.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Context, RunApi};
use crate::error::{BoxError, Error, StoreError, interrupted};
use crate::format::{Format, Json};
use crate::key::Key;
use crate::workspace::{
    CommitGuard, CreateOutcome, LaterForm, Making, SavedObject, Workspace, layout,
};

/// What the saves of one attempt belong to.
#[derive(Debug)]
pub(crate) struct SaveScope {
    pub(crate) key: Key,
    pub(crate) making: Making,
    /// The path of the output.
    pub(crate) path: Arc<str>,
    /// The fingerprint of the code that saves.
    pub(crate) code: &'static str,
}

/// The objects that one task saves for one making of its output, under `_kart/steps/{key}/{making}/`, in the hands of one
/// attempt: when the attempt is over, nothing is read or written any more.
#[derive(Debug)]
pub(crate) struct StepStore {
    pub(super) workspace: Workspace,
    scope: SaveScope,
    guard: CommitGuard,
    /// Set once this attempt has read or written any of them.
    is_used: AtomicBool,
    names: Mutex<HashSet<String>>,
    run: Arc<dyn RunApi>,
    /// Set once the run knows that other code saved some of them.
    is_stale: AtomicBool,
}

impl StepStore {
    pub(crate) fn new(
        workspace: Workspace,
        scope: SaveScope,
        guard: CommitGuard,
        run: Arc<dyn RunApi>,
    ) -> Self {
        StepStore {
            workspace,
            scope,
            guard,
            is_used: AtomicBool::new(false),
            names: Mutex::default(),
            run,
            is_stale: AtomicBool::new(false),
        }
    }

    /// Returns the place of `name`, whose ending tells what kind it is.
    ///
    /// # Errors
    ///
    /// The attempt is over.
    pub(super) fn path(&self, name: &str, ending: &str) -> Result<String, Error> {
        let path = layout::step(self.scope.key, self.scope.making, name, ending);
        self.ensure_open(&path)?;
        self.is_used.store(true, Ordering::Relaxed);
        Ok(path)
    }

    fn ensure_open(&self, path: &str) -> Result<(), Error> {
        if self.guard.is_open() {
            return Ok(());
        }
        Err(Error::Saved {
            operation: "access",
            location: self.workspace.display_url(path),
            hint: "the attempt is over: nothing is saved or restored any more",
            source: interrupted().into(),
        })
    }

    /// Returns what was saved, if it is there and whole.
    pub(super) async fn read(&self, path: &str) -> Result<Option<SavedObject>, Error> {
        match self.workspace.read(path).await? {
            Some(object) => self.open(path, &object),
            None => Ok(None),
        }
    }

    /// Returns what an object holds, if it is whole.
    pub(super) fn open(&self, path: &str, object: &Bytes) -> Result<Option<SavedObject>, Error> {
        let opened = SavedObject::open(object).map_err(|error: LaterForm| Error::Saved {
            operation: "read",
            location: self.workspace.display_url(path),
            hint: "use the release of kart that wrote it, or discard it with `--fresh`",
            source: error.into(),
        })?;
        let is_stale = |saved: &SavedObject| saved.code != self.scope.code;
        if opened.as_ref().is_some_and(is_stale) && !self.is_stale.swap(true, Ordering::Relaxed) {
            self.run.resumes_stale_state();
        }
        Ok(opened)
    }

    /// Saves what some code has made, unless there is a whole object already.
    pub(super) async fn create_of(
        &self,
        path: &str,
        body: &[u8],
        code: &str,
    ) -> Result<CreateOutcome, Error> {
        self.ensure_open(path)?;
        let object = SavedObject::seal(body, code, &self.scope.path);
        let (workspace, guard) = (&self.workspace, &self.guard);
        let created = workspace.create_guarded(path, object.clone(), guard);
        if let CreateOutcome::Exists(first) = created.await? {
            if let Some(first) = self.open(path, &first)? {
                return Ok(CreateOutcome::Exists(first.body));
            }
            workspace.replace_guarded(path, object, guard).await?;
        }
        Ok(CreateOutcome::Written)
    }

    /// Writes an object in place of the last one.
    async fn replace(&self, path: &str, body: &[u8]) -> Result<(), Error> {
        self.ensure_open(path)?;
        let object = SavedObject::seal(body, self.scope.code, &self.scope.path);
        let replaced = self.workspace.replace_guarded(path, object, &self.guard);
        Ok(replaced.await?)
    }

    /// The fingerprint of the code that saves.
    pub(super) fn code(&self) -> &'static str {
        self.scope.code
    }

    /// Deletes an object whose content has been written elsewhere.
    pub(super) async fn delete(&self, path: &str) -> Result<(), Error> {
        self.ensure_open(path)?;
        self.workspace.delete(path).await?;
        Ok(())
    }

    /// Deletes all of it, if this attempt has used any: the output is published. What belongs to makings for other reruns
    /// stays, since other processes may be at them.
    pub(crate) async fn clear(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            return;
        }
        let is_over = |path: &String| {
            let making = layout::making_at(path);
            making == Some(self.scope.making) || !matches!(making, Some(Making::Rerun(_)))
        };
        let cleared = async {
            let saved = self.workspace.list(&layout::steps(self.scope.key)).await?;
            for path in saved.iter().filter(|path| is_over(path)) {
                self.workspace.delete(path).await?;
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
    pub(super) fn begin(&self, path: &str) -> Result<NameGuard<'_>, Error> {
        if self.lock().insert(path.to_owned()) {
            return Ok(NameGuard {
                store: self,
                path: path.to_owned(),
            });
        }
        Err(Error::Saved {
            operation: "begin",
            location: self.workspace.display_url(path),
            hint: "give each step and each loop of a body a name of its own",
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
            location: self.workspace.display_url(path),
            hint: "what is saved is written as JSON",
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
            location: self.workspace.display_url(path),
            hint: "delete the object to have that part made again, discard all that the task has saved with `--fresh`, or \
                   bump the task's `version` if its type has changed",
            source,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that is in use.
#[derive(Debug)]
pub(super) struct NameGuard<'a> {
    store: &'a StepStore,
    path: String,
}

impl Drop for NameGuard<'_> {
    fn drop(&mut self) {
        self.store.lock().remove(&self.path);
    }
}

impl Context {
    /// Does a part of the work once for this task, whatever the number of attempts and processes: its result
    /// is saved, and where it has been saved before, `work` is not polled at all.
    ///
    /// The result is kept as JSON under `_kart/steps/` until the task's output is published, and what is
    /// returned is what was read back, the first time too. A bumped `version` and a rerun start afresh.
    ///
    /// # Errors
    ///
    /// What `work` fails with; and, as `kart::Error` made into it, that the result could not be saved or
    /// restored, that a step of that name is under way, or that the attempt is over (as after its `timeout`).
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
        let steps = self.steps();
        let path = steps.path(name, "step")?;
        let _name = steps.begin(&path)?;
        if let Some(saved) = steps.read(&path).await? {
            return Ok(steps.decode(&path, saved.body)?);
        }
        let result = work.await?;
        let bytes = steps.encode(&path, &result)?;
        let kept = match steps.create_of(&path, &bytes, steps.code()).await? {
            CreateOutcome::Written => bytes,
            // Another process was first: all go on with the same.
            CreateOutcome::Exists(first) => first,
        };
        Ok(steps.decode(&path, kept)?)
    }

    /// Saves a state that the body moves forward, such as an epoch or an offset, in place of the last one of
    /// that name: in one step, so that a kill leaves either.
    ///
    /// A plain `fn` saves by [`block_on`](Self::block_on).
    ///
    /// # Errors
    ///
    /// The state could not be written as JSON, or the store could not take it; or the attempt is over (as after its
    /// `timeout`), and another may have begun.
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
        let steps = self.steps();
        let path = steps.path(name, "state")?;
        let bytes = steps.encode(&path, state)?;
        steps.replace(&path, &bytes).await
    }

    /// The state that was saved last under that name, by this attempt or another, here or elsewhere.
    ///
    /// # Errors
    ///
    /// The store did not answer, what was saved cannot be read as an `S`, or the attempt is over.
    pub async fn restore<S: Serialize + DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<S>, Error> {
        let steps = self.steps();
        let path = steps.path(name, "state")?;
        match steps.read(&path).await? {
            Some(saved) => steps.decode(&path, saved.body).map(Some),
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
