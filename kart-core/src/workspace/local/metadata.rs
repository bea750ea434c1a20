//! What is recorded with a file, as an extended attribute of it.

use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
mod attribute {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    use rustix::fs::{XattrFlags, fgetxattr, fsetxattr, getxattr};
    use rustix::io::Errno;

    const NAME: &str = "user.kart";

    /// More than most provenance has, and more than any.
    const USUAL: usize = 512;
    const LONGEST: usize = 4096;

    pub(super) fn set(file: &File, text: &str) -> io::Result<()> {
        match fsetxattr(file, NAME, text.as_bytes(), XattrFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::NOTSUP | Errno::NOSYS | Errno::PERM | Errno::ACCESS) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn get(path: &Path) -> io::Result<Option<Vec<u8>>> {
        read(|text| getxattr(path, NAME, text))
    }

    pub(super) fn get_of(file: &File) -> io::Result<Option<Vec<u8>>> {
        read(|text| fgetxattr(file, NAME, text))
    }

    fn read(get: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> io::Result<Option<Vec<u8>>> {
        match read_at_most::<USUAL>(&get) {
            Err(Errno::RANGE) => {}
            read => return of(read),
        }
        of(read_at_most::<LONGEST>(&get))
    }

    fn read_at_most<const N: usize>(
        get: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    ) -> Result<Vec<u8>, Errno> {
        let mut text = [0; N];
        let length = get(&mut text)?;
        Ok(text[..length].to_vec())
    }

    fn of(read: Result<Vec<u8>, Errno>) -> io::Result<Option<Vec<u8>>> {
        match read {
            Ok(text) => Ok(Some(text)),
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

    pub(super) fn set(_: &File, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn get(_: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    pub(super) fn get_of(_: &File) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

/// Records a text with a file.
///
/// # Errors
///
/// The file system keeps no such metadata, for one.
pub(super) fn record(file: &File, text: &str) -> io::Result<()> {
    attribute::set(file, text)
}

/// Returns whether the file system keeps no metadata.
pub(super) fn is_without_metadata(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
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
