//! The Python class `KeyValueCache`.

use std::path::PathBuf;

use numpy::{
    IntoPyArray, PyArray1, PyArray4, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyReadonlyArray4, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::codes::contiguous;
use super::signals::detached;
use super::tensors::{MaskArray, with_tensor};
use crate::RotationKind;
use crate::cache::{self, CacheSpec, Center, Coding, Dtype, Mask};

/// Method, scale rule, bits per coordinate and the number of scales that are searched.
type CodingParts = (String, Option<String>, f64, Option<usize>);

/// Decoded keys and values.
type Decoded<'py> = (Bound<'py, PyArray4<f32>>, Bound<'py, PyArray4<f32>>);

/// `blockquant._core.KeyValueCache`.
///
/// A call that changes it borrows it alone, and a call of another thread meanwhile is a
/// `RuntimeError`.
#[pyclass(module = "blockquant._core")]
pub struct KeyValueCache(cache::KeyValueCache);

#[pymethods]
impl KeyValueCache {
    /// `center` is ``none``, ``static``, ``rotary`` or ``given``. `theta` or `frequencies` belong
    /// to ``rotary``, and `vectors` to ``given``.
    #[new]
    #[pyo3(signature = (
        heads, dim, value_dim, batch, keys, values, *, window, sinks, rollback, center, theta=None,
        frequencies=None, vectors=None, centroids=0, debias=false, byte_scales=None, dtype=None,
        rotation="hadamard", seed=0, layer=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        heads: usize,
        dim: usize,
        value_dim: usize,
        batch: usize,
        keys: CodingParts,
        values: CodingParts,
        window: usize,
        sinks: usize,
        rollback: usize,
        center: &str,
        theta: Option<f64>,
        frequencies: Option<PyReadonlyArray1<'_, f64>>,
        vectors: Option<PyReadonlyArray2<'_, f32>>,
        centroids: usize,
        debias: bool,
        byte_scales: Option<bool>,
        dtype: Option<&str>,
        rotation: &str,
        seed: u64,
        layer: Option<usize>,
    ) -> PyResult<Self> {
        let center = match (center, theta, frequencies, vectors) {
            ("none", None, None, None) => Center::None,
            ("static", None, None, None) => Center::Static,
            ("rotary", Some(theta), None, None) => Center::rotary(theta, dim),
            ("rotary", None, Some(frequencies), None) => {
                Center::Rotary(contiguous(&frequencies).into_owned())
            }
            ("given", None, None, Some(vectors)) => {
                let [rows, columns] = [vectors.shape()[0], vectors.shape()[1]];
                if (rows, columns) != (heads, dim) {
                    return Err(PyValueError::new_err(format!(
                        "center has shape ({rows}, {columns}), expected (heads, dim) = ({heads}, \
                         {dim})"
                    )));
                }
                Center::Given(contiguous(&vectors).into_owned())
            }
            _ => return Err(PyValueError::new_err("the parts of center do not fit")),
        };
        let coding = |(method, scale, bits, scale_search)| Coding {
            method,
            scale,
            bits,
            scale_search,
        };
        let spec = CacheSpec {
            heads,
            dim,
            value_dim,
            batch,
            keys: coding(keys),
            values: coding(values),
            window,
            sinks,
            rollback,
            center,
            centroids,
            debias,
            byte_scales,
            dtype: dtype.map(Dtype::from_name).transpose()?,
            rotation: RotationKind::from_name(rotation)?,
            seed,
            layer,
        };
        detached(py, || cache::KeyValueCache::new(spec)).map(Self)
    }

    #[getter]
    fn heads(&self) -> usize {
        self.0.spec().heads
    }

    #[getter]
    fn dim(&self) -> usize {
        self.0.spec().dim
    }

    #[getter]
    fn value_dim(&self) -> usize {
        self.0.spec().value_dim
    }

    /// The number of sequences.
    #[getter]
    fn batch(&self) -> usize {
        self.0.batch()
    }

    #[getter]
    fn keys(&self) -> CodingParts {
        parts(&self.0.spec().keys)
    }

    #[getter]
    fn values(&self) -> CodingParts {
        parts(&self.0.spec().values)
    }

    #[getter]
    fn window(&self) -> usize {
        self.0.spec().window
    }

    #[getter]
    fn sinks(&self) -> usize {
        self.0.spec().sinks
    }

    #[getter]
    fn rollback(&self) -> usize {
        self.0.spec().rollback
    }

    #[getter]
    fn center(&self) -> &'static str {
        self.0.spec().center.name()
    }

    #[getter]
    fn frequencies<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f64>>> {
        match &self.0.spec().center {
            Center::Rotary(frequencies) => Some(PyArray1::from_slice(py, frequencies)),
            _ => None,
        }
    }

    #[getter]
    fn centroids(&self) -> usize {
        self.0.spec().centroids
    }

    #[getter]
    fn debias(&self) -> bool {
        self.0.spec().debias
    }

    /// Whether the scales of keys and those of values are bytes.
    #[getter]
    fn byte_scales(&self) -> (bool, bool) {
        let spec = self.0.spec();
        let is_byte = |coding| spec.has_byte_scales(coding);
        (is_byte(&spec.keys), is_byte(&spec.values))
    }

    #[getter]
    fn dtype(&self) -> Option<&'static str> {
        self.0.dtype().map(Dtype::name)
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
    fn layer(&self) -> Option<usize> {
        self.0.spec().layer
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[getter]
    fn pads(&self) -> Vec<usize> {
        (0..self.0.batch()).map(|b| self.0.pads(b)).collect()
    }

    #[getter]
    fn coded(&self) -> Vec<usize> {
        (0..self.0.batch())
            .map(|b| self.0.coded_tokens(b))
            .collect()
    }

    #[getter]
    fn nbytes(&self) -> usize {
        self.0.bytes()
    }

    #[getter]
    fn bits_per_value(&self) -> f64 {
        self.0.bits_per_value()
    }

    #[getter]
    fn bits_per_coded_value(&self) -> f64 {
        self.0.bits_per_coded_value()
    }

    #[pyo3(signature = (k, v, *, pads=None, bfloat16=false))]
    fn append(
        &mut self,
        py: Python<'_>,
        k: &Bound<'_, PyAny>,
        v: &Bound<'_, PyAny>,
        pads: Option<Vec<usize>>,
        bfloat16: bool,
    ) -> PyResult<()> {
        with_tensor(k, bfloat16, |k| {
            with_tensor(v, bfloat16, |v| {
                detached(py, || self.0.append(k, v, pads.as_deref()))
            })
        })
    }

    fn decode<'py>(&self, py: Python<'py>) -> PyResult<Decoded<'py>> {
        let (keys, values) = detached(py, || self.0.decode())?;
        let shaped = |values: Vec<f32>, dim| {
            let shape = [self.0.batch(), self.0.spec().heads, self.0.len(), dim];
            values.into_pyarray(py).reshape(shape)
        };
        let spec = self.0.spec();
        Ok((shaped(keys, spec.dim)?, shaped(values, spec.value_dim)?))
    }

    /// A mask is an array of uint8 or float32 of the full shape.
    #[pyo3(signature = (q, *, scale=None, allowed=None, added=None))]
    fn attend<'py>(
        &self,
        py: Python<'py>,
        q: PyReadonlyArray4<'py, f32>,
        scale: Option<f32>,
        allowed: Option<PyReadonlyArray4<'py, u8>>,
        added: Option<PyReadonlyArray4<'py, f32>>,
    ) -> PyResult<Bound<'py, PyArray4<f32>>> {
        let (batch, query_heads, m, dim) = q.as_array().dim();
        let spec = self.0.spec();
        if (batch, dim) != (self.0.batch(), spec.dim) {
            return Err(PyValueError::new_err(format!(
                "q has shape ({batch}, {query_heads}, {m}, {dim}), expected (batch, query_heads, \
                 queries, dim) = ({}, …, …, {})",
                self.0.batch(),
                spec.dim
            )));
        }
        let full = (batch, query_heads, m, self.0.len());
        let mask = match (&allowed, &added) {
            (Some(allowed), _) => Some(MaskArray::Allowed(allowed.as_array())),
            (None, Some(added)) => Some(MaskArray::Added(added.as_array())),
            (None, None) => None,
        };
        if let Some(found) = mask
            .as_ref()
            .map(MaskArray::shape)
            .filter(|found| *found != full)
        {
            return Err(PyValueError::new_err(format!(
                "mask has shape {found:?}, expected {full:?}"
            )));
        }
        let q = contiguous(&q);
        let out = detached(py, || {
            let mut out = vec![0f32; batch * query_heads * m * spec.value_dim];
            let mask = mask.as_ref().map(|mask| mask as &dyn Mask);
            (self.0).attend(&q, query_heads, m, scale, mask, &mut out)?;
            Ok(out)
        })?;
        out.into_pyarray(py)
            .reshape([batch, query_heads, m, spec.value_dim])
    }

    fn crop(&mut self, tokens: usize) -> PyResult<()> {
        Ok(self.0.crop(tokens)?)
    }

    fn reorder(&mut self, rows: Vec<usize>) -> PyResult<()> {
        Ok(self.0.reorder(&rows)?)
    }

    fn select(&mut self, rows: Vec<usize>) -> PyResult<()> {
        Ok(self.0.select(&rows)?)
    }

    fn repeat(&mut self, times: usize) -> PyResult<()> {
        Ok(self.0.repeat(times)?)
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    /// Writes a file with all tokens.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        detached(py, || self.0.save(&path))
    }

    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        detached(py, || cache::KeyValueCache::load(&path)).map(Self)
    }

    /// The bytes that `save` writes.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = detached(py, || self.0.to_bytes())?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        detached(py, || cache::KeyValueCache::from_bytes(data)).map(Self)
    }

    /// A cache with the same tokens, which shares its pages.
    fn copy(&self) -> Self {
        Self(self.0.clone())
    }
}

fn parts(coding: &Coding) -> CodingParts {
    (
        coding.method.clone(),
        coding.scale.clone(),
        coding.bits,
        coding.scale_search,
    )
}
