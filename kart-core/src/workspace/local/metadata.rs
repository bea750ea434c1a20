//! What is recorded with a file, as an extended attribute of it.

use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
mod attribute {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    use rustix::fs::{XattrFlags, fgetxattr, getxattr, setxattr};
    use rustix::io::Errno;

    const NAME: &str = "user.kart";

    /// More than any provenance has.
    const LONGEST: usize = 4096;

    pub(super) fn set(path: &Path, text: &str) -> io::Result<bool> {
        match setxattr(path, NAME, text.as_bytes(), XattrFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOTSUP | Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn get(path: &Path) -> io::Result<Option<Vec<u8>>> {
        read(|text| getxattr(path, NAME, text))
    }

    pub(super) fn get_of(file: &File) -> io::Result<Option<Vec<u8>>> {
        read(|text| fgetxattr(file, NAME, text))
    }

    fn read(get: impl FnOnce(&mut [u8]) -> Result<usize, Errno>) -> io::Result<Option<Vec<u8>>> {
        let mut text = [0; LONGEST];
        match get(&mut text) {
            Ok(length) => Ok(Some(text[..length].to_vec())),
            Err(error) if is_without(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(target_vendor = "apple")]
    const ABSENT: Errno = Errno::NOATTR;
    #[cfg(not(target_vendor = "apple"))]
    const ABSENT: Errno = Errno::NODATA;

    /// Returns whether the file has no such attribute, or cannot have one.
    fn is_without(error: Errno) -> bool {
        [
            ABSENT,
            Errno::NOTSUP,
            Errno::NOSYS,
            Errno::RANGE,
            Errno::NOENT,
        ]
        .contains(&error)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
mod attribute {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(super) fn set(_: &Path, _: &str) -> io::Result<bool> {
        Ok(false)
    }

    pub(super) fn get(_: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    pub(super) fn get_of(_: &File) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

/// Records a text with a file; returns `false` where the file system keeps none.
pub(super) fn record(path: &Path, text: &str) -> io::Result<bool> {
    attribute::set(path, text)
}

/// Returns what was recorded with a file.
pub(super) fn recorded(path: &Path) -> io::Result<Option<String>> {
    Ok(text(attribute::get(path)?))
}

/// Returns what was recorded with an open file.
pub(super) fn recorded_with(file: &File) -> io::Result<Option<String>> {
    Ok(text(attribute::get_of(file)?))
}

fn text(text: Option<Vec<u8>>) -> Option<String> {
    String::from_utf8(text?).ok()
}
