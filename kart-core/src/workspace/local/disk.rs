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

use super::super::backend::Found;
use super::super::layout;
use super::super::scratch::Scratch;
use super::metadata;
use super::place::Places;
use super::sync_group::SyncGroup;

/// Up to this size a file is read at once.
const SMALL_BYTES: u64 = 1 << 20;

pub(super) struct Disk {
    pub(super) root: PathBuf,
    scratch: Mutex<Option<Arc<Scratch>>>,
    /// Set once this process has made sure that the workspace is there.
    is_made: AtomicBool,
    /// Set once the file system has said that it can't rename without replacing.
    pub(super) only_links: AtomicBool,
    pub(super) places: Places,
    pub(super) sync_group: SyncGroup,
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
            places: Places::default(),
            sync_group: SyncGroup::default(),
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
        let found = self.look_up_one_of(path)?;
        if found.is_none() {
            self.ensure_not_gone()?;
        }
        Ok(found)
    }

    /// Returns what lies at a path, for many after one [`ensure_not_gone`](Self::ensure_not_gone).
    pub(super) fn look_up_one_of(&self, path: &str) -> io::Result<Option<Found>> {
        let target = self.root.join(path);
        let meta = match fs::metadata(&target) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            meta => self.found(meta)?,
        };
        let Some(meta) = meta else { return Ok(None) };
        if !meta.is_file() {
            self.places.note_taken(path);
            return Ok(None);
        }
        Ok(Some(Found {
            bytes: meta.len(),
            metadata: metadata::recorded(&target)?,
        }))
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

    /// An empty file beside those that are being written.
    pub(super) fn new_file(&self) -> io::Result<TempPath> {
        TempPath::try_from_path(self.temporary(|scratch| scratch.write(b"", |_| Ok(())))?)
    }

    pub(super) fn temporary(
        &self,
        make: impl Fn(&Scratch) -> io::Result<PathBuf>,
    ) -> io::Result<PathBuf> {
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

    pub(super) fn create_parent(&self, target: &Path) -> io::Result<()> {
        self.ensure_not_gone()?;
        match target.parent() {
            Some(parent) => fs::create_dir_all(parent).map_err(not_a_directory),
            None => Ok(()),
        }
    }

    pub(super) fn scratch(&self) -> io::Result<Arc<Scratch>> {
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
