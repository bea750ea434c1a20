//! What a workspace does on a disk, blocking.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tempfile::TempPath;

use super::super::backend::{Found, Mode, Written};
use super::super::layout;
use super::super::scratch::Scratch;
use super::super::{CommitGuard, Committing};
use super::metadata;
use super::rename::{is_unsupported, rename_new};
use crate::format::File as Output;
use crate::threads::Wanted;

/// Up to this size a file is read at once.
const SMALL_BYTES: u64 = 1 << 20;

/// How often a file is moved to its place when its directory keeps disappearing.
const MOVE_ATTEMPTS: usize = 16;

pub(super) struct Disk {
    root: PathBuf,
    scratch: Mutex<Option<Arc<Scratch>>>,
    /// Set once this process has made sure that the workspace is there.
    is_made: AtomicBool,
    /// Set once the file system has said that it can't rename without replacing.
    only_links: AtomicBool,
}

/// How a file is put at its place.
#[derive(Clone, Copy)]
pub(super) struct Kind<'a> {
    pub(super) mode: Mode,
    /// What is recorded with it.
    pub(super) metadata: Option<&'a str>,
}

/// Permission to move a file to its place.
pub(super) struct Permit<'a> {
    pub(super) guard: CommitGuard,
    /// Whether the future of the write is still there.
    pub(super) wanted: &'a Wanted<'a>,
}

/// An object that was read, and what was recorded with it.
pub(super) struct Read {
    pub(super) content: Content,
    pub(super) metadata: Option<String>,
}

pub(super) enum Content {
    Whole(Bytes),
    /// Open, and to be read on a thread of its own.
    Large(File, u64),
}

impl Disk {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            scratch: Mutex::default(),
            is_made: AtomicBool::new(false),
            only_links: AtomicBool::new(false),
        }
    }

    pub(super) fn root_is_file(&self) -> bool {
        self.root.is_file()
    }

    /// Returns `true` when the workspace was there and is not any more.
    pub(super) fn is_gone(&self) -> bool {
        self.is_made.load(Ordering::Relaxed) && !self.root.exists()
    }

    pub(super) fn size(&self, path: &str) -> io::Result<Option<u64>> {
        let meta = self.found(fs::metadata(self.root.join(path)))?;
        Ok(meta.filter(fs::Metadata::is_file).map(|meta| meta.len()))
    }

    /// Returns how large an object is, and what was recorded with it.
    pub(super) fn look_up(&self, path: &str) -> io::Result<Option<Found>> {
        let Some(bytes) = self.size(path)? else {
            return Ok(None);
        };
        let metadata = metadata::recorded(&self.root.join(path))?;
        Ok(Some(Found { bytes, metadata }))
    }

    /// Returns whether an object is there, for many after one [`ensure_not_gone`](Self::ensure_not_gone).
    pub(super) fn exists(&self, path: &str) -> io::Result<bool> {
        match fs::metadata(self.root.join(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            meta => Ok(self.found(meta)?.is_some_and(|meta| meta.is_file())),
        }
    }

    pub(super) fn open(&self, path: &str) -> io::Result<Option<File>> {
        Ok(self.open_sized(path)?.map(|(file, _)| file))
    }

    fn open_sized(&self, path: &str) -> io::Result<Option<(File, u64)>> {
        let Some(file) = self.found(File::open(self.root.join(path)))? else {
            return Ok(None);
        };
        let meta = file.metadata()?;
        Ok(meta.is_file().then_some((file, meta.len())))
    }

    pub(super) fn read(&self, path: &str) -> io::Result<Option<Read>> {
        let Some((file, length)) = self.open_sized(path)? else {
            return Ok(None);
        };
        let metadata = metadata::recorded_with(&file)?;
        let content = if length <= SMALL_BYTES {
            Content::Whole(read_to_end(file)?)
        } else {
            Content::Large(file, length)
        };
        Ok(Some(Read { content, metadata }))
    }

    /// What lies below a file is merely absent, as in a bucket; unless the file is the workspace.
    pub(super) fn found<T>(&self, answer: io::Result<T>) -> io::Result<Option<T>> {
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NotFound && !self.is_gone() => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotADirectory && !self.root_is_file() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Where an object is.
    pub(super) fn whole(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(super) fn read_range(&self, path: &str, range: Range<u64>) -> io::Result<Option<Bytes>> {
        let Some(mut file) = self.open(path)? else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(range.start))?;
        let mut bytes = Vec::new();
        let length = range.end.saturating_sub(range.start);
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Some(bytes.into()))
    }

    /// Puts bytes at their place in one step.
    pub(super) fn publish(
        &self,
        path: &str,
        bytes: &[u8],
        kind: Kind<'_>,
        permit: &Permit<'_>,
    ) -> io::Result<Written> {
        let write = || self.temporary(|scratch| scratch.write(bytes));
        self.put(path, kind, permit, write)
    }

    /// Puts a file at its place in one step; one that is temporary is moved there.
    pub(super) fn publish_file(
        &self,
        path: &str,
        file: &Output,
        kind: Kind<'_>,
        permit: &Permit<'_>,
    ) -> io::Result<Written> {
        if file.is_temporary() {
            if !kind.record(file.path())? {
                return Ok(Written::Unsupported);
            }
            let target = self.root.join(path);
            match self.move_to(file.path(), &target, kind.mode, permit) {
                // It is on another disk.
                Err(error) if error.kind() == ErrorKind::CrossesDevices => {}
                moved => return moved.map(written),
            }
        }
        let copy = || self.temporary(|scratch| scratch.copy(file.path()));
        self.put(path, kind, permit, copy)
    }

    /// An empty file beside those that are being written.
    pub(super) fn new_file(&self) -> io::Result<TempPath> {
        TempPath::try_from_path(self.temporary(|scratch| scratch.write(b""))?)
    }

    /// Moves a temporary file to its place, which can be made anew.
    fn put(
        &self,
        path: &str,
        kind: Kind<'_>,
        permit: &Permit<'_>,
        make: impl Fn() -> io::Result<PathBuf>,
    ) -> io::Result<Written> {
        let target = self.root.join(path);
        let mut attempt = 1;
        loop {
            let temporary = make()?;
            let put = match kind.record(&temporary) {
                Ok(true) => self
                    .move_to(&temporary, &target, kind.mode, permit)
                    .map(written),
                Ok(false) => Ok(Written::Unsupported),
                Err(error) => Err(error),
            };
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

    fn temporary(&self, make: impl Fn(&Scratch) -> io::Result<PathBuf>) -> io::Result<PathBuf> {
        let scratch = self.scratch()?;
        match make(&scratch) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Somebody removed the directory while this process was using it.
                let mut current = self.lock_scratch();
                if current.as_ref().is_some_and(|it| Arc::ptr_eq(it, &scratch)) {
                    *current = None;
                }
                drop(current);
                make(&*self.scratch()?)
            }
            done => done,
        }
    }

    /// Makes the directory for temporary files, and with it the workspace.
    pub(super) fn prepare(&self) -> io::Result<()> {
        self.scratch().map(drop)
    }

    pub(super) fn ensure_not_gone(&self) -> io::Result<()> {
        if self.is_gone() {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(())
    }

    fn create_parent(&self, target: &Path) -> io::Result<()> {
        self.ensure_not_gone()?;
        match target.parent() {
            Some(parent) => fs::create_dir_all(parent).map_err(not_a_directory),
            None => Ok(()),
        }
    }

    fn scratch(&self) -> io::Result<Arc<Scratch>> {
        let mut scratch = self.lock_scratch();
        if let Some(scratch) = &*scratch {
            return Ok(scratch.clone());
        }
        self.ensure_not_gone()?;
        let made = Arc::new(Scratch::new(&self.root).map_err(not_a_directory)?);
        self.is_made.store(true, Ordering::Relaxed);
        *scratch = Some(made.clone());
        Ok(made)
    }

    fn lock_scratch(&self) -> MutexGuard<'_, Option<Arc<Scratch>>> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(super) fn delete(&self, path: &str) -> io::Result<bool> {
        let file = self.root.join(path);
        let deleted = match self.found(fs::remove_file(&file)) {
            // Unlinking a directory is refused in other words on other systems.
            Err(_) if file.is_dir() => false,
            deleted => deleted?.is_some(),
        };
        if deleted && layout::is_own(path) {
            self.prune(path);
        }
        Ok(deleted)
    }

    /// Removes the directories that kart made for its own objects and that are now empty.
    fn prune(&self, path: &str) {
        let mut rest = path;
        while let Some((parent, _)) = rest.rsplit_once('/') {
            // Fails when something is in it, which ends the climb; `_kart` itself stays.
            if parent == layout::OWN || fs::remove_dir(self.root.join(parent)).is_err() {
                return;
            }
            rest = parent;
        }
    }

    /// Moves an object over whatever is there; whether there was one.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<bool> {
        let target = self.root.join(to);
        self.create_parent(&target)?;
        let moved = self.found(fs::rename(self.root.join(from), &target))?;
        if moved.is_some() && layout::is_own(from) {
            self.prune(from);
        }
        Ok(moved.is_some())
    }
}

impl Permit<'_> {
    fn enter(&self) -> io::Result<Committing> {
        let committing = self.guard.enter().filter(|_| self.wanted.is_wanted());
        committing.ok_or_else(|| io::Error::other(crate::interrupted()))
    }
}

impl Kind<'_> {
    /// Records the metadata with a file; returns `false` where the file system keeps none.
    fn record(self, path: &Path) -> io::Result<bool> {
        match self.metadata {
            Some(text) => metadata::record(path, text),
            None => Ok(true),
        }
    }
}

/// What became of a file that was to be moved.
fn written(is_moved: bool) -> Written {
    if is_moved {
        Written::Done
    } else {
        Written::Exists
    }
}

pub(super) fn read_to_end(mut file: File) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// `create_dir_all` says "already exists" of a file that stands where a directory should.
fn not_a_directory(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::AlreadyExists => ErrorKind::NotADirectory.into(),
        _ => error,
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
