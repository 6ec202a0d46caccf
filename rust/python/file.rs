//! Files for Python: paths, and the bytes of mapped files.

use std::path::PathBuf;

use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use super::codes::{CodeSlices, Parts};
use super::quantizer::Quantizer;
use super::signals::detached;
use crate::file::{self, Contents};

/// The name of each tensor, its first byte and the byte after its last.
type Tensors = Vec<(&'static str, usize, usize)>;

/// An `OSError`, of the subclass that belongs to the error number.
pub fn os_error(path: String, code: Option<i32>, reason: String) -> PyErr {
    match code {
        None => PyOSError::new_err(format!("{path}: {reason}")),
        // On Windows the numbers of the system are not errno values, and Python translates them.
        Some(code) if cfg!(windows) => PyOSError::new_err((0, reason, path, code)),
        Some(code) => PyOSError::new_err((code, reason, path)),
    }
}

#[pyfunction]
pub fn save(
    py: Python<'_>,
    path: PathBuf,
    quantizer: &Quantizer,
    codes: Parts<'_>,
) -> PyResult<()> {
    let codes = CodeSlices::new(&codes);
    let codes = codes.view();
    detached(py, || file::save(&path, &quantizer.0, codes))
}

#[pyfunction]
pub fn open_file(
    py: Python<'_>,
    data: PyReadonlyArray1<'_, u8>,
    verify: bool,
) -> PyResult<(Quantizer, usize, usize, Tensors)> {
    let data = data.as_slice()?;
    detached(py, || {
        let contents = Contents::new(data, verify)?;
        let quantizer = contents.quantizer()?;
        let range = |tensor: &file::Tensor| (tensor.name, tensor.bytes.start, tensor.bytes.end);
        let tensors = contents.tensors.iter().map(range).collect();
        let (rows, row_bytes) = (contents.rows, contents.row_bytes);
        Ok((Quantizer(quantizer), rows, row_bytes, tensors))
    })
}
