//! The pool of this process, and how a call gets a thread of it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rayon::{Scope, ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use super::forked::ForkLock;
use super::interrupt::{self, ASK_INTERVAL, Call};
use super::num_threads;

/// A pool of threads, with the number of calls that use it.
pub(super) struct Pool {
    pub threads: ThreadPool,
    pub count: usize,
    process: u32,
    /// Calls that have a thread or wait for one.
    calls: AtomicUsize,
    /// Calls that wait for a thread.
    waiting: AtomicUsize,
}

static POOL: ForkLock<Arc<Pool>> = ForkLock::new();

/// Where the work of this thread runs.
#[derive(Clone, Default)]
pub(super) enum Place {
    /// On the pool, from the first work that can be shared.
    #[default]
    Outside,
    /// On this thread only.
    Alone,
    /// On the pool that this thread belongs to.
    Inside(Arc<Pool>),
}

thread_local! {
    static PLACE: RefCell<Place> = const { RefCell::new(Place::Outside) };
}

impl Place {
    pub(super) fn here() -> Self {
        PLACE.with_borrow(Self::clone)
    }

    /// Runs `work` in this place.
    pub(super) fn within<R>(self, work: impl FnOnce() -> R) -> R {
        struct Restore(Place);
        impl Drop for Restore {
            fn drop(&mut self) {
                PLACE.replace(std::mem::take(&mut self.0));
            }
        }
        let _before = Restore(PLACE.replace(self));
        work()
    }
}

/// Whether this thread already works for a call. If it started other work while it waits for the
/// helpers of that call, the call would have to wait.
pub(super) fn is_busy() -> bool {
    PLACE.with_borrow(|place| !matches!(place, Place::Outside))
}

impl Pool {
    fn new(count: usize) -> Result<Arc<Self>, ThreadPoolBuildError> {
        let threads = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|place| format!("blockquant-{place}"))
            .build()?;
        Ok(Arc::new(Self {
            threads,
            count,
            process: std::process::id(),
            calls: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        }))
    }

    fn serves(&self, count: usize) -> bool {
        self.count == count && self.process == std::process::id()
    }

    /// Whether a call waits for a thread.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// A thread for a call, or none if other calls use all of them.
    fn seat(&self) -> Option<Seat<'_>> {
        let seat = Seat(&self.calls);
        (self.calls.fetch_add(1, Ordering::Relaxed) < self.count).then_some(seat)
    }
}

/// A call that is counted until it is dropped.
struct Seat<'a>(&'a AtomicUsize);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The current pool, if it has `count` threads in this process.
fn serving(count: usize) -> Option<Arc<Pool>> {
    POOL.with(|pool| pool.as_ref().filter(|pool| pool.serves(count)).cloned())
}

/// Replaces the current pool by another one or by none.
fn replace(pool: Option<Arc<Pool>>) {
    let before = POOL.with(|slot| std::mem::replace(slot, pool));
    if before
        .as_ref()
        .is_some_and(|pool| pool.process != std::process::id())
    {
        // Its threads belong to the parent process. Dropping the pool would take locks that they
        // may hold.
        std::mem::forget(before);
    }
}

/// Makes a pool of `count` threads the current one.
pub(super) fn start(count: usize) -> Result<(), ThreadPoolBuildError> {
    if count == 1 {
        replace(None);
    } else if serving(count).is_none() {
        replace(Some(Pool::new(count)?));
    }
    Ok(())
}

/// The pool of this process. None for one thread, or if the system cannot start threads. The
/// calling threads then do the work, with the same result.
fn current() -> Option<Arc<Pool>> {
    let count = num_threads();
    if count == 1 {
        return None;
    }
    serving(count).or_else(|| {
        // This is done outside the lock, which must be held briefly.
        let made = Pool::new(count).ok()?;
        replace(Some(made.clone()));
        Some(made)
    })
}

/// Runs `work` on a thread of the pool. Entering the pool takes about 50 µs, which the loops in
/// `work` then do not pay again. With one thread, if other calls use all threads, or on a thread of
/// the pool, `work` runs on this thread.
pub fn run<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    if is_busy() {
        return work();
    }
    let pool = current();
    let seat = pool.as_ref().and_then(|pool| Some((pool, pool.seat()?)));
    let Some((pool, _seat)) = seat else {
        return Place::Alone.within(work);
    };
    let (mut result, over) = (None, Over::default());
    let call = Call::for_helpers();
    pool.waiting.fetch_add(1, Ordering::Relaxed);
    pool.threads.in_place_scope(|scope| {
        let (slot, end) = (&mut result, End(&over));
        scope.spawn(move |scope| {
            begin(scope, move || {
                let _end = end;
                pool.waiting.fetch_sub(1, Ordering::Relaxed);
                let inside = Place::Inside(pool.clone());
                *slot = Some(call.within(|| inside.within(work)));
            });
        });
        over.wait();
    });
    result.unwrap_or_else(|| unreachable!("the scope ends after its tasks, or unwinds"))
}

/// Starts a call on this thread, or passes it to another thread if this one is busy.
fn begin<'s>(scope: &Scope<'s>, start: impl FnOnce() + Send + 's) {
    if is_busy() {
        scope.spawn(|scope| begin(scope, start));
        std::thread::yield_now();
    } else {
        start();
    }
}

/// Whether a call is over. Its caller waits for this, and asks meanwhile whether to stop.
#[derive(Default)]
struct Over {
    is_over: Mutex<bool>,
    told: Condvar,
}

impl Over {
    /// Returns at the end of the call, or at once if there is nothing to ask, because the scope
    /// waits anyway.
    fn wait(&self) {
        let mut is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_over && interrupt::asks() {
            let waited = self.told.wait_timeout(is_over, ASK_INTERVAL);
            is_over = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !*is_over {
                drop(is_over);
                interrupt::is_stopped();
                is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// Signals the end of a call when it is dropped, also during unwinding.
struct End<'a>(&'a Over);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let is_over = self.0.is_over.lock();
        *is_over.unwrap_or_else(PoisonError::into_inner) = true;
        self.0.told.notify_one();
    }
}
