//! Where outputs are kept. The only room that names `object_store`; it knows paths and bytes, and
//! nothing of tasks or keys.
//!
//! A [`Workspace`] checks paths and knows what can be set. What it asks for goes to a [`Backend`](backend::Backend): a
//! directory or a bucket, with a wrapper around it that counts.

mod adaptive_limit;
mod backend;
mod bulk_exists;
mod commit_guard;
mod counted;
mod durability;
mod extension;
mod hints;
mod keeps_metadata;
pub mod layout;
mod list;
#[cfg(feature = "fs")]
mod local;
mod making;
mod open;
mod output_state;
mod outputs;
#[cfg(feature = "fs")]
mod pool;
mod provenance;
mod read;
mod recorded;
mod remote;
mod requests;
mod resume;
mod retry;
mod saved;
#[cfg(feature = "fs")]
mod scratch;
mod size_limit;
mod stream;
mod upload;
mod write;

use std::{fmt, path::Path, pin::Pin, sync::Arc, time::Duration};

use object_store::ObjectStore;
use tokio::io::AsyncBufRead;
use tokio::sync::OnceCell;

pub(crate) use backend::{Content, Mode};
pub(crate) use commit_guard::{CommitGuard, Committing};
pub use durability::Durability;
pub use list::ObjectInfo;
pub use making::Making;
pub use output_state::OutputState;
pub(crate) use outputs::{Maker, OutputAddress, Publication};
pub use provenance::Provenance;
pub use requests::RequestCounts;
pub use saved::SavedState;
pub(crate) use saved::{LaterForm, SavedObject};
pub use write::CreateOutcome;

use crate::{Result, StoreError};

use backend::{Backend as _, Opened, Place, Tuning};
use counted::Counted;
use extension::Extension;
use keeps_metadata::KeepsMetadata;
use recorded::RecordedCache;

/// An object, read piece by piece.
pub type Reader = Pin<Box<dyn AsyncBufRead + Send>>;

/// A place that outputs are kept in: a directory, a bucket, or the memory of this process.
///
/// Cheap to clone; all clones are one workspace.
#[derive(Clone, Debug)]
pub struct Workspace {
    inner: Arc<Inner>,
}

struct Inner {
    location: String,
    place: Place,
    backend: Counted,
    tuning: Arc<Tuning>,
    /// Set once the store has refused to overwrite an object.
    creates_only: OnceCell<()>,
    keeps_metadata: KeepsMetadata,
    recorded: RecordedCache,
    extension: Extension,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("location", &self.location)
            .finish_non_exhaustive()
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
        Ok(Self::new(open::open(location.as_ref())?))
    }

    /// The workspace below `prefix` in a store that the caller has set up.
    ///
    /// The store's client keeps its own settings; kart adds no time limits, and repeats requests as
    /// [`retry_timeout`](Self::retry_timeout) says.
    pub fn from_store(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self::new(open::store(store, prefix))
    }

    fn new(opened: Opened) -> Self {
        let is_known_to = opened.place != Place::Bucket;
        let inner = Inner {
            location: opened.location,
            place: opened.place,
            backend: Counted::new(opened.backend),
            tuning: opened.tuning,
            creates_only: OnceCell::new_with(is_known_to.then_some(())),
            keeps_metadata: KeepsMetadata::default(),
            recorded: RecordedCache::default(),
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
    pub fn is_same_place(&self, location: &str) -> bool {
        let here = self.location();
        here == location || !(here.contains("://") || location.contains("://"))
    }

    /// Where an object is, as a person would write it.
    pub fn display_url(&self, path: &str) -> String {
        display_url(&self.inner.location, path)
    }

    /// Makes sure that a first write would find its place, so that a run does not learn after hours
    /// that it cannot store anything. On a disk this makes the directory; a bucket is not asked.
    ///
    /// # Errors
    ///
    /// The directory cannot be made, or not be written to.
    pub(crate) async fn prepare(&self) -> Result<(), StoreError> {
        self.backend().prepare().await
    }

    /// Whether it is a directory, where requests cost microseconds.
    pub(crate) fn is_directory(&self) -> bool {
        self.inner.place == Place::Directory
    }

    /// How many requests of each kind this workspace has made since it was opened.
    pub fn requests(&self) -> RequestCounts {
        let refused = self.inner.tuning.concurrency.refused();
        self.backend().counts(refused)
    }

    /// Sets how many requests for outputs may be in flight at once, for all clones of this workspace; 64 by default. When
    /// the store says "slow down" (429, 503) there are fewer for a while. A directory has no such limit.
    #[must_use]
    pub fn store_concurrency(self, requests: usize) -> Self {
        self.inner.tuning.concurrency.set(requests);
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
        self.inner.tuning.retry_timeout.set(timeout);
        self
    }

    /// Sets what outputs survive, for all clones of this workspace; the end of the process by default. A bucket keeps what it
    /// has confirmed anyway.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        self.inner.tuning.durability.set(durability);
        self
    }

    /// Sets the largest object that may be read into memory, in bytes, for all clones of this workspace; 4 GiB by default. A
    /// larger one is an error before anything of it is read. Files and readers have no limit.
    #[must_use]
    pub fn max_object_size(self, bytes: u64) -> Self {
        self.inner.tuning.size_limit.set(bytes);
        self
    }

    fn backend(&self) -> &Counted {
        &self.inner.backend
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
            location: self.display_url(path),
            hint: Some("a path is `/`-separated, relative, without empty, `.` or `..` segments and without control characters".to_owned()),
            source: format!("`{}` is not a path", path.escape_debug()).into(),
            transient: false,
        })
    }
}

fn display_url(location: &str, path: &str) -> String {
    match (location, path) {
        (location, "") => location.to_owned(),
        (location, path) if location.ends_with('/') => format!("{location}{path}"),
        (location, path) => format!("{location}/{path}"),
    }
}
