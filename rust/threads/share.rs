//! Items that threads take one by one.
//!
//! The thread that shares them takes items too, so it never waits for another thread to begin.
//! Each item is worked on for itself: the result does not depend on who takes it.

use std::convert::Infallible;
use std::iter::Enumerate;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::interrupt::{Call, check};
use super::pool::{Place, Pool, is_busy, run};

/// What the threads at work on the same items have in common.
struct Team<I, E> {
    /// None after a failure.
    items: Mutex<Option<Enumerate<I>>>,
    /// The failure of the first item that failed.
    failure: Mutex<Option<(usize, E)>>,
    /// Helpers that left while there were items.
    missing: AtomicUsize,
}

impl<I: Iterator, E> Team<I, E> {
    fn next(&self) -> Option<(usize, I::Item)> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.as_mut()?.next()
    }

    /// Ends the work. Every item before this one is taken already, so the first failure is the
    /// same for any number of threads.
    fn fail(&self, place: usize, error: E) {
        *self.items.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.as_ref().is_none_or(|(first, _)| place < *first) {
            *failure = Some((place, error));
        }
    }
}

/// `work(buffers, place, item)` for each item, on all threads, each with `buffers` of its own.
///
/// # Errors
/// That of the first item whose work fails; later items may then be left out.
pub fn try_for_each<I, B, E: Send>(
    items: impl Iterator<Item = I> + Send,
    buffers: impl Fn() -> B + Sync,
    work: impl Fn(&mut B, usize, I) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let most = items.size_hint().1.unwrap_or(usize::MAX);
    let (buffers, work) = (&buffers, &work);
    match Place::here() {
        Place::Inside(pool) if most > 1 => share(&pool, most, items, buffers, work),
        Place::Outside if most > 1 => run(|| match Place::here() {
            Place::Inside(pool) => share(&pool, most, items, buffers, work),
            _ => here(items, buffers, work),
        }),
        _ => here(items, buffers, work),
    }
}

/// [`try_for_each`] of work that cannot fail.
pub fn for_each<I, B>(
    items: impl Iterator<Item = I> + Send,
    buffers: impl Fn() -> B + Sync,
    work: impl Fn(&mut B, usize, I) + Sync,
) {
    let Ok(()) = try_for_each(items, buffers, |buffers, place, item| {
        work(buffers, place, item);
        Ok::<(), Infallible>(())
    });
}

/// `work(place, item)` of each item, in order.
pub fn map<I: Send, T: Send>(items: Vec<I>, work: impl Fn(usize, I) -> T + Sync) -> Vec<T> {
    map_with(items, || (), |(), place, item| work(place, item))
}

/// [`map`] with `buffers` for each thread.
pub fn map_with<I: Send, B, T: Send>(
    items: Vec<I>,
    buffers: impl Fn() -> B + Sync,
    work: impl Fn(&mut B, usize, I) -> T + Sync,
) -> Vec<T> {
    let mut done: Vec<Option<T>> = Vec::new();
    done.resize_with(items.len(), || None);
    let slots = items.into_iter().zip(&mut done);
    for_each(slots, buffers, |buffers, place, (item, slot)| {
        *slot = Some(work(buffers, place, item));
    });
    done.into_iter().flatten().collect()
}

/// All items on this thread.
fn here<I, B, E>(
    items: impl Iterator<Item = I>,
    buffers: impl Fn() -> B,
    work: impl Fn(&mut B, usize, I) -> Result<(), E>,
) -> Result<(), E> {
    let mut own = None;
    for (place, item) in items.enumerate() {
        check();
        work(own.get_or_insert_with(&buffers), place, item)?;
    }
    Ok(())
}

/// The items, of which there are at most `most`, on this thread of the pool and on those that are
/// free.
fn share<I, B, E: Send>(
    pool: &Arc<Pool>,
    most: usize,
    items: impl Iterator<Item = I> + Send,
    buffers: impl Fn() -> B + Sync,
    work: impl Fn(&mut B, usize, I) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let team = Team {
        items: Mutex::new(Some(items.enumerate())),
        failure: Mutex::new(None),
        missing: AtomicUsize::new(pool.count.min(most) - 1),
    };
    let take = |own: &mut Option<B>| {
        let Some((place, item)) = team.next() else {
            return false;
        };
        check();
        if let Err(error) = work(own.get_or_insert_with(&buffers), place, item) {
            team.fail(place, error);
        }
        true
    };
    let call = Call::for_helpers();
    let help = || {
        let leaves = is_busy() || {
            let place = Place::Inside(pool.clone());
            let until_wanted = || {
                let mut own = None;
                while take(&mut own) {
                    if pool.is_wanted() {
                        return true;
                    }
                }
                false
            };
            call.clone().within(|| place.within(until_wanted))
        };
        if leaves {
            team.missing.fetch_add(1, Ordering::Relaxed);
        }
    };
    pool.threads.in_place_scope(|scope| {
        let mut own = None;
        loop {
            if team.missing.load(Ordering::Relaxed) > 0 && !pool.is_wanted() {
                for _ in 0..team.missing.swap(0, Ordering::Relaxed) {
                    scope.spawn(|_| help());
                }
            }
            if !take(&mut own) {
                break;
            }
        }
    });
    let failure = team.failure.into_inner();
    match failure.unwrap_or_else(PoisonError::into_inner) {
        None => Ok(()),
        Some((_, error)) => Err(error),
    }
}
