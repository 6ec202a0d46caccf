//! A file that is replaced at once or not at all.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};

/// A new file, removed if it does not get its name.
struct Temporary {
    path: PathBuf,
    is_named: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_named {
            // There is nothing left to do about a file that cannot be removed, and an error is on its way.
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
            // Left by a process of that number that was killed.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Puts what `fill` writes in the place of the file at `path`: a new file in the same folder, on the disk before it takes the name.
///
/// Of a link the file is replaced that it leads to. The permissions of the file that is replaced are kept (on Unix).
pub(super) fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let io = |error: std::io::Error| Error::io(path.display().to_string(), &error);
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let (mut temporary, mut file) = create(folder).map_err(io)?;
    #[cfg(unix)] // Elsewhere a permission may forbid the renaming.
    if let Ok(old) = fs::metadata(&target) {
        file.set_permissions(old.permissions()).map_err(io)?;
    }
    fill(&mut file).map_err(|error| error.at(path))?;
    file.sync_all().map_err(io)?;
    drop(file); // Windows renames no open file.
    fs::rename(&temporary.path, &target).map_err(io)?;
    temporary.is_named = true;
    #[cfg(unix)]
    if let Ok(folder) = File::open(folder) {
        // The file is whole under either name; a file system that cannot sync a folder is no reason to fail.
        let _ = folder.sync_all();
    }
    Ok(())
}
