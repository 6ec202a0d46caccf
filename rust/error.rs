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
}

impl Error {
    /// An [`Error::Invalid`] with this text.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;
