//! The Python class `Quantizer`.

use std::sync::Arc;

use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyReadwriteArray2,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::axes::Axes;
use super::codes::{CodeSlices, Parts, Signs, book, contiguous};
use super::predicted::{Prediction, prediction};
use super::rows::{Strided, unpack_rows, with_rows};
use super::search::{self, SearchArrays};
use super::signals::detached;
use crate::error::counted;
use crate::quantizer::{Criterion, Group, Losses};
use crate::rows::Rows;
use crate::scan::search::Metric;
use crate::{Isa, Request, RotationKind, Spec, threads};

/// The arrays of [`Parts`], made by the core.
type CodeArrays<'py> = (
    Bound<'py, PyArray2<u8>>,
    Bound<'py, PyArray1<f32>>,
    Option<Bound<'py, PyArray1<f32>>>,
    Option<Bound<'py, PyArray1<f32>>>,
    Option<Bound<'py, PyArray1<f32>>>,
);

/// Lower and upper bounds.
type Bounds<'py> = (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<f32>>);

/// `blockquant._core.Quantizer`.
#[pyclass(frozen, module = "blockquant._core")]
pub struct Quantizer(pub(super) crate::Quantizer);

#[pymethods]
impl Quantizer {
    #[new]
    #[pyo3(signature = (
        method, dim, bits, *, scale=None, block=None, states=None, rotation="hadamard",
        seed=0, store_norm=false, center=None, scale_search=None, axes=None, criterion=None,
        reserve=None, groups=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        method: String,
        dim: usize,
        bits: f64,
        scale: Option<String>,
        block: Option<usize>,
        states: Option<usize>,
        rotation: &str,
        seed: u64,
        store_norm: bool,
        center: Option<PyReadonlyArray1<'_, f32>>,
        scale_search: Option<usize>,
        axes: Option<PyRef<'_, Axes>>,
        criterion: Option<&str>,
        reserve: Option<f64>,
        groups: Option<Vec<(String, usize, f64)>>,
    ) -> PyResult<Self> {
        let rotation = RotationKind::from_name(rotation)?;
        let criterion = criterion.map(Criterion::from_name).transpose()?;
        let group = |(method, axes, bits)| Group { axes, method, bits };
        let spec = Spec {
            scale,
            block,
            states,
            scale_search,
            rotation,
            seed,
            store_norm,
            center: center.map(|values| contiguous(&values).into_owned()),
            axes: axes.map(|axes| Arc::clone(&axes.0)),
            criterion,
            reserve,
            groups: groups.map(|groups| groups.into_iter().map(group).collect()),
            ..Spec::new(method, dim, bits)
        };
        detached(py, || crate::Quantizer::new(spec)).map(Self)
    }

    #[getter]
    fn method(&self) -> &str {
        &self.0.spec().method
    }

    #[getter]
    fn scale(&self) -> &'static str {
        self.0.scale_name()
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
    fn states(&self) -> Option<usize> {
        self.0.spec().states
    }

    #[getter]
    fn scale_search(&self) -> Option<usize> {
        self.0.spec().scale_search
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
    fn center<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f32>>> {
        let center = self.0.spec().center.as_ref()?;
        Some(PyArray1::from_slice(py, center))
    }

    #[getter]
    fn axes(&self) -> Option<Axes> {
        self.0
            .spec()
            .axes
            .as_ref()
            .map(|axes| Axes(Arc::clone(axes)))
    }

    #[getter]
    fn criterion(&self) -> Option<&'static str> {
        self.0.spec().criterion.map(Criterion::name)
    }

    /// Method, axes and bits per axis of each group.
    #[getter]
    fn groups(&self) -> Option<Vec<(String, usize, f64)>> {
        let group = |group: &Group| (group.method.clone(), group.axes, group.bits);
        let groups = self.0.spec().groups.as_ref()?;
        Some(groups.iter().map(group).collect())
    }

    fn predicted(&self, py: Python<'_>) -> PyResult<Option<Prediction>> {
        Ok(detached(py, || self.0.predicted())?.map(prediction))
    }

    /// The expected squared errors and the squares of all rows.
    fn losses<'py>(&self, py: Python<'py>, codes: Parts<'py>) -> PyResult<Option<(f64, f64)>> {
        let codes = CodeSlices::new(&codes);
        let losses = detached(py, || threads::run(|| self.0.losses(codes.view())))?;
        Ok(losses.map(|losses| (losses.error, losses.square)))
    }

    fn drift(&self, py: Python<'_>, error: f64, square: f64) -> PyResult<Option<f64>> {
        let predicted = detached(py, || self.0.predicted())?;
        Ok(predicted.map(|predicted| predicted.drift(Losses { error, square })))
    }

    #[getter]
    fn code_bytes(&self) -> usize {
        self.0.shape().row_bytes
    }

    fn norms<'py>(
        &self,
        py: Python<'py>,
        codes: Parts<'py>,
    ) -> PyResult<Option<Bound<'py, PyArray1<f32>>>> {
        let codes = CodeSlices::new(&codes);
        let norms = self.0.norms(codes.view())?;
        Ok(norms.map(|norms| norms.into_owned().into_pyarray(py)))
    }

    #[pyo3(signature = (x, *, bfloat16=false))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        bfloat16: bool,
    ) -> PyResult<CodeArrays<'py>> {
        let isa = Isa::current()?;
        let codes = with_rows(x, bfloat16, |rows| {
            detached(py, || self.0.encode_rows(isa, rows))
        })?;
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
            codes.center_product.map(array),
        ))
    }

    fn decode<'py>(
        &self,
        py: Python<'py>,
        codes: Parts<'py>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let codes = CodeSlices::new(&codes);
        let codes = codes.view();
        let (rows, dim) = (codes.len(), self.0.spec().dim);
        let mut out = vec![0f32; rows * dim];
        let isa = Isa::current()?;
        detached(py, || self.0.decode_into(isa, codes, &mut out))?;
        out.into_pyarray(py).reshape([rows, dim])
    }

    /// Writes into `out`, because NumPy asks for large pages if its arrays are large.
    fn inner_product<'py>(
        &self,
        py: Python<'py>,
        codes: Parts<'py>,
        y: PyReadonlyArray2<'py, f32>,
        mut out: PyReadwriteArray2<'py, f32>,
    ) -> PyResult<()> {
        let codes = CodeSlices::new(&codes);
        let codes = codes.view();
        let queries = Strided(y.as_array());
        let out = out.as_slice_mut()?;
        let isa = Isa::current()?;
        detached(py, || {
            threads::run(|| self.0.inner_product_into(isa, codes, &queries, out))
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn interval<'py>(
        &self,
        py: Python<'py>,
        codes: Parts<'py>,
        y: PyReadonlyArray2<'py, f32>,
        confidence: f64,
    ) -> PyResult<Bounds<'py>> {
        let codes = CodeSlices::new(&codes);
        let codes = codes.view();
        let queries = Strided(y.as_array());
        let (m, n) = (queries.rows(), codes.len());
        let (mut low, mut high) = (vec![0f32; m * n], vec![0f32; m * n]);
        let isa = Isa::current()?;
        detached(py, || {
            let work = || {
                self.0
                    .interval(isa, codes, &queries, confidence, &mut low, &mut high)
            };
            threads::run(work)
        })?;
        let shaped = |values: Vec<f32>| values.into_pyarray(py).reshape([m, n]);
        Ok((shaped(low)?, shaped(high)?))
    }

    /// The signs of the codes; `known` are those of the first rows.
    #[pyo3(signature = (codes, known=None))]
    fn signs<'py>(
        &self,
        py: Python<'py>,
        codes: Parts<'py>,
        known: Option<PyRef<'py, Signs>>,
    ) -> PyResult<Option<Signs>> {
        let codes = CodeSlices::new(&codes);
        let codes = codes.view();
        let isa = Isa::current()?;
        let known = known.as_deref().map(|known| &known.0);
        let signs = detached(py, || match known {
            Some(known) => self.0.extend_signs(isa, known, codes).map(Some),
            None => self.0.signs(isa, codes),
        })?;
        Ok(signs.map(Signs))
    }

    /// Scores, ranks and rows of the hits, best score first.
    #[pyo3(signature = (codes, signs, y, k, metric, allowed=None, exact=false, ranked=false))]
    #[allow(clippy::too_many_arguments)]
    fn search<'py>(
        &self,
        py: Python<'py>,
        codes: Parts<'py>,
        signs: Option<PyRef<'py, Signs>>,
        y: PyReadonlyArray2<'py, f32>,
        k: usize,
        metric: &str,
        allowed: Option<PyReadonlyArray1<'py, u8>>,
        exact: bool,
        ranked: bool,
    ) -> PyResult<SearchArrays<'py>> {
        let codes = CodeSlices::new(&codes);
        let codes = codes.view();
        let queries = Strided(y.as_array());
        // These are bytes, because a boolean array of NumPy can hold values other than 0 and 1, and
        // a Rust `bool` must not.
        let allowed: Option<Vec<bool>> = allowed
            .as_ref()
            .map(|bytes| bytes.as_array().iter().map(|&byte| byte != 0).collect());
        let request = Request {
            allowed: allowed.as_deref(),
            exact,
            ranked,
            signs: signs.as_deref().map(|signs| &signs.0),
            ..Request::new(k, Metric::from_name(metric)?)
        };
        let isa = Isa::current()?;
        let found = detached(py, || self.0.search_with(isa, codes, &queries, request))?;
        // Every query finds the same number of rows, and so would any query if there is none.
        let rows = || match &allowed {
            Some(allowed) => allowed.iter().filter(|&&allowed| allowed).count(),
            None => codes.len(),
        };
        let columns = found.first().map_or_else(|| k.min(rows()), Vec::len);
        search::arrays(py, &found, columns)
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
        let layout = &self.0.shape().layout;
        let isa = Isa::current()?;
        let packed = packed.as_array();
        if packed.ncols() != layout.row_bytes() {
            return Err(PyValueError::new_err(format!(
                "packed codes have {} per row, expected {}",
                counted(packed.ncols(), "byte"),
                layout.row_bytes()
            )));
        }
        let out = detached(py, || Ok(unpack_rows(isa, layout, packed)))?;
        out.into_pyarray(py)
            .reshape([packed.nrows(), layout.indices()])
    }
}

impl Quantizer {
    fn each_row<'py>(
        &self,
        py: Python<'py>,
        x: PyReadonlyArray2<'py, f32>,
        work: impl Fn(Isa, &mut [f32], &mut Vec<f32>) + Sync,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let x = x.as_array();
        let dim = self.0.spec().dim;
        if x.ncols() != dim {
            return Err(PyValueError::new_err(format!(
                "rows have {}, expected dim={dim}",
                counted(x.ncols(), "column")
            )));
        }
        let isa = Isa::current()?;
        let out = detached(py, || {
            let mut out: Vec<f32> = x.iter().copied().collect();
            let mut scratch = Vec::new();
            for row in out.chunks_exact_mut(dim) {
                threads::check();
                work(isa, row, &mut scratch);
            }
            Ok(out)
        })?;
        out.into_pyarray(py).reshape([x.nrows(), dim])
    }
}
