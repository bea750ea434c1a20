//! A value that is a file: too large for memory, or made by another program.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempPath;

use super::{Csv, Format, Json, JsonLines, MessagePack, Raw, Text};
use crate::BoxError;

/// An output, or a required value, as a file on the local disk: for what is too large for memory, and for what
/// other programs write or read.
///
/// A body makes one with [`Context::new_file`](crate::Context::new_file) or
/// [`Context::writer`](crate::Context::writer) and returns it. Its bytes are stored as they are, whatever the
/// format, moved into a workspace on the same disk and uploaded in parts to a bucket. As a required value it is
/// the stored object itself in a directory, which is read-only, and a copy of it from a bucket, which is deleted when
/// nobody has it any more; [`Context::copy`](crate::Context::copy) gives one that may be changed. Clones are one file.
///
/// # Examples
///
/// ```
/// use std::io::{Read as _, Write as _};
///
/// use kart::{Context, File, Workspace, task};
///
/// #[task(path = "lines/{count}.txt")]
/// fn lines(count: u32, #[context] cx: &Context) -> std::io::Result<File> {
///     let file = cx.new_file()?;
///     let mut lines = std::io::BufWriter::new(file.create()?);
///     for n in 0..count {
///         writeln!(lines, "line {n}")?;
///     }
///     lines.flush()?;
///     Ok(file)
/// }
///
/// #[task]
/// fn count(#[requires(Lines { count: 1000 })] lines: &File) -> std::io::Result<usize> {
///     let mut text = String::new();
///     lines.open()?.read_to_string(&mut text)?;
///     Ok(text.lines().count())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), kart::RunError> {
/// let workspace = Workspace::open("memory://")?;
/// assert_eq!(*kart::build(Count, &workspace).await?, 1000);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct File(Arc<Kind>);

enum Kind {
    /// Deleted when the last clone is dropped.
    Temporary(TempPath),
    Kept(PathBuf),
}

impl File {
    /// The file at a path, which stays where it is: it is copied when it is stored.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        File(Arc::new(Kind::Kept(path.into())))
    }

    /// A file that is deleted when nobody has it any more.
    pub(crate) fn temporary(path: TempPath) -> Self {
        File(Arc::new(Kind::Temporary(path)))
    }

    /// Where it is. Other programs may write to it until it is returned, and read it.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &*self.0 {
            Kind::Temporary(path) => path,
            Kind::Kept(path) => path,
        }
    }

    /// Whether it may be moved away.
    #[cfg(feature = "fs")]
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(*self.0, Kind::Temporary(_))
    }

    /// Opens it for reading.
    ///
    /// # Errors
    ///
    /// It is not there, or may not be read.
    pub fn open(&self) -> io::Result<std::fs::File> {
        std::fs::File::open(self.path())
    }

    /// Opens it for writing, empty.
    ///
    /// # Errors
    ///
    /// It may not be written.
    pub fn create(&self) -> io::Result<std::fs::File> {
        std::fs::File::create(self.path())
    }

    /// Makes sure that it can be stored.
    ///
    /// # Errors
    ///
    /// It is not there, or is no regular file.
    pub(crate) fn ensure_regular(&self) -> io::Result<()> {
        let path = self.path();
        let refused = |kind: io::ErrorKind, what: &str| {
            let text = format!("the file `{}` {what}", path.display());
            Err(io::Error::new(kind, text))
        };
        let kind = match path.symlink_metadata() {
            Ok(found) => found.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return refused(error.kind(), "does not exist");
            }
            Err(error) => return Err(error),
        };
        if kind.is_file() {
            return Ok(());
        }
        let what = if kind.is_dir() {
            "is a directory: return one file, such as an archive of it"
        } else if kind.is_symlink() {
            "is a symbolic link: return the file that it leads to"
        } else {
            "is no regular file"
        };
        refused(io::ErrorKind::InvalidInput, what)
    }

    /// How many bytes it has.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.path().metadata()?.len())
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("File").field(&self.path()).finish()
    }
}

/// A file under any format is stored as it is. The runtime moves files without these functions; they are for
/// whoever uses a format by itself.
macro_rules! as_it_is {
    ($($(#[$cfg:meta])? $format:ty, $extension:literal;)+) => {
        $($(#[$cfg])?
        #[diagnostic::do_not_recommend]
        impl Format<File> for $format {
            const EXTENSION: &'static str = $extension;
            const STORES_FILES: bool = true;

            fn encode(file: &File) -> Result<Bytes, BoxError> {
                Ok(std::fs::read(file.path())?.into())
            }

            fn decode(bytes: Bytes) -> Result<File, BoxError> {
                let mut file = tempfile::NamedTempFile::new()?;
                io::Write::write_all(&mut file, &bytes)?;
                Ok(File::temporary(file.into_temp_path()))
            }
        })+
    };
}

as_it_is! {
    Raw, "bin";
    Text, "txt";
    Json, "json";
    JsonLines, "jsonl";
    MessagePack, "msgpack";
    Csv, "csv";
    #[cfg(feature = "arrow")]
    super::ArrowIpc, "arrow";
    #[cfg(feature = "parquet")]
    super::Parquet, "parquet";
}
