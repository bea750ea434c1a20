//! The objects below a directory, past whatever else lies there.

use std::{
    fs::{self, DirEntry},
    io,
};

use super::super::ObjectInfo;
use super::super::layout::{self, TEMPORARIES};
use super::disk::Disk;

impl Disk {
    /// The objects below a prefix. What cannot be read is no object: somebody else has put it there. It is named in the
    /// log and left out, unless it is one of kart's own directories or the prefix itself.
    pub(super) fn objects(&self, prefix: &str) -> io::Result<Vec<ObjectInfo>> {
        let mut entries = Vec::new();
        let mut directories = vec![prefix.to_owned()];
        while let Some(directory) = directories.pop() {
            let listed = match self.found(fs::read_dir(self.whole(&directory))) {
                Ok(Some(listed)) => listed,
                Ok(None) => continue,
                Err(error) if directory == prefix => return Err(error),
                Err(error) => {
                    leave_out(&directory, error)?;
                    continue;
                }
            };
            for entry in listed {
                let entry = entry?;
                // A name that is not UTF-8 is none of kart's.
                let Ok(name) = entry.file_name().into_string() else {
                    continue;
                };
                let path = match directory.as_str() {
                    "" => name,
                    directory => format!("{directory}/{name}"),
                };
                if !entry.file_type()?.is_dir() {
                    match self.object(&entry, &path) {
                        Ok(object) => entries.extend(object),
                        Err(error) => leave_out(&path, error)?,
                    }
                } else if path != TEMPORARIES {
                    directories.push(path);
                }
            }
        }
        Ok(entries)
    }

    /// A link counts as the file it leads to. Linked directories are not followed: they can lead in a circle.
    fn object(&self, entry: &DirEntry, path: &str) -> io::Result<Option<ObjectInfo>> {
        let meta = self.found(fs::metadata(entry.path()))?;
        let Some(meta) = meta.filter(fs::Metadata::is_file) else {
            return Ok(None);
        };
        Ok(Some(ObjectInfo {
            path: path.to_owned(),
            bytes: meta.len(),
            modified: meta.modified()?,
        }))
    }
}

fn leave_out(path: &str, error: io::Error) -> io::Result<()> {
    if layout::is_own(path) {
        return Err(error);
    }
    let error = error.to_string();
    tracing::warn!(
        path,
        error,
        "kart cannot read this entry of the workspace and leaves it out"
    );
    Ok(())
}
