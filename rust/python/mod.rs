//! The PyO3 module `blockquant._core`, which makes the core available to Python. It only converts
//! arguments and results.
//!
//! Arrays are borrowed for the duration of a call, and the GIL is released while rows are
//! processed. Errors of the core become `ValueError`, and errors of the system when reading or
//! writing become `OSError`. A signal ends a long call ([`signals`]).

mod axes;
mod cache;
mod codes;
mod file;
mod predicted;
mod quantizer;
mod rows;
mod search;
mod signals;
mod tensors;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray2};
use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::codebook::{Law, block_codebook, lloyd_max as solve_lloyd_max};
use crate::codes::{Field, Layout};
use crate::error::{self, Error};
use crate::methods::{Bits, Entry, METHODS};
use crate::{Isa, Spec, threads};

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Io { path, code, reason } => file::os_error(path, code, reason),
            Error::Interrupted => signals::raised(),
            Error::MissingNorms { what } => missing_norms(what),
            error => PyValueError::new_err(error.to_string()),
        }
    }
}

create_exception!(
    blockquant._core,
    MissingNorms,
    PyValueError,
    "Codes lack norms that are needed; ``what`` says what needs them."
);

/// The core's [`Error::MissingNorms`], with the name of the option in Python.
fn missing_norms(what: String) -> PyErr {
    let error = MissingNorms::new_err(format!(
        "{what} the norms of the rows: make the quantizer, and with it the codes, with \
         store_norm=True"
    ));
    Python::attach(|py| match error.value(py).setattr("what", what) {
        Ok(()) => error,
        Err(failed) => failed,
    })
}

/// What is known of a method before it is built: a row of the core's table.
#[pyclass(frozen, get_all, module = "blockquant._core")]
struct Method {
    name: &'static str,
    title: &'static str,
    paper: &'static str,
    /// The default first; none for a method with a rule of its own.
    scales: Vec<&'static str>,
    most_bits: u32,
    /// Bits are multiples of it; 0 where any fraction is taken.
    bit_step: f64,
    has_blocks: bool,
    /// The numbers of states that it can have; none for a method without states.
    states: Vec<usize>,
    has_scale_search: bool,
    has_gamma: bool,
}

fn check_width(width: u32) -> PyResult<()> {
    if (1..=16).contains(&width) {
        Ok(())
    } else {
        Err(PyValueError::new_err(format!(
            "width={width}, expected 1 to 16"
        )))
    }
}

/// The extension module. It does not need the GIL: quantizers are frozen, a cache is borrowed by
/// the one call that changes it, and what all calls share is behind the locks of [`threads`].
#[pymodule(gil_used = false)]
mod _core {
    use super::*;

    #[pymodule_export]
    use super::Method;
    #[pymodule_export]
    use super::MissingNorms;
    #[pymodule_export]
    use super::axes::{Axes, Fit};
    #[pymodule_export]
    use super::cache::KeyValueCache;
    #[pymodule_export]
    use super::codes::Signs;
    #[pymodule_export]
    use super::file::{open_file, save};
    #[pymodule_export]
    use super::quantizer::Quantizer;
    use super::rows::unpack_rows;
    use super::search::{PartArrays, SearchArrays};
    use super::signals::detached;

    #[pymodule_export]
    const MAX_DIM: usize = crate::quantizer::MAX_DIM;
    #[pymodule_export]
    const MAX_AXES_DIM: usize = crate::axes::MAX_DIM;
    #[pymodule_export]
    const MAX_DENSE_DIM: usize = crate::quantizer::MAX_DENSE_DIM;
    #[pymodule_export]
    const MAX_HEAD_DIM: usize = crate::cache::MAX_HEAD_DIM;
    #[pymodule_export]
    const MAX_THREADS: usize = threads::MAX_THREADS;
    #[pymodule_export]
    const MAX_SCALES: usize = crate::quantizer::MAX_SCALES;
    #[pymodule_export]
    const MAX_FITTED_BITS: u32 = crate::quantizer::MAX_FITTED_BITS;

    /// Queries of a search from which signs are derived as it goes and need not be kept.
    #[pymodule_export]
    const MIN_QUERIES_TO_DERIVE: usize = crate::scan::search::MIN_QUERIES_TO_DERIVE;

    /// Merges the best rows of parts of the codes to the k best of all, best score first.
    ///
    /// A part is the position of its first row with its scores, ranks and rows, one line per query,
    /// as `Quantizer.search` returns them.
    #[pyfunction]
    fn merge<'py>(
        py: Python<'py>,
        parts: Vec<PartArrays<'py>>,
        k: usize,
        metric: &str,
    ) -> PyResult<SearchArrays<'py>> {
        search::merge(py, &parts, k, metric)
    }

    /// The version of the crate, which is that of the package.
    #[pyfunction]
    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// The instruction set that kernels use: ``scalar``, ``avx2``, ``avx512`` or ``neon``.
    /// ``BLOCKQUANT_ISA`` selects another one at start. The bytes do not depend on it.
    #[pyfunction]
    fn isa() -> PyResult<&'static str> {
        Ok(Isa::current()?.name())
    }

    /// The instruction sets that this machine has, as :func:`isa` names them.
    #[pyfunction]
    fn available_isa() -> Vec<&'static str> {
        Isa::available().into_iter().map(Isa::name).collect()
    }

    /// The methods, in the order of the core's table.
    #[pyfunction]
    fn methods() -> Vec<Method> {
        let method = |entry: &Entry| {
            let (most_bits, bit_step) = match entry.bits {
                Bits::Whole { most } => (most, 1.0),
                Bits::Halves { most } => (most, 0.5),
                Bits::Any { most } => (most, 0.0),
            };
            let names = entry.scales.choice().iter().map(|rule| rule.name());
            Method {
                name: entry.name,
                title: entry.title,
                paper: entry.paper,
                scales: names.collect(),
                most_bits,
                bit_step,
                has_blocks: entry.has_blocks,
                states: entry.states(),
                has_scale_search: entry.has_scale_search,
                has_gamma: entry.has_gamma,
            }
        };
        METHODS.iter().map(method).collect()
    }

    /// The name among `names` that was probably meant by `name`, if one is close.
    #[pyfunction]
    fn closest(name: &str, names: Vec<String>) -> Option<String> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        error::closest(name, &names).map(str::to_owned)
    }

    #[pyfunction]
    fn set_num_threads(n: usize) -> PyResult<()> {
        Ok(threads::set_num_threads(n)?)
    }

    /// The number of threads that batches run on, as :func:`set_num_threads` sets it.
    #[pyfunction]
    fn num_threads() -> usize {
        threads::num_threads()
    }

    #[pyfunction]
    fn lloyd_max<'py>(
        py: Python<'py>,
        law: &str,
        dim: usize,
        bits: u32,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let law = match law {
            "gaussian" => Law::Gaussian,
            "sphere" => Law::Sphere { dim },
            _ => {
                return Err(PyValueError::new_err(format!(
                    "unknown law {law:?}, expected \"gaussian\" or \"sphere\""
                )));
            }
        };
        let levels = detached(py, || solve_lloyd_max(law, bits))?;
        Ok(levels.to_vec().into_pyarray(py))
    }

    #[pyfunction]
    fn block_distortion(py: Python<'_>, dim: usize, block: usize, width: u32) -> PyResult<f64> {
        detached(py, || Ok(block_codebook(dim, block, width)?.nmse()))
    }

    #[pyfunction]
    fn interval_quantile(dim: usize, confidence: f64) -> PyResult<f64> {
        Ok(crate::interval::quantile(dim, confidence)?)
    }

    #[pyfunction]
    #[pyo3(signature = (
        method, dim, bits, *, scale=None, block=None, states=None, store_norm=false,
        centered=false
    ))]
    #[allow(clippy::too_many_arguments)]
    fn bytes_per_vector(
        method: String,
        dim: usize,
        bits: f64,
        scale: Option<String>,
        block: Option<usize>,
        states: Option<usize>,
        store_norm: bool,
        centered: bool,
    ) -> PyResult<usize> {
        let (shape, _) = Spec {
            scale,
            block,
            states,
            store_norm,
            ..Spec::new(method, dim, bits)
        }
        .shape_of(centered)?;
        Ok(shape.row_bytes + shape.scalars.bytes())
    }

    #[pyfunction]
    fn pack<'py>(
        py: Python<'py>,
        indices: PyReadonlyArray2<'py, u16>,
        width: u32,
    ) -> PyResult<Bound<'py, PyArray2<u8>>> {
        check_width(width)?;
        let indices = indices.as_array();
        if let Some(((row, column), index)) = indices
            .indexed_iter()
            .find(|(_, index)| u32::from(**index) >> width != 0)
        {
            return Err(PyValueError::new_err(format!(
                "index {index} in row {row}, column {column} does not fit {width} bits"
            )));
        }
        let layout = Layout::new([Field {
            count: indices.ncols(),
            width,
        }]);
        let bytes = layout.row_bytes();
        let isa = Isa::current()?;
        let out = detached(py, || {
            let mut out = vec![0u8; indices.nrows() * bytes];
            for (row, code) in indices.rows().into_iter().zip(out.chunks_mut(bytes.max(1))) {
                threads::check();
                layout.pack(isa, &row.to_vec(), code);
            }
            Ok(out)
        })?;
        out.into_pyarray(py).reshape([indices.nrows(), bytes])
    }

    #[pyfunction]
    fn unpack<'py>(
        py: Python<'py>,
        packed: PyReadonlyArray2<'py, u8>,
        count: usize,
        width: u32,
    ) -> PyResult<Bound<'py, PyArray2<u16>>> {
        check_width(width)?;
        if count.checked_mul(width as usize).is_none() {
            return Err(PyValueError::new_err(format!(
                "count={count} indexes of {width} bits are more bits than can be counted"
            )));
        }
        let layout = Layout::new([Field { count, width }]);
        let packed = packed.as_array();
        if packed.ncols() != layout.row_bytes() {
            return Err(PyValueError::new_err(format!(
                "packed codes have {} bytes per row, expected {} for {count} indexes of \
                 {width} bits",
                packed.ncols(),
                layout.row_bytes()
            )));
        }
        let isa = Isa::current()?;
        let out = detached(py, || Ok(unpack_rows(isa, &layout, packed)))?;
        out.into_pyarray(py).reshape([packed.nrows(), count])
    }
}
