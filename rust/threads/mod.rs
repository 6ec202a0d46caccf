//! The threads that batches run on: one pool per process. Results do not depend on the number of
//! threads.
//!
//! All parallel work of the crate goes through [`for_each`], [`try_for_each`] and [`map`], which
//! give items to threads one by one. No other module names the library behind the pool, so nothing
//! runs on the global pool of that library.
//!
//! - **One thread** is the caller's own: no other thread is started or waited for.
//! - **A forked child** has none of the threads of its parent. It does not touch the pool that it
//!   inherited, and starts its own at the first use ([`forked`]).
//! - **Many calls at once.** Each call has one thread of the pool, or the thread of its caller if
//!   all are taken. Threads that help other calls return to the pool when a call waits. So no call
//!   waits for the end of another.
//! - **Stopping a call** is possible between any two items ([`interruptible`]), and during work of
//!   another library, which a thread of its own does then ([`apart()`]).

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

mod apart;
pub mod forked;
mod interrupt;
mod pool;
mod share;

pub use apart::apart;
pub use interrupt::{Answer, check, interruptible};
pub use pool::run;
pub use share::{for_each, map, map_with, try_for_each};

/// The most threads that can be set: starting tens of thousands takes minutes, and no machine is
/// faster with them.
pub const MAX_THREADS: usize = 1024;

/// The number of threads that was set, or 0.
static CONFIGURED: AtomicUsize = AtomicUsize::new(0);

/// Uses `count` threads from now on. Running calls may keep the threads that they have.
///
/// # Errors
/// If it is 0 or above [`MAX_THREADS`], or if the system cannot start as many.
pub fn set_num_threads(count: usize) -> Result<()> {
    if !(1..=MAX_THREADS).contains(&count) {
        return Err(Error::invalid(format!(
            "threads={count}, expected 1 to {MAX_THREADS}"
        )));
    }
    pool::start(count)
        .map_err(|reason| Error::invalid(format!("cannot start {count} threads: {reason}")))?;
    CONFIGURED.store(count, Ordering::Relaxed);
    Ok(())
}

/// The number of threads in use: the number that was set, also in a forked child; otherwise
/// `RAYON_NUM_THREADS`; otherwise the number of cores.
pub fn num_threads() -> usize {
    static DEFAULT: AtomicUsize = AtomicUsize::new(0);
    let known = |count: &AtomicUsize| match count.load(Ordering::Relaxed) {
        0 => None,
        count => Some(count),
    };
    known(&CONFIGURED)
        .or_else(|| known(&DEFAULT))
        .unwrap_or_else(|| {
            let named = std::env::var("RAYON_NUM_THREADS").ok();
            let named = named.and_then(|text| text.parse().ok());
            let count = named.filter(|&count| count > 0).unwrap_or_else(|| {
                std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
            });
            DEFAULT.store(count, Ordering::Relaxed);
            count
        })
}
