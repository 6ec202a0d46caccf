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
        "{what} the norms of the rows: make the quantizer, and with it the codes, with \
         store_norm: true"
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

/// The name among `names` that someone who wrote `name` most likely meant, if one is close: one
/// begins with the other, or the edit distance is at most a third of the longer one's length.
pub(crate) fn closest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let begins = |other: &str| {
        name.len().min(other.len()) >= 3 && (other.starts_with(name) || name.starts_with(other))
    };
    let cost = |other: &str| {
        let distance = edit_distance(name, other);
        let length = name.chars().count().max(other.chars().count());
        (3 * distance <= length || begins(other)).then_some(distance)
    };
    let close = names
        .iter()
        .filter_map(|&other| Some((cost(other)?, other)));
    close.min_by_key(|&(cost, _)| cost).map(|(_, other)| other)
}

/// `did you mean "X"? `, or nothing if no name is [`closest`].
pub(crate) fn did_you_mean(name: &str, names: &[&str]) -> String {
    closest(name, names).map_or(String::new(), |other| format!("did you mean {other:?}? "))
}

/// The number of letters to insert, delete, replace or swap with their neighbor (optimal string
/// alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let (mut two_above, mut above) = (Vec::new(), (0..=b.len()).collect::<Vec<_>>());
    let mut before = None;
    for (i, x) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut cost = (above[j] + usize::from(x != y)).min(above[j + 1].min(row[j]) + 1);
            if j > 0 && before == Some(y) && x == b[j - 1] {
                cost = cost.min(two_above[j - 1] + 1);
            }
            row.push(cost);
        }
        two_above = std::mem::replace(&mut above, row);
        before = Some(x);
    }
    above[b.len()]
}

/// The result type of the crate.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::{closest, edit_distance};

    #[test]
    fn a_close_name_is_suggested() {
        for (a, b, distance) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("edne", "eden", 1),
            ("ça", "ca", 1),
        ] {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
        let names = ["eden", "eden/mse", "turboquant/mse", "turboquant/prod"];
        for (name, expected) in [
            ("edne", Some("eden")),
            ("eden/mes", Some("eden/mse")),
            ("turboquant", Some("turboquant/mse")),
            ("eden/x", Some("eden")),
            ("faiss", None),
            ("", None),
            ("e", None),
        ] {
            assert_eq!(closest(name, &names), expected, "{name}");
        }
    }
}
