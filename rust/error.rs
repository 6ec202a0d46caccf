//! The one error type of the crate.

/// What can go wrong in any public function; the text names what was wrong and where.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument that no quantizer could take: the text says which, what was expected and what came.
    #[error("{0}")]
    Invalid(String),
    /// A NaN or an infinity in the input (for float64 input also a value beyond float32).
    #[error("row {row}, column {column} is {value}, expected a finite float32 value")]
    NotFinite {
        /// Row of the batch, from 0.
        row: usize,
        /// Column of the row, from 0.
        column: usize,
        /// What stood there, as text.
        value: String,
    },
    /// A row whose norm, or its product with the scale rule, is beyond what a float32 holds.
    #[error("row {row} needs the {what} {value:e}, which is beyond float32")]
    Overflow {
        /// `norm`, `scale` or `norm of x − center`.
        what: &'static str,
        /// Row of the batch, from 0.
        row: usize,
        /// It, in double precision.
        value: f64,
    },
    /// Codes without the norms that something needs. The text is Rust's; a face of another language names its own option.
    #[error(
        "{what} the norms of the rows: make the quantizer, and with it the codes, with store_norm: true"
    )]
    MissingNorms {
        /// What needs them, with its verb: `intervals need`.
        what: String,
    },
    /// The system's refusal to read or write a file.
    #[error("{}{reason}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
    Io {
        /// The file, empty where the caller opened it.
        path: String,
        /// The system's number, where it has one.
        code: Option<i32>,
        /// The system's words.
        reason: String,
    },
}

impl Error {
    /// An [`Error::Invalid`] with this text.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// An [`Error::Io`] about this file.
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

    /// The same with the file named.
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

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;
