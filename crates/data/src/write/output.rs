//! Bytes on their way to a file that is not there yet.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use blake3::{Hash, Hasher};
use flowrun_core::table::TableError;

/// Counts and digests the bytes that pass, and knows where they are to stand in the end.
pub(super) struct Output {
    sink: Box<dyn Write + Send>,
    place: Option<Place>,
    /// What was named as the target, if anything was.
    named: Option<PathBuf>,
    bytes: u64,
    hasher: Hasher,
    /// The first failure of the sink: encoders wrap it, each in its own way.
    failed: Option<(ErrorKind, String)>,
}

/// A temporary file beside its target; removed where it was not renamed.
struct Place {
    partial: PathBuf,
    target: PathBuf,
    file: File,
}

impl Drop for Place {
    fn drop(&mut self) {
        // After a rename there is nothing of this name, and where removing fails, nobody is left to be told.
        let _ = fs::remove_file(&self.partial);
    }
}

impl Output {
    /// Bytes for a stream.
    pub(super) fn stream(sink: Box<dyn Write + Send>) -> Self {
        Self { sink, place: None, named: None, bytes: 0, hasher: Hasher::new(), failed: None }
    }

    /// Bytes for a file.
    pub(super) fn file(path: &Path) -> Result<Self, TableError> {
        let refuse = |error: &io::Error| failure(error.kind(), &error.to_string(), Some(path), true);
        let target = match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(refuse(&ErrorKind::IsADirectory.into())),
            Ok(found) if !found.is_file() => {
                let sink = OpenOptions::new().write(true).open(path).map_err(|e| refuse(&e))?;
                return Ok(Self { named: Some(path.to_owned()), ..Self::stream(Box::new(sink)) });
            }
            // A link stays one: what it leads to is replaced.
            Ok(_) => fs::canonicalize(path).map_err(|e| refuse(&e))?,
            Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(refuse(&error)),
        };
        let place = Place::create(target).map_err(|e| refuse(&e))?;
        let sink = place.file.try_clone().map_err(|e| refuse(&e))?;
        Ok(Self { place: Some(place), named: Some(path.to_owned()), ..Self::stream(Box::new(sink)) })
    }

    /// The same place behind another writer, to see what happens when that one fails.
    #[cfg(test)]
    pub(super) fn through(self, sink: Box<dyn Write + Send>) -> Self {
        Self { sink, ..self }
    }

    /// The error for a failure of an encoder over this output: the sink's own, where it failed, else the encoder's.
    pub(super) fn error(&self, encoder: &dyn std::fmt::Display) -> TableError {
        let (path, stays) = (self.named.as_deref(), self.place.is_some());
        match &self.failed {
            Some((kind, text)) => failure(*kind, text, path, stays),
            None => failure(ErrorKind::Other, &encoder.to_string(), path, stays),
        }
    }

    /// Brings the bytes to the disk and the file to its place. Gives the count and the digest of the bytes.
    pub(super) fn commit(mut self) -> Result<(u64, Hash), TableError> {
        self.settle().map_err(|e| {
            self.failed.get_or_insert((e.kind(), e.to_string()));
            self.error(&e)
        })?;
        Ok((self.bytes, self.hasher.finalize()))
    }

    fn settle(&mut self) -> io::Result<()> {
        self.sink.flush()?;
        if let Some(place) = &self.place {
            place.file.sync_all()?;
            fs::rename(&place.partial, &place.target)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.sink.write(bytes) {
            Ok(taken) => {
                self.hasher.update(&bytes[..taken]);
                self.bytes += taken as u64;
                Ok(taken)
            }
            Err(error) => {
                if error.kind() != ErrorKind::Interrupted {
                    self.failed.get_or_insert((error.kind(), error.to_string()));
                }
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush().inspect_err(|error| {
            self.failed.get_or_insert((error.kind(), error.to_string()));
        })
    }
}

impl Place {
    /// A new file beside the target: `.NAME.partial`, or with a number where somebody else writes or was stopped there.
    fn create(target: PathBuf) -> io::Result<Self> {
        const MOST: u32 = 1000;
        let Some(name) = target.file_name() else { return Err(ErrorKind::InvalidFilename.into()) };
        let name = name.to_string_lossy().into_owned();
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut number = 1;
        loop {
            let partial = match number {
                1 => folder.join(format!(".{name}.partial")),
                _ => folder.join(format!(".{name}.{number}.partial")),
            };
            match OpenOptions::new().write(true).create_new(true).open(&partial) {
                Ok(file) => return Ok(Self { partial, target, file }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && number < MOST => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a failed write means, by its kind; `stays`: what stood in the target's place does so still.
fn failure(kind: ErrorKind, cause: &str, path: Option<&Path>, stays: bool) -> TableError {
    let target = path.map_or_else(|| "the output".to_owned(), |path| format!("`{}`", path.display()));
    let kept = if stays { "; the file is as it was, and nothing was left beside it" } else { "" };
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            TableError::new("write.disk_full", format!("{target} could not be written: the disk is full{kept}"))
                .with_help("make room and run again, or write to another disk")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            TableError::new("write.denied", format!("{target} could not be written: {cause}"))
                .with_help("write to a folder that you may write to")
        }
        ErrorKind::IsADirectory => {
            TableError::new("write.is_directory", format!("{target} is a folder, not a file"))
                .with_help("name a file in it")
        }
        ErrorKind::BrokenPipe => TableError::new("write.closed", format!("{target} was closed by its reader")),
        _ => TableError::new("write.failed", format!("{target} could not be written: {cause}{kept}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_failure_have_codes() {
        for (kind, code) in [
            (ErrorKind::StorageFull, "write.disk_full"),
            (ErrorKind::QuotaExceeded, "write.disk_full"),
            (ErrorKind::PermissionDenied, "write.denied"),
            (ErrorKind::ReadOnlyFilesystem, "write.denied"),
            (ErrorKind::BrokenPipe, "write.closed"),
            (ErrorKind::Other, "write.failed"),
        ] {
            assert_eq!(failure(kind, "x", None, false).code, code);
        }
    }
}
