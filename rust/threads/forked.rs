//! State of a process that a forked child can use.
//!
//! A fork copies the memory and the one thread that calls it. A lock that another thread holds at
//! that moment stays locked in the child, and a [`OnceLock`] that another thread is
//! filling stays unfinished. So each state here has spare slots: a child waits only a moment for a
//! slot that it finds taken, and then uses the next one, which is empty.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, TryLockError};
use std::time::Duration;

/// A process loses one at most, in a fork that comes while another thread is in [`ForkLock::with`].
const SLOTS: usize = 4;

/// Milliseconds that a child waits for a slot: other threads of its own have it for less.
const PATIENCE: usize = 50;

/// A value behind a lock, none at first, and none again in a child that cannot have the parent's.
#[derive(Debug)]
pub struct ForkLock<T> {
    slots: [Mutex<Option<T>>; SLOTS],
    slot: AtomicUsize,
    /// The process that has had the lock of the slot, so that its threads can wait for each other.
    process: AtomicU32,
}

impl<T> ForkLock<T> {
    /// No value.
    pub const fn new() -> Self {
        Self {
            slots: [const { Mutex::new(None) }; SLOTS],
            slot: AtomicUsize::new(0),
            process: AtomicU32::new(0),
        }
    }

    /// Runs `work` on the value. It must be short, as others wait, and must not take this lock.
    pub fn with<R>(&self, work: impl FnOnce(&mut Option<T>) -> R) -> R {
        let (_, mut value) = self.lock();
        work(&mut value)
    }

    /// The slot in use, locked.
    fn lock(&self) -> (usize, MutexGuard<'_, Option<T>>) {
        let process = std::process::id();
        if self.process.load(Ordering::Acquire) == process {
            let slot = self.slot.load(Ordering::Relaxed);
            let guard = self.slots[slot].lock();
            return (slot, guard.unwrap_or_else(|poisoned| poisoned.into_inner()));
        }
        loop {
            let slot = self.slot.load(Ordering::Relaxed);
            for _ in 0..PATIENCE {
                let guard = match self.slots[slot].try_lock() {
                    Ok(guard) => guard,
                    Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                    Err(TryLockError::WouldBlock) => {
                        std::thread::sleep(Duration::from_millis(1));
                        continue;
                    }
                };
                self.process.store(process, Ordering::Release);
                return (slot, guard);
            }
            let next = (slot + 1) % SLOTS;
            // Where another thread was faster, the slot is the next one already.
            let (set, known) = (Ordering::Relaxed, Ordering::Relaxed);
            let _ = (self.slot).compare_exchange(slot, next, set, known);
        }
    }
}

impl<T> Default for ForkLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A value that is made at the first call.
#[derive(Debug)]
pub struct ForkCell<T> {
    /// Each is filled by the holder of the lock's slot of the same number, and by no other.
    cells: [OnceLock<T>; SLOTS],
    lock: ForkLock<()>,
}

impl<T> ForkCell<T> {
    /// No value yet.
    pub const fn new() -> Self {
        Self {
            cells: [const { OnceLock::new() }; SLOTS],
            lock: ForkLock::new(),
        }
    }

    /// The value, where there is one.
    pub fn get(&self) -> Option<&T> {
        self.cells.iter().find_map(OnceLock::get)
    }

    /// The value. Two threads may both make it, as neither waits for the other: `make` must give
    /// the same each time.
    pub fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let made = make();
        let (slot, _guard) = self.lock.lock();
        match self.get() {
            Some(value) => value,
            None => self.cells[slot].get_or_init(|| made),
        }
    }
}

impl<T> Default for ForkCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a child sees: a slot that nobody will free, and the number of another process.
    #[test]
    fn a_child_passes_over_a_slot_that_was_taken() {
        let lock = ForkLock::new();
        lock.with(|value| *value = Some(1));
        let taken = lock.slots[0].lock().unwrap();
        lock.process.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(lock.with(|value| value.replace(2)), None);
        assert_eq!(lock.with(|value| *value), Some(2));
        drop(taken);
        assert_eq!(lock.with(|value| *value), Some(2));
    }

    #[test]
    fn a_child_keeps_a_value_that_is_free() {
        let lock = ForkLock::new();
        lock.with(|value| *value = Some(1));
        lock.process.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(lock.with(|value| *value), Some(1));
    }

    #[test]
    fn a_child_fills_the_next_cell_where_one_was_being_filled() {
        let cell = ForkCell::new();
        let taken = cell.lock.slots[0].lock().unwrap();
        cell.lock.process.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(*cell.get_or_make(|| 5), 5);
        drop(taken);
        assert_eq!(*cell.get_or_make(|| 6), 5);
        assert!(cell.cells[0].get().is_none());
    }

    #[test]
    fn a_value_that_could_not_be_made_is_made_later() {
        let cell = ForkCell::new();
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            cell.get_or_make(|| std::panic::resume_unwind(Box::new(())))
        }));
        assert!(failed.is_err() && cell.get().is_none());
        assert_eq!(*cell.get_or_make(|| 7), 7);
    }
}
