//! Python signals during a long call: an interrupt ends the work.

use std::cell::RefCell;

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use crate::error::Result;
use crate::threads::{self, Answer};

thread_local! {
    /// What a signal handler raised in the call that this thread is in.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Runs `work` without the GIL. Meanwhile the main thread of Python checks for signals, and an
/// exception of a handler ends the work.
pub fn detached<R: Send>(py: Python<'_>, work: impl FnOnce() -> Result<R> + Send) -> PyResult<R> {
    Ok(py.detach(|| threads::interruptible(signals, work))?)
}

/// The exception that ended the work.
pub fn raised() -> PyErr {
    let raised = RAISED.take();
    raised.unwrap_or_else(|| PyKeyboardInterrupt::new_err(()))
}

fn signals() -> Answer {
    let answer =
        Python::try_attach(
            |py| match py.check_signals().and_then(|()| is_main_thread(py)) {
                Ok(true) => Answer::Continue,
                Ok(false) => Answer::Ignore,
                Err(raised) => {
                    RAISED.set(Some(raised));
                    Answer::Stop
                }
            },
        );
    // None if the interpreter is shutting down.
    answer.unwrap_or(Answer::Ignore)
}

/// Whether Python runs its signal handlers on this thread. Like every function of Python, this one
/// may run them, and an error is then the exception of a handler.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    main.eq(threading.call_method0("get_ident")?)
}
