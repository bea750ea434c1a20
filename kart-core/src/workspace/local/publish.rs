//! How a file is put at its place: written whole as a temporary file, with its metadata, and then renamed.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use super::super::backend::{Access, Mode, Written};
use super::super::{CommitGuard, Committing, Durability};
use super::disk::Disk;
use super::metadata::{self, is_without_metadata};
use super::rename::{is_unsupported, rename_new};
use crate::format::File as Output;
use crate::threads::Wanted;

/// How often a file is moved to its place when its directory keeps disappearing.
const MOVE_ATTEMPTS: usize = 16;

/// How a file is put at its place.
pub(super) struct Kind {
    pub(super) mode: Mode,
    pub(super) access: Access,
    /// What is recorded with it.
    pub(super) metadata: Option<String>,
    pub(super) durability: Durability,
}

/// Permission to move a file to its place.
pub(super) struct Permit<'a> {
    pub(super) guard: CommitGuard,
    /// Whether the future of the write is still there.
    pub(super) wanted: &'a Wanted<'a>,
}

impl Disk {
    /// Puts bytes at their place in one step.
    pub(super) fn publish(
        &self,
        path: &str,
        bytes: &[u8],
        kind: &Kind,
        permit: &Permit<'_>,
    ) -> io::Result<Written> {
        let finish = |written: &File| kind.finish(written);
        let write = || self.temporary(|scratch| scratch.write(bytes, finish));
        self.put(path, kind, permit, write)
    }

    /// Puts a file at its place in one step; one that is temporary is moved there.
    pub(super) fn publish_file(
        &self,
        path: &str,
        file: &Output,
        kind: &Kind,
        permit: &Permit<'_>,
    ) -> io::Result<Written> {
        if file.is_temporary() {
            if !kind.finish_path(file.path())? {
                return Ok(Written::Unsupported);
            }
            let target = self.root.join(path);
            match self.move_to(file.path(), &target, kind, permit) {
                // It is on another disk.
                Err(error) if error.kind() == ErrorKind::CrossesDevices => {}
                moved => return moved.map(written),
            }
        }
        let copy = || {
            let finish = |copied: &File| kind.finish(copied);
            self.temporary(|scratch| scratch.copy(file.path(), finish))
        };
        self.put(path, kind, permit, copy)
    }

    /// Records metadata with a file that is at its place; returns `false` where the file system keeps none, and where the
    /// file has other names, which are not to change.
    pub(super) fn annotate(&self, path: &str, metadata: &str) -> io::Result<bool> {
        if has_other_names(&fs::symlink_metadata(self.root.join(path))?) {
            return Ok(false);
        }
        let kind = Kind {
            mode: Mode::Replace,
            access: Access::ReadOnly,
            metadata: Some(metadata.to_owned()),
            durability: Durability::Process,
        };
        kind.finish_path(&self.root.join(path))
    }

    /// Moves a temporary file to its place, which can be made anew.
    fn put(
        &self,
        path: &str,
        kind: &Kind,
        permit: &Permit<'_>,
        make: impl Fn() -> io::Result<PathBuf>,
    ) -> io::Result<Written> {
        let target = self.root.join(path);
        let mut attempt = 1;
        loop {
            let temporary = match make() {
                Ok(temporary) => temporary,
                Err(error) if is_without_metadata(&error) => return Ok(Written::Unsupported),
                Err(error) => return Err(error),
            };
            let put = self.move_to(&temporary, &target, kind, permit);
            let put = put.map(written);
            match put {
                Ok(Written::Done) => return put,
                // Somebody removed `_kart`.
                Err(error)
                    if error.kind() == ErrorKind::NotFound
                        && attempt < MOVE_ATTEMPTS
                        && !temporary.exists() =>
                {
                    attempt += 1;
                }
                put => {
                    let _ = fs::remove_file(&temporary);
                    return put;
                }
            }
        }
    }

    fn move_to(
        &self,
        temporary: &Path,
        target: &Path,
        kind: &Kind,
        permit: &Permit<'_>,
    ) -> io::Result<bool> {
        if kind.durability == Durability::Process {
            return self.move_once(temporary, target, kind.mode, permit);
        }
        // A rename may reach the disk before the bytes.
        self.sync(temporary)?;
        let is_moved = self.move_once(temporary, target, kind.mode, permit)?;
        if is_moved {
            self.sync(target)?;
        }
        Ok(is_moved)
    }

    /// Waits until a file, its attributes and its name have reached the disk.
    #[cfg(target_os = "linux")]
    fn sync(&self, _: &Path) -> io::Result<()> {
        let flush = || Ok(rustix::fs::syncfs(File::open(&self.root)?)?);
        self.sync_group.sync(flush)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync(&self, file: &Path) -> io::Result<()> {
        let flush = || {
            File::open(file)?.sync_all()?;
            match file.parent() {
                Some(directory) if cfg!(unix) => File::open(directory)?.sync_all(),
                _ => Ok(()),
            }
        };
        flush()
    }

    fn move_once(
        &self,
        temporary: &Path,
        target: &Path,
        mode: Mode,
        permit: &Permit<'_>,
    ) -> io::Result<bool> {
        let mut attempt = 1;
        let _committing = permit.enter()?;
        loop {
            match self.put_in_place(temporary, target, mode) {
                // The directory is not there yet, or not any more.
                Err(error)
                    if error.kind() == ErrorKind::NotFound
                        && attempt < MOVE_ATTEMPTS
                        && temporary.exists() =>
                {
                    attempt += 1;
                    self.create_parent(target)?;
                }
                moved => return moved,
            }
        }
    }

    fn put_in_place(&self, temporary: &Path, target: &Path, mode: Mode) -> io::Result<bool> {
        if matches!(mode, Mode::Replace) {
            return fs::rename(temporary, target).map(|()| true);
        }
        if !self.only_links.load(Ordering::Relaxed) {
            match rename_new(temporary, target) {
                Err(error) if is_unsupported(&error) => {
                    self.only_links.store(true, Ordering::Relaxed);
                }
                moved => return unless_exists(moved),
            }
        }
        let linked = unless_exists(fs::hard_link(temporary, target))?;
        if linked {
            // The output is there; a second name for it is litter, which is swept one day.
            let _ = fs::remove_file(temporary);
        }
        Ok(linked)
    }
}

impl Permit<'_> {
    fn enter(&self) -> io::Result<Committing> {
        let committing = self.guard.enter().filter(|_| self.wanted.is_wanted());
        committing.ok_or_else(|| io::Error::other(crate::interrupted()))
    }
}

impl Kind {
    /// Records the metadata with a file that has its content, and takes the right to write from it.
    fn finish(&self, file: &File) -> io::Result<()> {
        if let Some(text) = &self.metadata {
            metadata::record(file, text)?;
        }
        if self.access == Access::ReadOnly {
            make_read_only(file)?;
        }
        Ok(())
    }

    /// The same for a file that another program may have made; returns `false` where the file system keeps no metadata.
    fn finish_path(&self, path: &Path) -> io::Result<bool> {
        let file = File::open(path)?;
        make_writable(&file)?;
        match self.finish(&file) {
            Err(error) if is_without_metadata(&error) => Ok(false),
            finished => finished.map(|()| true),
        }
    }
}

/// On vfat and its like a file has the mode that the mount gives it: there an output stays writable.
#[cfg(unix)]
fn has_other_names(found: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(found) > 1 || found.is_symlink()
}

#[cfg(not(unix))]
fn has_other_names(found: &fs::Metadata) -> bool {
    found.is_symlink()
}

#[cfg(unix)]
fn make_read_only(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    match file.set_permissions(fs::Permissions::from_mode(0o444)) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// Nothing is recorded with a file that its owner may not write.
#[cfg(unix)]
fn make_writable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o200 == 0 {
        file.set_permissions(fs::Permissions::from_mode(mode | 0o200))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_writable(_: &File) -> io::Result<()> {
    Ok(())
}

/// On Windows a read-only file could not be replaced.
#[cfg(not(unix))]
fn make_read_only(_: &File) -> io::Result<()> {
    Ok(())
}

/// What became of a file that was to be moved.
fn written(is_moved: bool) -> Written {
    if is_moved {
        Written::Done
    } else {
        Written::Exists
    }
}

fn unless_exists(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
