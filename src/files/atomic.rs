//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::FileError;

/// Names tried for the temporary file; the ones of a process that died may be taken.
const ATTEMPTS: usize = 64;

/// Lets `write` fill a temporary file beside `path`, syncs it, and renames it to `path`. If
/// anything of this fails, `path` is as it was and the temporary file is gone. Last, the directory
/// is synced, so that the name survives a loss of power, where the file system does this; if that
/// fails, `path` is the new file nevertheless.
///
/// ```
/// use std::io::Write;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("labels.txt");
/// dbksvd::files::write_atomically(&path, |file| writeln!(file, "one line"))?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "one line\n");
/// # Ok::<(), dbksvd::error::FileError>(())
/// ```
///
/// # Errors
/// [`FileError::Io`] for whatever the operating system refuses, and for what `write` returns.
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), FileError> {
    let path = path.as_ref();
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    // A directory that cannot be opened is found out while nothing has happened.
    let directory = open_directory(path).map_err(failed)?;
    let (temporary, file) = create_beside(path).map_err(failed)?;
    let written = fill(file, write).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        // The first failure is the one to report, whether or not tidying up succeeds.
        let _ = fs::remove_file(&temporary);
        failed(source)
    })?;
    match directory.map(|directory| directory.sync_all()) {
        Some(Err(error)) if !is_not_offered(&error) => Err(failed(error)),
        _ => Ok(()),
    }
}

fn fill(file: File, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut writer = BufWriter::new(file);
    write(&mut writer)?;
    writer.flush()?;
    writer.get_ref().sync_all()
}

/// The directory of `path`, whose sync makes a rename itself durable, where directories can be
/// opened as files.
fn open_directory(path: &Path) -> io::Result<Option<File>> {
    if !cfg!(unix) {
        return Ok(None);
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new("."))).map(Some)
}

/// Whether this says that the file system does not sync directories.
fn is_not_offered(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// A new file in the directory of `path`: a rename is atomic only within a file system.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    for _ in 0..ATTEMPTS {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{count}.tmp", std::process::id()));
        let temporary = path.with_file_name(temporary);
        match File::create_new(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (temporary, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
