//! Where outputs are kept. The only room that names `object_store`; it knows paths and bytes, and
//! nothing of tasks or keys.

mod adaptive_limit;
mod advice;
mod bound;
mod commit;
mod commit_guard;
mod entries;
mod extension;
mod files;
#[cfg(feature = "fs")]
mod local;
mod open;
#[cfg(feature = "fs")]
mod pool;
mod presence;
mod remote;
mod requests;
mod resume;
mod retry;
#[cfg(feature = "fs")]
mod scratch;
mod stream;
mod upload;

use std::{fmt, path::Path, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use object_store::ObjectStore;
use tokio::io::AsyncBufRead;
use tokio::sync::OnceCell;

pub use commit::Commit;
pub(crate) use commit_guard::{CommitGuard, Committing};
pub use entries::Entry;
pub use requests::Requests;

use crate::{Result, StoreError};

use adaptive_limit::AdaptiveLimit;
use bound::Bound;
use extension::Extension;
#[cfg(feature = "fs")]
use local::Local;
use remote::{Clients, Remote};
use requests::Counters;

/// An object, read piece by piece.
pub type Reader = Pin<Box<dyn AsyncBufRead + Send>>;

/// A place that outputs are kept in: a directory, a bucket, or the memory of this process.
///
/// Cheap to clone; all clones are one workspace.
#[derive(Clone, Debug)]
pub struct Workspace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    location: String,
    backend: Backend,
    counters: Counters,
    bound: Arc<Bound>,
    /// Set once the store has refused to overwrite an object.
    creates_only: OnceCell<()>,
    extension: Extension,
}

enum Backend {
    Remote(Remote),
    #[cfg(feature = "fs")]
    Local(Local),
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Remote(_) => "Remote",
            #[cfg(feature = "fs")]
            Self::Local(_) => "Local",
        })
    }
}

impl Workspace {
    /// The workspace at a location: a directory (`./dir`, `file:///dir`), a bucket (`gs://bucket/prefix`,
    /// `s3://…`, `az://…`), or `memory://`, which is empty and lasts as long as the value.
    ///
    /// Nothing is asked or made: a directory comes into being with the first write. Buckets find their
    /// credentials in the environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`) and on the platform.
    ///
    /// # Errors
    ///
    /// The scheme is unknown or its feature is off, or a variable in the environment makes no sense.
    pub fn open(location: impl AsRef<Path>) -> Result<Self> {
        let (location, backend) = open::open(location.as_ref())?;
        let is_bucket = matches!(backend, Backend::Remote(_)) && !location.starts_with("memory://");
        Ok(Self::new(location, backend, !is_bucket))
    }

    /// The workspace below `prefix` in a store that the caller has set up.
    ///
    /// The store's client keeps its own settings; kart adds no time limits, and repeats requests as
    /// [`retry_timeout`](Self::retry_timeout) says.
    pub fn from_store(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let location = format!("{store}/{prefix}");
        Self::new(
            location.trim_end_matches('/').to_owned(),
            Backend::Remote(Remote::new(
                Clients::of(store),
                prefix,
                Some(AdaptiveLimit::default()),
            )),
            false,
        )
    }

    fn new(location: String, backend: Backend, creates_only: bool) -> Self {
        let bound = match &backend {
            Backend::Remote(remote) => remote.bound(),
            #[cfg(feature = "fs")]
            Backend::Local(local) => local.bound(),
        };
        let inner = Inner {
            location,
            backend,
            counters: Counters::default(),
            bound,
            creates_only: OnceCell::new_with(creates_only.then_some(())),
            extension: Extension::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The location as a person would write it. It holds no credentials.
    pub fn location(&self) -> &str {
        &self.inner.location
    }

    /// Whether that may be this workspace as another process names it: a bucket has one name, and a directory may have
    /// others on other machines.
    pub fn may_be(&self, location: &str) -> bool {
        let here = self.location();
        here == location || !(here.contains("://") || location.contains("://"))
    }

    /// Where an object is, as a person would write it.
    pub fn locate(&self, path: &str) -> String {
        locate(&self.inner.location, path)
    }

    /// Whether there is an object.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn exists(&self, path: &str) -> Result<bool, StoreError> {
        Ok(self.size(path).await?.is_some())
    }

    /// Whether there is an object at each path, in the order of the paths.
    ///
    /// In a bucket many paths of one directory are found by listing it, a thousand with one request, unless
    /// the listing is much longer than what is asked for.
    ///
    /// # Errors
    ///
    /// The store could not answer for one of them.
    pub async fn exists_many(&self, paths: Vec<String>) -> Result<Vec<bool>, StoreError> {
        for path in &paths {
            self.check("look up", path)?;
        }
        match &self.inner.backend {
            Backend::Remote(remote) => remote.exists_many(self, paths).await,
            #[cfg(feature = "fs")]
            Backend::Local(local) => {
                self.inner.counters.exists(paths.len());
                local.exists_many(paths).await
            }
        }
    }

    /// An object's bytes; `None` when there is no such object.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn read(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        self.inner.counters.read(1);
        self.check("read", path)?;
        match &self.inner.backend {
            Backend::Remote(remote) => remote.read(path).await.map_err(self.failed("read", path)),
            #[cfg(feature = "fs")]
            Backend::Local(local) => local.read(path).await,
        }
    }

    /// The bytes of each object, in the order of the paths. Each has an error of its own.
    pub async fn read_many(&self, paths: Vec<String>) -> Vec<Result<Option<Bytes>, StoreError>> {
        #[cfg(feature = "fs")]
        if let Backend::Local(local) = &self.inner.backend
            && paths.iter().all(|path| self.check("read", path).is_ok())
        {
            self.inner.counters.read(paths.len());
            return local.read_many(paths).await;
        }
        remote::read_many(self, paths).await
    }

    /// Deletes an object and says whether one was there. S3 does not tell: there it is always `true`. Where an answer was
    /// lost, a bucket may say `false` of an object that this very call has deleted.
    ///
    /// # Errors
    ///
    /// The store could not delete it. An object that is not there is no error.
    pub async fn delete(&self, path: &str) -> Result<bool, StoreError> {
        self.inner.counters.delete(1);
        self.check("delete", path)?;
        match &self.inner.backend {
            Backend::Remote(remote) => remote
                .delete(path)
                .await
                .map_err(self.failed("delete", path)),
            #[cfg(feature = "fs")]
            Backend::Local(local) => local.delete(path).await,
        }
    }

    /// How many bytes an object has; `None` when there is no such object.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, StoreError> {
        self.inner.counters.exists(1);
        self.check("look up", path)?;
        match &self.inner.backend {
            Backend::Remote(remote) => remote
                .size(path)
                .await
                .map_err(self.failed("look up", path)),
            #[cfg(feature = "fs")]
            Backend::Local(local) => local.size(path).await,
        }
    }

    /// An object to be read piece by piece, so that its size does not matter; `None` when there is no
    /// such object. What is read is one version of it, even while another replaces it.
    ///
    /// # Errors
    ///
    /// The store could not answer. A failure on the way is an error of the reader.
    pub async fn reader(&self, path: &str) -> Result<Option<Reader>, StoreError> {
        self.inner.counters.read(1);
        self.check("read", path)?;
        match &self.inner.backend {
            Backend::Remote(remote) => remote.reader(path).await.map_err(self.failed("read", path)),
            #[cfg(feature = "fs")]
            Backend::Local(local) => local.reader(path).await,
        }
    }

    /// The paths of all objects below a prefix, which is a whole number of segments (`""`, `a`, `a/b`),
    /// in the order of their bytes. The temporaries of writes under way are left out.
    ///
    /// # Errors
    ///
    /// The store could not answer.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let entries = self.entries(prefix).await?;
        Ok(entries.into_iter().map(|entry| entry.path).collect())
    }

    /// Makes sure that a first write would find its place, so that a run does not learn after hours
    /// that it cannot store anything. On a disk this makes the directory; a bucket is not asked.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, or not be written to.
    pub(crate) async fn prepare(&self) -> Result<(), StoreError> {
        match &self.inner.backend {
            Backend::Remote(_) => Ok(()),
            #[cfg(feature = "fs")]
            Backend::Local(local) => local.prepare().await,
        }
    }

    /// Whether it is a directory, where requests cost microseconds.
    pub(crate) fn is_directory(&self) -> bool {
        !matches!(self.inner.backend, Backend::Remote(_))
    }

    /// How many requests of each kind this workspace has made since it was opened.
    pub fn requests(&self) -> Requests {
        let refused = self.limit().map_or(0, AdaptiveLimit::refused);
        self.inner.counters.get(refused)
    }

    /// Sets how many requests for outputs may be in flight at once, for all clones of this workspace; 64 by default. When
    /// the store says "slow down" (429, 503) there are fewer for a while. A directory has no such limit.
    #[must_use]
    pub fn store_concurrency(self, requests: usize) -> Self {
        if let Some(limit) = self.limit() {
            limit.set(requests);
        }
        self
    }

    /// Sets how long a request to a bucket is repeated while the store fails or cannot be reached, from the first failure
    /// on: 3 minutes by default, for all clones of this workspace. [`Duration::ZERO`] turns repeats off.
    ///
    /// Reads, listings, writes and deletions are repeated after a growing, random pause, whatever part of an answer was
    /// lost. A refusal, such as missing rights, is not repeated.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> kart::Result<()> {
    /// use std::time::Duration;
    ///
    /// let workspace = kart::Workspace::open("memory://")?.retry_timeout(Duration::from_secs(30));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn retry_timeout(self, timeout: Duration) -> Self {
        if let Backend::Remote(remote) = &self.inner.backend {
            remote.retry_timeout().set(timeout);
        }
        self
    }

    /// Sets the largest object that may be read into memory, in bytes, for all clones of this workspace; 4 GiB by default. A
    /// larger one is an error before anything of it is read. Files and readers have no limit.
    #[must_use]
    pub fn object_limit(self, bytes: u64) -> Self {
        self.inner.bound.set(bytes);
        self
    }

    fn limit(&self) -> Option<&AdaptiveLimit> {
        match &self.inner.backend {
            Backend::Remote(remote) => remote.limit(),
            #[cfg(feature = "fs")]
            Backend::Local(_) => None,
        }
    }

    /// Refuses what is no path, before any store does so in its own way.
    fn check(&self, operation: &'static str, path: &str) -> Result<(), StoreError> {
        let bad = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
        let odd = |c: char| c.is_ascii_control() || (cfg!(windows) && c == '\\');
        if !path.split('/').any(bad) && !path.contains(odd) {
            return Ok(());
        }
        Err(StoreError {
            operation,
            location: self.locate(path),
            advice: Some("a path is `/`-separated, relative, without empty, `.` or `..` segments and without control characters".to_owned()),
            source: format!("`{}` is not a path", path.escape_debug()).into(),
            transient: false,
        })
    }

    fn failed(
        &self,
        operation: &'static str,
        path: &str,
    ) -> impl FnOnce(object_store::Error) -> StoreError {
        move |error| advice::remote(operation, self.locate(path), self.location(), error)
    }
}

fn locate(location: &str, path: &str) -> String {
    match (location, path) {
        (location, "") => location.to_owned(),
        (location, path) if location.ends_with('/') => format!("{location}{path}"),
        (location, path) => format!("{location}/{path}"),
    }
}
