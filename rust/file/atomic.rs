//! Atomic replacement of a file: the new content appears at once, or the old content stays.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};

/// A new file, which is removed if it does not get its final name.
struct Temporary {
    path: PathBuf,
    is_named: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_named {
            // If the file cannot be removed either, the error that is being returned says more.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A new file in `folder`.
fn create(folder: &Path) -> std::io::Result<(Temporary, File)> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".blockquant-{}-{count}.tmp", std::process::id()));
        match File::create_new(&path) {
            Ok(file) => {
                let is_named = false;
                return Ok((Temporary { path, is_named }, file));
            }
            // A killed process with the same number left this file.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Replaces the file at `path` by what `fill` writes. A new file in the same folder is written and
/// synced to the disk, and then renamed.
///
/// A symlink is followed: its target is replaced. On Unix the permissions of the old file are kept.
pub(crate) fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let io = |error: std::io::Error| Error::io(path.display().to_string(), &error);
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let (mut temporary, mut file) = create(folder).map_err(io)?;
    #[cfg(unix)] // On other systems a permission may forbid renaming the file.
    if let Ok(old) = fs::metadata(&target) {
        file.set_permissions(old.permissions()).map_err(io)?;
    }
    fill(&mut file).map_err(|error| error.at(path))?;
    file.sync_all().map_err(io)?;
    drop(file); // Windows does not rename an open file.
    fs::rename(&temporary.path, &target).map_err(io)?;
    temporary.is_named = true;
    #[cfg(unix)]
    if let Ok(folder) = File::open(folder) {
        // The file is complete under both names, so saving does not fail on a file system that
        // cannot sync a folder.
        let _ = folder.sync_all();
    }
    Ok(())
}
