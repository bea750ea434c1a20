//! What every place that keeps objects can do: a directory, a bucket, or memory.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::adaptive_limit::AdaptiveLimit;
use super::bulk_exists::Page;
use super::durability::DurabilitySetting;
use super::retry::RetryTimeout;
use super::size_limit::SizeLimit;
use super::{CommitGuard, ObjectInfo, Reader};
use crate::error::StoreError;
use crate::format::File;

/// The answer to a request.
pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The answers to requests for many objects; each has an error of its own.
pub(super) type Answers<'a, T> = BoxFuture<'a, Vec<Result<T, StoreError>>>;

/// A place that keeps objects. Paths have been checked.
pub(super) trait Backend: Send + Sync {
    /// Makes sure that a first write finds its place.
    fn prepare(&self) -> Answer<'_, ()>;

    /// Makes sure, as far as it can be known before, that an object can be written at a path.
    fn check_place<'a>(&'a self, path: &'a str) -> Answer<'a, ()>;

    /// Returns how many bytes an object has, or `None` when there is no such object.
    fn size<'a>(&'a self, path: &'a str) -> Answer<'a, Option<u64>>;

    /// Returns how large an object is and what was recorded with it, or `None` when there is no such object.
    fn look_up<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Found>>;

    fn look_up_many(&self, paths: Vec<String>) -> Answers<'_, Option<Found>>;

    /// Returns whether there is an object at each path.
    fn exists_many(&self, paths: Vec<String>) -> Answer<'_, Vec<bool>>;

    /// Returns up to [`PAGE`](super::bulk_exists::PAGE) objects below a directory that come after a name, which need not be
    /// that of an object.
    fn page<'a>(&'a self, directory: &'a str, after: &'a str) -> Answer<'a, Page>;

    fn read<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Object>>;

    fn read_many(&self, paths: Vec<String>) -> Answers<'_, Option<Object>>;

    fn read_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> Answer<'a, Option<Bytes>>;

    fn reader<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Reader>>;

    /// Returns an object as a file: the object itself, or a copy that is deleted when nobody has it any more.
    fn fetch<'a>(&'a self, path: &'a str) -> Answer<'a, Option<File>>;

    /// Makes content an object in one step.
    fn write<'a>(&'a self, write: Write<'a>) -> Answer<'a, Written>;

    /// Records metadata with an object that is there; returns `false` where it has to be written anew for that.
    fn annotate<'a>(&'a self, path: &'a str, metadata: &'a str) -> Answer<'a, bool>;

    /// Returns whether there was an object, as far as the store tells.
    fn delete<'a>(&'a self, path: &'a str) -> Answer<'a, bool>;

    /// Sends one request, and repeats nothing.
    fn delete_once<'a>(&'a self, path: &'a str) -> Answer<'a, ()>;

    /// Returns the objects below a prefix in any order.
    fn objects<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<ObjectInfo>>;

    /// Moves an object over whatever is there; returns whether there was one.
    fn rename<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, bool>;

    /// Returns an empty file that can become an object.
    fn new_file(&self) -> io::Result<File>;

    /// Returns how many objects of abandoned uploads were deleted.
    fn abort_stale_uploads(&self) -> Answer<'_, usize>;
}

/// One write of a whole object.
#[derive(Clone)]
pub(super) struct Write<'a> {
    pub(super) path: &'a str,
    pub(super) content: Content<'a>,
    pub(super) mode: Mode,
    /// What is recorded with the object, in printable ASCII.
    pub(super) metadata: Option<&'a str>,
    pub(super) access: Access,
    /// Asked right before the irrevocable step.
    pub(super) guard: &'a CommitGuard,
}

/// What an object is made of.
#[derive(Clone)]
pub(crate) enum Content<'a> {
    Bytes(Bytes),
    /// Moved to its place if it is temporary and lies on the same disk.
    File(&'a File),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The object must not exist yet.
    Create,
    /// The object is written over whatever is there.
    Replace,
}

/// Whether other programs may change an object where objects are files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// For outputs: what a body gets as a required file is the output itself.
    ReadOnly,
    Writable,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The object is there, with its metadata.
    Done,
    /// The object is there, and its metadata was lost on the way.
    Bare,
    /// An object was there, and the mode does not replace it.
    Exists,
    /// The place keeps no metadata: nothing was written.
    Unsupported,
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bytes: u64,
    pub(super) metadata: Option<String>,
}

/// The content of an object, and what was recorded with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) metadata: Option<String>,
}

/// What kind of place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Requests cost time and money, and many objects are found by listing them.
    Bucket,
    /// The memory of this process.
    Memory,
    /// Requests cost microseconds, and objects are files.
    #[cfg_attr(not(feature = "fs"), expect(dead_code, reason = "never opened"))]
    Directory,
}

/// What can be set while a workspace is in use.
#[derive(Debug, Default)]
pub(super) struct Tuning {
    pub(super) size_limit: SizeLimit,
    pub(super) retry_timeout: RetryTimeout,
    /// Holds for directories.
    pub(super) durability: DurabilitySetting,
    /// Holds for buckets.
    pub(super) concurrency: AdaptiveLimit,
}

/// A workspace's place, as it is opened.
pub(super) struct Opened {
    pub(super) location: String,
    pub(super) place: Place,
    pub(super) backend: Box<dyn Backend>,
    pub(super) tuning: Arc<Tuning>,
}
