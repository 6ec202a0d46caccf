//! Files for Python: paths, and the bytes of mapped files.

use std::path::PathBuf;

use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use super::codes::{CodeSlices, Parts, contiguous};
use super::quantizer::Quantizer;
use super::signals::detached;
use crate::file::{self, Contents, Ids};

/// The name of each tensor, its first byte and the byte after its last.
type Tensors = Vec<(&'static str, usize, usize)>;

/// Numbers with the one that follows all of them, or the offsets and the bytes of texts.
#[derive(FromPyObject)]
pub enum IdArrays<'py> {
    Numbers(PyReadonlyArray1<'py, i64>, u64),
    Texts(PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, u8>),
}

impl IdArrays<'_> {
    fn ids(&self) -> Ids<'_> {
        match self {
            Self::Numbers(ids, next) => Ids::Numbers {
                ids: contiguous(ids),
                next: *next,
            },
            Self::Texts(offsets, bytes) => Ids::Texts {
                offsets: contiguous(offsets),
                bytes: contiguous(bytes),
            },
        }
    }
}

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
#[pyo3(signature = (path, quantizer, codes, ids=None))]
pub fn save(
    py: Python<'_>,
    path: PathBuf,
    quantizer: &Quantizer,
    codes: Parts<'_>,
    ids: Option<IdArrays<'_>>,
) -> PyResult<()> {
    let codes = CodeSlices::new(&codes);
    let codes = codes.view();
    let ids = ids.as_ref().map(IdArrays::ids);
    detached(py, || file::save(&path, &quantizer.0, codes, ids.as_ref()))
}

/// The quantizer, the number of rows, the bytes of a packed row, the tensors, and the number that
/// follows all ids if they are numbers.
#[pyfunction]
pub fn open_file(
    py: Python<'_>,
    data: PyReadonlyArray1<'_, u8>,
    verify: bool,
) -> PyResult<(Quantizer, usize, usize, Tensors, Option<u64>)> {
    let data = data.as_slice()?;
    detached(py, || {
        let contents = Contents::new(data, verify)?;
        let quantizer = contents.quantizer()?;
        let range = |tensor: &file::Tensor| (tensor.name, tensor.bytes.start, tensor.bytes.end);
        let tensors = contents.tensors.iter().map(range).collect();
        let (rows, row_bytes) = (contents.rows, contents.row_bytes);
        let next_id = contents.next_id();
        Ok((Quantizer(quantizer), rows, row_bytes, tensors, next_id))
    })
}
