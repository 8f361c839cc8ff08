//! A file that must not change between one look and the next.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use blake3::{Hash, Hasher};
use flowrun_core::table::TableError;
use serde::Serialize;

/// What identifies the content of a file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// The path as it was given.
    pub path: PathBuf,
    /// The size in bytes.
    pub size: u64,
    /// The BLAKE3 digest of the bytes, in hexadecimal.
    pub digest: String,
}

/// A file before its first reading.
pub(super) struct Unread {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    modified: Option<SystemTime>,
}

/// A file that was read to its end once.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) facts: FileFacts,
    /// When it was written last, where the file system says so.
    modified: Option<SystemTime>,
}

impl Unread {
    pub(super) fn open(path: &Path) -> Result<Self, TableError> {
        let file = File::open(path).map_err(|e| unopened(path, &e))?;
        let metadata = file.metadata().map_err(|e| unread(path, &e))?;
        let name = path.display();
        if !metadata.is_file() {
            let message = format!("`{name}` is no ordinary file, and a table is read more than once");
            return Err(TableError::new("table.not_a_file", message).with_help("name a file"));
        }
        if metadata.len() == 0 {
            return Err(TableError::new(
                "table.empty_file",
                format!("`{name}` is empty: it has not even columns"),
            ));
        }
        let modified = metadata.modified().ok();
        Ok(Self { file, path: path.to_owned(), size: metadata.len(), modified })
    }

    /// The file's name in a message.
    pub(super) fn name(&self) -> String {
        format!("`{}`", self.path.display())
    }

    pub(super) fn failed(&self, error: &io::Error) -> TableError {
        unread(&self.path, error)
    }

    /// A reader of the bytes that digests them.
    pub(super) fn hashing(&self) -> Hashing<&File> {
        Hashing { reader: &self.file, hasher: Hasher::new(), bytes: 0 }
    }

    /// The file, now that these bytes were read from it.
    pub(super) fn known(self, (bytes, digest): (u64, Hash)) -> Result<Known, TableError> {
        let metadata = self.file.metadata().map_err(|e| unread(&self.path, &e))?;
        if bytes != self.size || !same(&metadata, self.size, self.modified) {
            return Err(changed(&self.path));
        }
        let digest = digest.to_hex().to_string();
        Ok(Known { facts: FileFacts { path: self.path, size: self.size, digest }, modified: self.modified })
    }
}

impl Known {
    /// The file's name in a message.
    pub(super) fn name(&self) -> String {
        format!("`{}`", self.facts.path.display())
    }

    pub(super) fn failed(&self, error: &io::Error) -> TableError {
        unread(&self.facts.path, error)
    }

    pub(super) fn changed(&self) -> TableError {
        changed(&self.facts.path)
    }

    /// Opens the file again and checks that size and time are what they were.
    pub(super) fn reopen(&self) -> Result<File, TableError> {
        let path = &self.facts.path;
        let file = File::open(path).map_err(|e| unopened(path, &e))?;
        let metadata = file.metadata().map_err(|e| unread(path, &e))?;
        if same(&metadata, self.facts.size, self.modified) { Ok(file) } else { Err(self.changed()) }
    }
}

fn same(metadata: &Metadata, size: u64, modified: Option<SystemTime>) -> bool {
    metadata.len() == size && metadata.modified().ok() == modified
}

/// Passes bytes on and digests them.
pub(super) struct Hashing<R> {
    reader: R,
    hasher: Hasher,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    /// How many bytes passed, to the end, and their digest. What was not read yet is read now.
    pub(super) fn finish(mut self) -> io::Result<(u64, Hash)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((self.bytes, self.hasher.finalize()))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

fn unopened(path: &Path, error: &io::Error) -> TableError {
    match error.kind() {
        io::ErrorKind::NotFound => {
            TableError::new("table.missing_file", format!("there is no file `{}`", path.display()))
                .with_help("check the path and the folder that it is relative to")
        }
        io::ErrorKind::IsADirectory => {
            TableError::new("table.not_a_file", format!("`{}` is a folder", path.display()))
                .with_help("name a file")
        }
        _ => unread(path, error),
    }
}

fn unread(path: &Path, error: &io::Error) -> TableError {
    TableError::new("table.unreadable", format!("`{}` could not be read: {error}", path.display()))
}

fn changed(path: &Path) -> TableError {
    TableError::new("table.changed", format!("`{}` has changed since it was opened", path.display()))
        .with_help("let nothing write to the file while it is read, and run again")
}
