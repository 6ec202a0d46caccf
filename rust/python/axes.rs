//! The Python classes `Axes` and `Fit`.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::rows::with_rows;
use super::signals::detached;
use crate::axes;
use crate::isa::Isa;

/// `blockquant._core.Axes`.
#[pyclass(frozen, module = "blockquant._core")]
pub struct Axes(pub Arc<axes::Axes>);

#[pymethods]
impl Axes {
    #[getter]
    fn dim(&self) -> usize {
        self.0.dim()
    }

    #[getter]
    fn rows(&self) -> u64 {
        self.0.rows()
    }

    #[getter]
    fn shrinkage(&self) -> f64 {
        self.0.shrinkage()
    }

    /// The digest, sixteen hexadecimal digits.
    #[getter]
    fn digest(&self) -> String {
        format!("{:016x}", self.0.digest())
    }

    #[getter]
    fn mean<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        self.0.mean().to_vec().into_pyarray(py)
    }

    /// One axis per row.
    #[getter]
    fn axes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let axes = self.0.axes().to_vec().into_pyarray(py);
        axes.reshape([self.0.kept(), self.0.dim()])
    }

    #[getter]
    fn variances<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.0.variances().to_vec().into_pyarray(py)
    }

    #[getter]
    fn query_variances<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f64>>> {
        let variances = self.0.query_variances()?;
        Some(variances.to_vec().into_pyarray(py))
    }

    fn equals(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        detached(py, || self.0.save(&path))
    }

    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let axes = detached(py, || axes::Axes::load(&path))?;
        Ok(Self(Arc::new(axes)))
    }

    /// The bytes that `save` writes.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = detached(py, || Ok(self.0.to_bytes()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let axes = detached(py, || axes::Axes::from_bytes(data))?;
        Ok(Self(Arc::new(axes)))
    }
}

/// `blockquant._core.Fit`.
///
/// A call that changes it borrows it alone, and a call of another thread meanwhile is a
/// `RuntimeError`.
#[pyclass(module = "blockquant._core")]
pub struct Fit(axes::Fit);

#[pymethods]
impl Fit {
    #[new]
    fn new(dim: usize) -> PyResult<Self> {
        Ok(Self(axes::Fit::new(dim)?))
    }

    #[getter]
    fn dim(&self) -> usize {
        self.0.dim()
    }

    /// Rows that were added.
    #[getter]
    fn rows(&self) -> u64 {
        self.0.rows()
    }

    /// Queries that were added.
    #[getter]
    fn queries(&self) -> u64 {
        self.0.queries()
    }

    fn add(&mut self, py: Python<'_>, x: &Bound<'_, PyAny>, is_bfloat16: bool) -> PyResult<()> {
        let isa = Isa::current()?;
        with_rows(x, is_bfloat16, |rows| {
            detached(py, || self.0.add(isa, rows))
        })
    }

    fn add_queries(
        &mut self,
        py: Python<'_>,
        y: &Bound<'_, PyAny>,
        is_bfloat16: bool,
    ) -> PyResult<()> {
        let isa = Isa::current()?;
        with_rows(y, is_bfloat16, |rows| {
            detached(py, || self.0.add_queries(isa, rows))
        })
    }

    fn merge(&mut self, py: Python<'_>, other: &Self) -> PyResult<()> {
        detached(py, || self.0.merge(&other.0))
    }

    fn finish(&self, py: Python<'_>, shrinkage: Option<f64>) -> PyResult<Axes> {
        let axes = detached(py, || self.0.finish(shrinkage))?;
        Ok(Axes(Arc::new(axes)))
    }

    fn copy(&self) -> Self {
        Self(self.0.clone())
    }

    /// The state, for pickles.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = detached(py, || Ok(self.0.to_bytes()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        detached(py, || axes::Fit::from_bytes(data)).map(Self)
    }
}
