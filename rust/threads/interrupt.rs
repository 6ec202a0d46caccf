//! Stopping a long call: [`interruptible`] runs the call, and [`check`] marks where it can stop.
//!
//! The calling thread asks from time to time whether to stop, with a function that it was given.
//! The threads that help it read a flag. A call stops by unwinding to `interruptible` without a
//! message: half-done work is dropped on the way, and the functions in between need no error
//! handling. This requires `panic = "unwind"`, the default of Rust.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// The time between two questions of the calling thread.
pub(super) const ASK_INTERVAL: Duration = Duration::from_millis(50);

/// The answer that the calling thread gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Continue,
    /// Stop: the call ends with [`Error::Interrupted`].
    Stop,
    /// Go on, and do not ask again in this call.
    Ignore,
}

/// A call that can be stopped.
#[derive(Debug, Clone, Default)]
pub(super) struct Call {
    /// None if the call cannot be stopped.
    stopped: Option<Arc<AtomicBool>>,
    /// On the calling thread: the function to ask, and the time of the next question.
    ask: Option<(fn() -> Answer, Instant)>,
}

/// The payload of the unwinding.
struct Stopped;

thread_local! {
    static CALL: RefCell<Call> = RefCell::default();
}

/// Restores the previous call when it is dropped.
struct Restore(Option<Call>);

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            CALL.replace(call);
        }
    }
}

impl Call {
    /// The call of this thread, for a thread that helps it.
    pub(super) fn for_helpers() -> Self {
        Self {
            stopped: CALL.with_borrow(|call| call.stopped.clone()),
            ask: None,
        }
    }

    /// Runs `work` as a part of this call.
    pub(super) fn within<R>(self, work: impl FnOnce() -> R) -> R {
        let _before = Restore(Some(CALL.replace(self)));
        work()
    }
}

/// Runs `work`, and asks `ask` on this thread about twenty times per second whether to stop.
///
/// # Errors
/// [`Error::Interrupted`] if the answer was to stop, and the errors of `work`. The output of `work`
/// is then incomplete.
pub fn interruptible<R>(ask: fn() -> Answer, work: impl FnOnce() -> Result<R>) -> Result<R> {
    let call = Call {
        stopped: Some(Arc::default()),
        ask: Some((ask, Instant::now() + ASK_INTERVAL)),
    };
    // The work may leave the caller's data half-changed, and the error tells the caller.
    match catch_unwind(AssertUnwindSafe(|| call.within(work))) {
        Ok(done) => done,
        Err(payload) if is_stop(&*payload) => Err(Error::Interrupted),
        Err(payload) => resume_unwind(payload),
    }
}

fn is_stop(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Stopped>()
}

/// Leaves the call if it is to stop. Otherwise it takes about ten nanoseconds, so it should be
/// called every few microseconds of work. No lock may be held.
pub fn check() {
    if is_stopped() {
        resume_unwind(Box::new(Stopped));
    }
}

/// Whether the call is to stop. The calling thread asks if the interval is over.
pub(super) fn is_stopped() -> bool {
    let ask = CALL.with_borrow_mut(|call| {
        let Some(stopped) = &call.stopped else {
            return Err(false);
        };
        if stopped.load(Ordering::Relaxed) {
            return Err(true);
        }
        match &mut call.ask {
            Some((ask, next)) if *next <= Instant::now() => Ok(*ask),
            _ => Err(false),
        }
    });
    let ask = match ask {
        Ok(ask) => ask,
        Err(known) => return known,
    };
    // The borrow has ended, because the function may call this crate again.
    let answer = ask();
    CALL.with_borrow_mut(|call| {
        call.ask = (answer != Answer::Ignore).then(|| (ask, Instant::now() + ASK_INTERVAL));
        let stop = answer == Answer::Stop;
        if let Some(stopped) = call.stopped.as_ref().filter(|_| stop) {
            stopped.store(true, Ordering::Relaxed);
        }
        stop
    })
}

/// Whether this thread will ask, now or later.
pub(super) fn asks() -> bool {
    CALL.with_borrow(|call| call.ask.is_some())
}
