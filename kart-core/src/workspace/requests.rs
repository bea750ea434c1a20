//! Counting what was asked of the store.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many requests of each kind a workspace has made, not counting the store client's own retries
/// and the further pages of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestCounts {
    /// Whether an object is there, or how large it is.
    pub exists: u64,
    /// An object's bytes.
    pub read: u64,
    /// An object written, create-only or not.
    pub write: u64,
    /// An object deleted.
    pub delete: u64,
    /// A listing, or a page of one where many objects were looked for.
    pub list: u64,
    /// Refused by the store for now, after its client's own retries; asked again more slowly.
    pub refused: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    exists: AtomicU64,
    read: AtomicU64,
    write: AtomicU64,
    delete: AtomicU64,
    list: AtomicU64,
}

impl Counters {
    pub(super) fn exists(&self, count: usize) {
        add(&self.exists, count);
    }

    pub(super) fn read(&self, count: usize) {
        add(&self.read, count);
    }

    pub(super) fn write(&self, count: usize) {
        add(&self.write, count);
    }

    pub(super) fn delete(&self, count: usize) {
        add(&self.delete, count);
    }

    pub(super) fn list(&self, count: usize) {
        add(&self.list, count);
    }

    pub(super) fn get(&self, refused: u64) -> RequestCounts {
        RequestCounts {
            exists: self.exists.load(Ordering::Relaxed),
            read: self.read.load(Ordering::Relaxed),
            write: self.write.load(Ordering::Relaxed),
            delete: self.delete.load(Ordering::Relaxed),
            list: self.list.load(Ordering::Relaxed),
            refused,
        }
    }
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}
