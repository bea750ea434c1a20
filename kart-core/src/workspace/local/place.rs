//! Whether a file can be put at a path, as far as it can be known before there is one.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::layout;
use super::disk::Disk;

/// More bytes no system takes for a whole path.
const MAX_PATH_BYTES: usize = 4096;
/// More bytes few systems take for a name, with the `.key` of what kart records of an output.
const MAX_NAME_BYTES: usize = 255 - 4;

/// What is known of where files can be put.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The directories in which files can be put.
    directories: HashSet<Box<str>>,
    /// The paths at which a directory was seen.
    taken: HashSet<Box<str>>,
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that there is a directory at a path.
    pub(super) fn note_taken(&self, path: &str) {
        self.lock().taken.insert(path.into());
    }
}

impl Disk {
    /// Returns whether a file was found to have a place in that directory before.
    pub(super) fn knows_place(&self, path: &str) -> bool {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let known = self.places.lock();
        name.len() <= MAX_NAME_BYTES
            && known.directories.contains(directory)
            && !known.taken.contains(path)
    }

    /// Makes sure that a file can be put at a path.
    ///
    /// # Errors
    ///
    /// A name is too long, a directory or a file stands in the way, or the directory is on another file system.
    pub(super) fn check_place(&self, path: &str) -> io::Result<()> {
        let target = self.root.join(path);
        // What kart records of the output, and where it moves it, has a longer name.
        let longest = self.root.as_os_str().len() + 1 + layout::longest(path);
        let mut names = path.split('/');
        if longest >= MAX_PATH_BYTES || names.any(|name| name.len() > MAX_NAME_BYTES) {
            return Err(ErrorKind::InvalidFilename.into());
        }
        match fs::symlink_metadata(&target) {
            Ok(found) if found.is_dir() => return Err(ErrorKind::IsADirectory.into()),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let directory = target.parent().unwrap_or(&self.root);
        if device(directory)? != device(&self.root)? {
            return Err(ErrorKind::CrossesDevices.into());
        }
        let (directory, _) = path.rsplit_once('/').unwrap_or(("", path));
        let mut known = self.places.lock();
        known.directories.insert(directory.into());
        known.taken.remove(path);
        Ok(())
    }
}

/// Returns the device that a directory is on, or will be.
fn device(directory: &Path) -> io::Result<u64> {
    for directory in directory.ancestors() {
        match fs::metadata(directory) {
            Ok(found) if found.is_dir() => return Ok(device_of(&found)),
            Ok(_) => return Err(ErrorKind::NotADirectory.into()),
            // A link that leads nowhere is in the way of a directory.
            Err(_) if directory.is_symlink() => return Err(ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(0)
}

#[cfg(unix)]
fn device_of(found: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(found)
}

#[cfg(not(unix))]
fn device_of(_: &fs::Metadata) -> u64 {
    0
}
