//! Stopping a long call: [`interruptible`] runs it, [`check`] is where it can stop.
//!
//! The thread that calls asks now and then whether to stop, with a function that it was given; the
//! threads that help it see a flag. To stop is to unwind, without a message, to `interruptible`:
//! what is half done is dropped on the way, and nothing in between has to hand an error on. It
//! needs `panic = "unwind"`, Rust's default.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How often the calling thread asks.
pub(super) const EVERY: Duration = Duration::from_millis(50);

/// What the calling thread is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Continue,
    /// Stop: the call ends with [`Error::Interrupted`].
    Stop,
    /// Go on, and ask no more in this call.
    Ignore,
}

/// A call that can be stopped.
#[derive(Debug, Clone, Default)]
pub(super) struct Call {
    /// None where nobody can stop it.
    stopped: Option<Arc<AtomicBool>>,
    /// On the thread that called: what to ask, and when the next time.
    ask: Option<(fn() -> Answer, Instant)>,
}

/// The payload of the unwinding.
struct Stopped;

thread_local! {
    static CALL: RefCell<Call> = RefCell::default();
}

/// Puts the call of before in its place again.
struct Restore(Option<Call>);

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            CALL.replace(call);
        }
    }
}

impl Call {
    /// That of this thread, for a thread that helps it.
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

/// Runs `work`, and asks `ask` on this thread some twenty times per second whether to stop.
///
/// # Errors
/// [`Error::Interrupted`] if the answer was to stop, and those of `work`. What `work` was writing
/// to is then half done.
pub fn interruptible<R>(ask: fn() -> Answer, work: impl FnOnce() -> Result<R>) -> Result<R> {
    let call = Call {
        stopped: Some(Arc::default()),
        ask: Some((ask, Instant::now() + EVERY)),
    };
    // What the work changed is the caller's, who is told by the error.
    match catch_unwind(AssertUnwindSafe(|| call.within(work))) {
        Ok(done) => done,
        Err(payload) if is_stop(&*payload) => Err(Error::Interrupted),
        Err(payload) => resume_unwind(payload),
    }
}

fn is_stop(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Stopped>()
}

/// Leaves the call if it is to stop: some ten nanoseconds if not, so once per some microseconds of
/// work. No lock may be held.
pub fn check() {
    if is_stopped() {
        resume_unwind(Box::new(Stopped));
    }
}

/// Whether the call is to stop; asks, on the thread that called and where it is time.
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
    // Not within the borrow: what is asked may call this crate again.
    let answer = ask();
    CALL.with_borrow_mut(|call| {
        call.ask = (answer != Answer::Ignore).then(|| (ask, Instant::now() + EVERY));
        let stop = answer == Answer::Stop;
        if let Some(stopped) = call.stopped.as_ref().filter(|_| stop) {
            stopped.store(true, Ordering::Relaxed);
        }
        stop
    })
}

/// Whether this thread has something to ask, now or later.
pub(super) fn asks() -> bool {
    CALL.with_borrow(|call| call.ask.is_some())
}
