//! The PyO3 module `blockquant._core`: conversions only.
//!
//! Arrays are borrowed for the length of a call and the GIL is released while rows are worked on. Every failure of the core is a `ValueError`.

use half::{bf16, f16};
use numpy::ndarray::{ArrayView2, Axis};
use numpy::{
    Element, IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::codebook::{Law, block_codebook, lloyd_max as solve_lloyd_max};
use crate::codes::{Codes, Field, Layout};
use crate::error::Error;
use crate::rows::{Real, Rows};
use crate::{Isa, RotationKind, Spec, threads};

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        PyValueError::new_err(error.to_string())
    }
}

/// Rows of a NumPy array with any strides.
struct Strided<'a, T>(ArrayView2<'a, T>);

impl<T: Real> Rows for Strided<'_, T> {
    fn rows(&self) -> usize {
        self.0.nrows()
    }

    fn dim(&self) -> usize {
        self.0.ncols()
    }

    fn read(&self, row: usize, out: &mut [f32]) {
        for (value, x) in out.iter_mut().zip(self.0.index_axis(Axis(0), row)) {
            *value = x.to_f32();
        }
    }

    fn text(&self, row: usize, column: usize) -> String {
        self.0[(row, column)].text()
    }
}

/// The bits of bfloat16 values that came as uint16.
#[derive(Clone, Copy)]
struct BrainBits(u16);

impl Real for BrainBits {
    fn to_f32(self) -> f32 {
        bf16::from_bits(self.0).to_f32()
    }

    fn text(self) -> String {
        bf16::from_bits(self.0).to_string()
    }
}

impl Rows for Strided<'_, u16> {
    fn rows(&self) -> usize {
        self.0.nrows()
    }

    fn dim(&self) -> usize {
        self.0.ncols()
    }

    fn read(&self, row: usize, out: &mut [f32]) {
        for (value, &bits) in out.iter_mut().zip(self.0.index_axis(Axis(0), row)) {
            *value = BrainBits(bits).to_f32();
        }
    }

    fn text(&self, row: usize, column: usize) -> String {
        BrainBits(self.0[(row, column)]).text()
    }
}

/// Packed codes, scales, norms and residual norms as arrays.
type CodeArrays<'py> = (
    Bound<'py, PyArray2<u8>>,
    Bound<'py, PyArray1<f32>>,
    Option<Bound<'py, PyArray1<f32>>>,
    Option<Bound<'py, PyArray1<f32>>>,
);

#[pyclass(frozen, module = "blockquant._core")]
struct Quantizer(crate::Quantizer);

#[pymethods]
impl Quantizer {
    #[new]
    #[pyo3(signature = (method, dim, bits, *, scale=None, block=None, rotation="hadamard", seed=0, store_norm=false))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        method: String,
        dim: usize,
        bits: f64,
        scale: Option<String>,
        block: Option<usize>,
        rotation: &str,
        seed: u64,
        store_norm: bool,
    ) -> PyResult<Self> {
        let rotation = RotationKind::from_name(rotation)?;
        let spec = Spec {
            method,
            dim,
            bits,
            scale,
            block,
            rotation,
            seed,
            store_norm,
        };
        Ok(Self(
            py.detach(|| threads::run(|| crate::Quantizer::new(spec)))?,
        ))
    }

    #[getter]
    fn method(&self) -> &str {
        &self.0.spec().method
    }

    #[getter]
    fn scale(&self) -> &'static str {
        if self.0.method().has_residual_norm() {
            "prod"
        } else {
            self.0.scale().name()
        }
    }

    #[getter]
    fn dim(&self) -> usize {
        self.0.spec().dim
    }

    #[getter]
    fn bits(&self) -> f64 {
        self.0.spec().bits
    }

    #[getter]
    fn block(&self) -> Option<usize> {
        self.0.spec().block
    }

    #[getter]
    fn rotation(&self) -> &'static str {
        self.0.spec().rotation.name()
    }

    #[getter]
    fn seed(&self) -> u64 {
        self.0.spec().seed
    }

    #[getter]
    fn store_norm(&self) -> bool {
        self.0.spec().store_norm
    }

    #[getter]
    fn code_bytes(&self) -> usize {
        self.0.method().layout().row_bytes()
    }

    #[getter]
    fn has_residual_norm(&self) -> bool {
        self.0.method().has_residual_norm()
    }

    #[pyo3(signature = (x, *, bfloat16=false))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        bfloat16: bool,
    ) -> PyResult<CodeArrays<'py>> {
        let codes = if bfloat16 {
            let array: PyReadonlyArray2<'_, u16> = x.extract().map_err(|_| wrong_array(x))?;
            self.encode_rows(py, &Strided(array.as_array()))?
        } else if let Some(codes) = self.try_encode::<f32>(py, x)? {
            codes
        } else if let Some(codes) = self.try_encode::<f16>(py, x)? {
            codes
        } else if let Some(codes) = self.try_encode::<f64>(py, x)? {
            codes
        } else {
            return Err(wrong_array(x));
        };
        let rows = codes.len();
        let packed = codes
            .packed
            .into_pyarray(py)
            .reshape([rows, codes.row_bytes])?;
        let array = |values: Vec<f32>| values.into_pyarray(py);
        Ok((
            packed,
            array(codes.scale),
            codes.norm.map(array),
            codes.residual_norm.map(array),
        ))
    }

    #[pyo3(signature = (packed, scale, residual_norm=None))]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        packed: PyReadonlyArray2<'py, u8>,
        scale: PyReadonlyArray1<'py, f32>,
        residual_norm: Option<PyReadonlyArray1<'py, f32>>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let codes = to_codes(packed, scale, residual_norm);
        let (rows, dim) = (codes.len(), self.0.spec().dim);
        let mut out = vec![0f32; rows * dim];
        let isa = Isa::current()?;
        py.detach(|| threads::run(|| self.0.decode(isa, &codes, &mut out)))?;
        out.into_pyarray(py).reshape([rows, dim])
    }

    fn inner_product<'py>(
        &self,
        py: Python<'py>,
        packed: PyReadonlyArray2<'py, u8>,
        scale: PyReadonlyArray1<'py, f32>,
        residual_norm: Option<PyReadonlyArray1<'py, f32>>,
        y: PyReadonlyArray2<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let codes = to_codes(packed, scale, residual_norm);
        let queries = Strided(y.as_array());
        let (m, n) = (queries.rows(), codes.len());
        let mut out = vec![0f32; m * n];
        let isa = Isa::current()?;
        py.detach(|| threads::run(|| self.0.inner_product(isa, &codes, &queries, &mut out)))?;
        out.into_pyarray(py).reshape([m, n])
    }

    fn rotate<'py>(
        &self,
        py: Python<'py>,
        x: PyReadonlyArray2<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        self.each_row(py, x, |isa, row, scratch| {
            self.0.rotation().apply(isa, row, scratch)
        })
    }

    fn unrotate<'py>(
        &self,
        py: Python<'py>,
        z: PyReadonlyArray2<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        self.each_row(py, z, |isa, row, scratch| {
            self.0.rotation().apply_inverse(isa, row, scratch)
        })
    }

    fn codebook<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        book(py, self.0.method().codebook())
    }

    fn tail_codebook<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyArray2<f32>>>> {
        self.0
            .method()
            .tail_codebook()
            .map(|tail| book(py, tail))
            .transpose()
    }

    fn indices<'py>(
        &self,
        py: Python<'py>,
        packed: PyReadonlyArray2<'py, u8>,
    ) -> PyResult<Bound<'py, PyArray2<u16>>> {
        let layout = self.0.method().layout();
        let isa = Isa::current()?;
        let packed = packed.as_array();
        if packed.ncols() != layout.row_bytes() {
            return Err(PyValueError::new_err(format!(
                "packed codes have {} bytes a row, expected {}",
                packed.ncols(),
                layout.row_bytes()
            )));
        }
        let mut out = vec![0u16; packed.nrows() * layout.indices()];
        for (row, index) in packed
            .rows()
            .into_iter()
            .zip(out.chunks_mut(layout.indices().max(1)))
        {
            layout.unpack(isa, &row.to_vec(), index);
        }
        out.into_pyarray(py)
            .reshape([packed.nrows(), layout.indices()])
    }
}

impl Quantizer {
    fn try_encode<'py, T: Real + Element>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Codes>> {
        match x.extract::<PyReadonlyArray2<'py, T>>() {
            Ok(array) => self.encode_rows(py, &Strided(array.as_array())).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn encode_rows(&self, py: Python<'_>, rows: &dyn Rows) -> PyResult<Codes> {
        let isa = Isa::current()?;
        Ok(py.detach(|| threads::run(|| self.0.encode(isa, rows)))?)
    }

    fn each_row<'py>(
        &self,
        py: Python<'py>,
        x: PyReadonlyArray2<'py, f32>,
        work: impl Fn(Isa, &mut [f32], &mut Vec<f32>),
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let x = x.as_array();
        let dim = self.0.spec().dim;
        if x.ncols() != dim {
            return Err(PyValueError::new_err(format!(
                "rows have {} columns, expected dim={dim}",
                x.ncols()
            )));
        }
        let isa = Isa::current()?;
        let mut out: Vec<f32> = x.iter().copied().collect();
        let mut scratch = Vec::new();
        out.chunks_exact_mut(dim)
            .for_each(|row| work(isa, row, &mut scratch));
        out.into_pyarray(py).reshape([x.nrows(), dim])
    }
}

fn wrong_array(x: &Bound<'_, PyAny>) -> PyErr {
    let kind = x
        .get_type()
        .name()
        .map_or_else(|_| "object".into(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "{kind} is no two-dimensional float16, float32 or float64 array"
    ))
}

fn to_codes(
    packed: PyReadonlyArray2<'_, u8>,
    scale: PyReadonlyArray1<'_, f32>,
    residual_norm: Option<PyReadonlyArray1<'_, f32>>,
) -> Codes {
    let packed = packed.as_array();
    Codes {
        row_bytes: packed.ncols(),
        packed: packed.iter().copied().collect(),
        scale: scale.as_array().to_vec(),
        norm: None,
        residual_norm: residual_norm.map(|values| values.as_array().to_vec()),
    }
}

fn book<'py>(
    py: Python<'py>,
    (words, width): (Vec<f32>, usize),
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let count = words.len() / width;
    words.into_pyarray(py).reshape([count, width])
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

/// The extension module.
#[pymodule]
mod _core {
    use super::*;

    #[pymodule_export]
    use super::Quantizer;

    #[pyfunction]
    fn isa() -> PyResult<&'static str> {
        Ok(Isa::current()?.name())
    }

    #[pyfunction]
    fn available_isa() -> Vec<&'static str> {
        Isa::available().into_iter().map(Isa::name).collect()
    }

    #[pyfunction]
    fn set_num_threads(n: usize) -> PyResult<()> {
        Ok(threads::set_num_threads(n)?)
    }

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
        Ok(solve_lloyd_max(law, bits)?.to_vec().into_pyarray(py))
    }

    #[pyfunction]
    fn block_distortion(py: Python<'_>, dim: usize, block: usize, width: u32) -> PyResult<f64> {
        py.detach(|| Ok(block_codebook(dim, block, width)?.nmse()))
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
        let mut out = vec![0u8; indices.nrows() * bytes];
        let isa = Isa::current()?;
        for (row, code) in indices.rows().into_iter().zip(out.chunks_mut(bytes.max(1))) {
            layout.pack(isa, &row.to_vec(), code);
        }
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
        let layout = Layout::new([Field { count, width }]);
        let packed = packed.as_array();
        if packed.ncols() != layout.row_bytes() {
            return Err(PyValueError::new_err(format!(
                "packed codes have {} bytes a row, expected {} for {count} indexes of {width} bits",
                packed.ncols(),
                layout.row_bytes()
            )));
        }
        let mut out = vec![0u16; packed.nrows() * count];
        let isa = Isa::current()?;
        for (row, index) in packed.rows().into_iter().zip(out.chunks_mut(count.max(1))) {
            layout.unpack(isa, &row.to_vec(), index);
        }
        out.into_pyarray(py).reshape([packed.nrows(), count])
    }
}
