//! The threads that batches run on: one pool per process.
//!
//! All parallel work of the crate goes through [`for_each`], [`try_for_each`] and [`map`], which
//! give items to threads one by one. No other module names the library behind the pool, so nothing
//! falls to that library's own global pool.
//!
//! - **One thread** is the caller's own: no other is started or waited for.
//! - **A forked child** has none of the threads of its parent. It leaves the pool that it inherited
//!   as it is and starts its own at the first use ([`forked`]).
//! - **Many calls at once.** Each has a thread of the pool for itself, or where all are taken its
//!   caller's; threads that only help leave for a call that waits. So no call waits for the end of
//!   another.
//! - **To stop a call** see [`interruptible`]; each item is a place where it can stop.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

pub mod forked;
mod interrupt;
mod pool;
mod share;

pub use interrupt::{Answer, check, interruptible};
pub use pool::run;
pub use share::{for_each, map, map_with, try_for_each};

/// Threads that were set; 0 where none were.
static SET: AtomicUsize = AtomicUsize::new(0);

/// Uses `count` threads from now on; what is running may go on with those it has.
///
/// # Errors
/// If it is 0, or the system cannot start as many.
pub fn set_num_threads(count: usize) -> Result<()> {
    if count == 0 {
        return Err(Error::invalid("0 threads, expected at least 1"));
    }
    pool::start(count)
        .map_err(|reason| Error::invalid(format!("cannot start {count} threads: {reason}")))?;
    SET.store(count, Ordering::Relaxed);
    Ok(())
}

/// Threads in use: those set, in a forked child too; else `RAYON_NUM_THREADS`; else all cores.
pub fn num_threads() -> usize {
    static USUAL: AtomicUsize = AtomicUsize::new(0);
    let known = |count: &AtomicUsize| match count.load(Ordering::Relaxed) {
        0 => None,
        count => Some(count),
    };
    known(&SET).or_else(|| known(&USUAL)).unwrap_or_else(|| {
        let named = std::env::var("RAYON_NUM_THREADS").ok();
        let named = named.and_then(|text| text.parse().ok());
        let count = named.filter(|&count| count > 0).unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        });
        USUAL.store(count, Ordering::Relaxed);
        count
    })
}
