//! The Python class `Axes`.

use std::sync::Arc;

use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use super::codes::contiguous;

/// `blockquant._core.Axes`.
#[pyclass(frozen, module = "blockquant._core")]
pub struct Axes(pub(super) Arc<crate::axes::Axes>);

#[pymethods]
impl Axes {
    #[new]
    fn new(
        mean: PyReadonlyArray1<'_, f32>,
        axes: PyReadonlyArray2<'_, f32>,
        variances: PyReadonlyArray1<'_, f64>,
        query_variances: Option<PyReadonlyArray1<'_, f64>>,
        rows: u64,
        shrinkage: f64,
    ) -> PyResult<Self> {
        let axes = axes.as_array().iter().copied().collect();
        let doubles = |values: &PyReadonlyArray1<'_, f64>| values.as_array().to_vec();
        let model = crate::axes::Axes::new(
            contiguous(&mean).into_owned(),
            axes,
            doubles(&variances),
            query_variances.as_ref().map(doubles),
            rows,
            shrinkage,
        )?;
        Ok(Self(Arc::new(model)))
    }

    #[getter]
    fn mean<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_slice(py, self.0.mean())
    }
}
