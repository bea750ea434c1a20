//! How large an object may be that is read into memory.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Unless said otherwise.
const BYTES: u64 = 4 << 30;

#[derive(Debug)]
pub(super) struct SizeLimit(AtomicU64);

impl Default for SizeLimit {
    fn default() -> Self {
        SizeLimit(AtomicU64::new(BYTES))
    }
}

impl SizeLimit {
    pub(super) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn check(&self, size: u64) -> Result<(), TooLarge> {
        let most = self.0.load(Ordering::Relaxed);
        if size <= most {
            return Ok(());
        }
        Err(TooLarge { size, most })
    }
}

/// An object that is not read into memory.
#[derive(Debug)]
pub(super) struct TooLarge {
    size: u64,
    most: u64,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooLarge { size, most } = self;
        write!(
            f,
            "it has {size} bytes, more than the {most} that are read into memory: take it as an `Artifact` or a `File`, or allow for more by `Workspace::max_object_size`"
        )
    }
}

impl std::error::Error for TooLarge {}
