//! Where files are written before they are moved to their place: `_kart/tmp/{id}/`, one directory for
//! each process and workspace.
//!
//! A lock on `_kart/tmp/{id}.lock` is held as long as the directory is in use. The kernel gives it back
//! when the process dies, however it dies, so a process that gets the lock knows that the directory is litter; if it would
//! see the owner's lock at all. Some file systems (gcsfuse, SMB) keep locks within a machine or a mount, so the id ends
//! with the owner's *lock domain*, and litter of other domains goes only when it is old.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use uuid::Uuid;

use super::layout::TEMPORARIES;

/// What another lock domain has not touched for so long is litter.
const OLD: Duration = Duration::from_hours(7 * 24);

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
        let domain = lock_domain(&temporaries);
        sweep(&temporaries, &domain);
        loop {
            let name = format!("{}-{domain}", Uuid::now_v7().simple());
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

    /// Writes a new file with these bytes, and finishes it; what fails leaves none.
    pub(super) fn write(
        &self,
        bytes: &[u8],
        finish: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        self.make(|file| {
            file.write_all(bytes)?;
            finish(file)
        })
    }

    /// Writes a new file with the bytes of another, and finishes it.
    pub(super) fn copy(
        &self,
        from: &Path,
        finish: impl FnOnce(&File) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let mut from = File::open(from)?;
        self.make(|file| {
            io::copy(&mut from, file)?;
            finish(file)
        })
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
fn sweep(temporaries: &Path, domain: &str) {
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
        let is_ours = lock_path
            .file_stem()
            .is_some_and(|id| id.to_string_lossy().ends_with(domain));
        if !is_ours && !is_old(&lock_path) {
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

/// Names the processes that see each other's locks: those of one boot of one kernel that share the mount.
fn lock_domain(temporaries: &Path) -> String {
    static BOOT: LazyLock<String> = LazyLock::new(|| {
        match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
            Ok(boot) => boot,
            // A sandbox may be one of many on a machine.
            Err(_) if cfg!(target_os = "linux") => Uuid::now_v7().to_string(),
            Err(_) => String::new(),
        }
    });
    let mount = fs::metadata(temporaries).map_or(0, |meta| device(&meta));
    let domain = blake3::hash(format!("{} {mount}", BOOT.trim()).as_bytes());
    domain.to_hex()[..16].to_owned()
}

#[cfg(unix)]
fn device(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(meta)
}

#[cfg(not(unix))]
fn device(_: &fs::Metadata) -> u64 {
    0
}

/// Whether neither a lock file nor anything in its directory was written for long.
fn is_old(lock_path: &Path) -> bool {
    let Some(moment) = SystemTime::now().checked_sub(OLD) else {
        return false;
    };
    let is_old = |path: &Path| {
        let written = fs::metadata(path).and_then(|meta| meta.modified());
        written.is_ok_and(|written| written < moment)
    };
    let files = fs::read_dir(lock_path.with_extension(""));
    is_old(lock_path)
        && files
            .into_iter()
            .flatten()
            .all(|file| file.is_ok_and(|file| is_old(&file.path())))
}
