//! Where files are written before they are moved to their place: `_kart/tmp/{id}/`, one directory for
//! each process and workspace.
//!
//! A lock on `_kart/tmp/{id}.lock` is held as long as the directory is in use. The kernel gives it back
//! when the process dies, however it dies, so whoever gets the lock knows that the directory is litter.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// The directory of all scratch directories, relative to the workspace.
pub(super) const TEMPORARIES: &str = "_kart/tmp";

pub(super) struct Scratch {
    directory: PathBuf,
    lock_path: PathBuf,
    _lock: File,
    next: AtomicU64,
}

impl Scratch {
    /// Makes a scratch directory in the workspace at `root`, and removes those that nobody uses.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        let temporaries = root.join(TEMPORARIES);
        fs::create_dir_all(&temporaries)?;
        sweep(&temporaries);
        loop {
            let name = format!("{:016x}", fastrand::u64(..));
            let lock_path = temporaries.join(format!("{name}.lock"));
            let Some(lock) = lock_new(&lock_path)? else {
                continue;
            };
            let directory = temporaries.join(name);
            fs::create_dir(&directory)?;
            return Ok(Self {
                directory,
                lock_path,
                _lock: lock,
                next: AtomicU64::new(0),
            });
        }
    }

    #[cfg(test)]
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a new file with these bytes; a write that fails leaves none.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        self.make(|file| file.write_all(bytes))
    }

    /// Writes a new file with the bytes of another.
    pub(super) fn copy(&self, from: &Path) -> io::Result<PathBuf> {
        let mut from = File::open(from)?;
        self.make(|file| io::copy(&mut from, file).map(drop))
    }

    fn make(&self, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<PathBuf> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(number.to_string());
        let mut file = File::create_new(&path)?;
        if let Err(error) = write(&mut file) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is swept by the next process.
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Makes and locks a lock file; `None` when a sweeper took it in the moment between.
fn lock_new(path: &Path) -> io::Result<Option<File>> {
    let lock = match File::create_new(path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        // The file can be gone if a sweeper had the lock first.
        Ok(()) => Ok(path.exists().then_some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        // A file system without locks: no process can take this lock, so none will sweep.
        Err(TryLockError::Error(_)) => Ok(Some(lock)),
    }
}

/// Removes the scratch directories of processes that are gone. What can't be removed is left: it is
/// litter, not a reason to fail.
fn sweep(temporaries: &Path) {
    let Ok(entries) = fs::read_dir(temporaries) else {
        return;
    };
    for entry in entries.flatten() {
        let lock_path = entry.path();
        if lock_path
            .extension()
            .is_none_or(|extension| extension != "lock")
        {
            continue;
        }
        let Ok(lock) = File::options().write(true).open(&lock_path) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            // The lock file last, and while its lock is held: until then the directory has an owner.
            let _ = fs::remove_dir_all(lock_path.with_extension(""));
            let _ = fs::remove_file(&lock_path);
        }
    }
}
