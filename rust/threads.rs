//! The pool of threads that batches run on.

use std::sync::{Arc, OnceLock, RwLock};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

fn slot() -> &'static RwLock<Option<Arc<ThreadPool>>> {
    static POOL: OnceLock<RwLock<Option<Arc<ThreadPool>>>> = OnceLock::new();
    POOL.get_or_init(RwLock::default)
}

/// Uses `count` threads from now on; what is running may go on with those it has.
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
    current().map_or_else(rayon::current_num_threads, |pool| {
        pool.current_num_threads()
    })
}

fn current() -> Option<Arc<ThreadPool>> {
    (slot().read())
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .clone()
}

/// Runs `work` on the pool.
pub fn run<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match current() {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// Runs `work`, which shares its work by [`map`] only, on the pool: or here where that has one thread. To hand work to another thread takes some 50 µs,
/// a search of 50,000 rows no more than twice that.
pub fn run_here<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    if num_threads() == 1 {
        work()
    } else {
        run(work)
    }
}

/// `work(place, item)` of each item, in order: on the pool, or here where there is nothing to share.
pub fn map<I: Send, T: Send>(items: Vec<I>, work: impl Fn(usize, I) -> T + Sync + Send) -> Vec<T> {
    if items.len() < 2 || num_threads() == 1 {
        return (items.into_iter().enumerate())
            .map(|(place, item)| work(place, item))
            .collect();
    }
    run(|| {
        let items = items.into_par_iter().enumerate();
        items.map(|(place, item)| work(place, item)).collect()
    })
}
