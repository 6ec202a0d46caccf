//! The error type of the crate. Its text names what was wrong and where, and most texts say what
//! was expected.

/// The error that every fallible public function returns.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An invalid argument. The text says which one, what it is and what was expected.
    #[error("{0}")]
    Invalid(String),
    /// A NaN or an infinity in the input, or a float64 value beyond the range of float32.
    #[error("row {row}, column {column} is {value}, expected a finite float32 value")]
    NotFinite {
        /// The row of the batch, counted from 0.
        row: usize,
        /// The column of the row, counted from 0.
        column: usize,
        /// The value, as text.
        value: String,
    },
    /// A row whose norm ‖x‖ or scale s = ‖x‖·S is beyond the range of float32.
    #[error("row {row} needs the {what} {value:e}, which is beyond float32")]
    Overflow {
        /// Which number: `norm`, `scale` or `norm of x − center`.
        what: &'static str,
        /// The row of the batch, counted from 0.
        row: usize,
        /// The number, in double precision.
        value: f64,
    },
    /// A call that was stopped, by [`interruptible`](crate::threads::interruptible).
    #[error("interrupted")]
    Interrupted,
    /// Codes without the norms that something needs. The text is Rust's; a face of another language
    /// names its own option.
    #[error(
        "{what} the norms of the rows: make the quantizer, and with it the codes, with store_norm: true"
    )]
    MissingNorms {
        /// What needs them, with its verb: `intervals need`.
        what: String,
    },
    /// A file that the operating system could not read or write.
    #[error("{}{reason}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
    Io {
        /// The path of the file; empty if the caller opened it.
        path: String,
        /// The error number of the operating system, if there is one.
        code: Option<i32>,
        /// The operating system's description of the error.
        reason: String,
    },
}

impl Error {
    /// An [`Error::Invalid`] with this text.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// An [`Error::Io`] for the file at `path`.
    pub fn io(path: impl Into<String>, error: &std::io::Error) -> Self {
        let code = error.raw_os_error();
        let text = error.to_string();
        let number = code.map_or(String::new(), |code| format!(" (os error {code})"));
        Self::Io {
            path: path.into(),
            code,
            reason: text.strip_suffix(&number).unwrap_or(&text).to_owned(),
        }
    }

    /// The same error with the path of its file.
    pub(crate) fn at(self, path: &std::path::Path) -> Self {
        let path = path.display().to_string();
        match self {
            Self::Io { code, reason, .. } => Self::Io { path, code, reason },
            other => Self::Invalid(format!("{path}: {other}")),
        }
    }
}

/// A number and its noun, which has an s unless the number is 1.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        many => format!("{many} {noun}s"),
    }
}

/// The result type of the crate.
pub type Result<T> = std::result::Result<T, Error>;
