//! Work that cannot be stopped, in a call that can.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use super::interrupt::{ASK_INTERVAL, asks, check};
use crate::error::{Error, Result};

/// Runs `work`, which calls no [`check`] for seconds or longer. If this thread may have to stop the
/// call, a thread of its own does the work, and is left behind with it when the call stops.
///
/// # Errors
/// If the system cannot start the thread.
pub fn apart<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    check();
    if !asks() {
        return Ok(work());
    }
    let (send, receive) = channel::<std::result::Result<R, Box<dyn Any + Send>>>();
    let worker = thread::Builder::new().name("blockquant-apart".into());
    worker
        .spawn(move || {
            // Nobody receives what a stopped call left behind.
            let _ = send.send(catch_unwind(AssertUnwindSafe(work)));
        })
        .map_err(|reason| Error::invalid(format!("cannot start a thread: {reason}")))?;
    loop {
        match receive.recv_timeout(ASK_INTERVAL) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(payload)) => resume_unwind(payload),
            Err(RecvTimeoutError::Timeout) => check(),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::invalid("a thread ended before its work was done"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::{current, sleep};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::threads::{Answer, interruptible};

    #[test]
    fn a_call_that_cannot_be_stopped_works_on_its_own_thread() {
        let caller = current().id();
        assert_eq!(apart(move || current().id() == caller), Ok(true));
    }

    #[test]
    fn a_call_returns_what_the_other_thread_made() {
        let caller = current().id();
        let is_other = interruptible(
            || Answer::Continue,
            || apart(move || current().id() != caller),
        );
        assert_eq!(is_other, Ok(true));
    }

    #[test]
    fn a_call_that_stops_leaves_the_work_behind() {
        static IS_DONE: AtomicBool = AtomicBool::new(false);
        let start = Instant::now();
        let work = move || {
            sleep(Duration::from_secs(1));
            IS_DONE.store(true, Ordering::Release);
        };
        let stopped = interruptible(|| Answer::Stop, || apart(work));
        assert_eq!(stopped, Err(Error::Interrupted));
        assert!(start.elapsed() < Duration::from_secs(1));
        while !IS_DONE.load(Ordering::Acquire) {
            sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let fails = || interruptible(|| Answer::Continue, || apart(|| panic!("of the work")));
        let payload: Box<dyn Any + Send> = catch_unwind(fails).map(|_: Result<()>| ()).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"of the work"));
    }
}
