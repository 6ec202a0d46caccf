//! The pool of threads that batches run on.

use std::sync::{Arc, OnceLock, RwLock};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

fn slot() -> &'static RwLock<Option<Arc<ThreadPool>>> {
    static POOL: OnceLock<RwLock<Option<Arc<ThreadPool>>>> = OnceLock::new();
    POOL.get_or_init(RwLock::default)
}

/// Uses `count` threads from now on; running batches keep theirs.
pub fn set_num_threads(count: usize) -> Result<()> {
    if count == 0 {
        return Err(Error::invalid("0 threads, expected at least 1"));
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(count)
        .build()
        .map_err(|error| Error::invalid(format!("cannot start {count} threads: {error}")))?;
    let mut slot = slot()
        .write()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    *slot = Some(Arc::new(pool));
    Ok(())
}

/// Threads in use: those set, else rayon's default (all cores, or `RAYON_NUM_THREADS`).
pub fn num_threads() -> usize {
    run(rayon::current_num_threads)
}

/// Runs `work` on the pool.
pub fn run<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let pool = slot()
        .read()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .clone();
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}
