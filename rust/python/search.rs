//! Hits as NumPy arrays, and merging those of parts of the codes.

use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::scan::search::{self, Hit, Metric};

/// Scores, ranks and row positions, one line per query.
pub(super) type SearchArrays<'py> = (
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray2<f32>>,
    Bound<'py, PyArray2<i64>>,
);

/// The first row of a part, with its scores, ranks and row positions.
pub(super) type PartArrays<'py> = (
    u32,
    PyReadonlyArray2<'py, f32>,
    PyReadonlyArray2<'py, f32>,
    PyReadonlyArray2<'py, i64>,
);

/// The hits of all queries, each `columns` of them.
pub(super) fn arrays<'py>(
    py: Python<'py>,
    found: &[Vec<Hit>],
    columns: usize,
) -> PyResult<SearchArrays<'py>> {
    let shape = [found.len(), columns];
    let score: Vec<f32> = found.iter().flatten().map(|hit| hit.score).collect();
    let rank: Vec<f32> = found.iter().flatten().map(|hit| hit.rank).collect();
    let row: Vec<i64> = found.iter().flatten().map(|hit| hit.row.into()).collect();
    Ok((
        score.into_pyarray(py).reshape(shape)?,
        rank.into_pyarray(py).reshape(shape)?,
        row.into_pyarray(py).reshape(shape)?,
    ))
}

/// The `k` best hits of all parts for each query.
pub(super) fn merge<'py>(
    py: Python<'py>,
    parts: &[PartArrays<'py>],
    k: usize,
    metric: &str,
) -> PyResult<SearchArrays<'py>> {
    let metric = Metric::from_name(metric)?;
    let queries = parts.first().map_or(0, |(_, score, ..)| score.shape()[0]);
    let wrong = || PyValueError::new_err("the parts have arrays of different shapes");
    let mut found = Vec::with_capacity(queries);
    for query in 0..queries {
        let mut each = Vec::with_capacity(parts.len());
        for (first, score, rank, row) in parts {
            let shape = score.shape();
            if shape[0] != queries || rank.shape() != shape || row.shape() != shape {
                return Err(wrong());
            }
            let (score, rank, row) = (score.as_array(), rank.as_array(), row.as_array());
            let lines = score
                .row(query)
                .into_iter()
                .zip(rank.row(query))
                .zip(row.row(query));
            let hit = |((&score, &rank), &row): ((&f32, &f32), &i64)| {
                let position = u32::try_from(row)
                    .ok()
                    .and_then(|row| row.checked_add(*first));
                let position = position.ok_or_else(|| {
                    PyValueError::new_err(format!("row {row} of a part, expected 0 to 2^32 - 1"))
                })?;
                Ok(Hit::new(metric, position - first, score, rank))
            };
            each.push((*first, lines.map(hit).collect::<PyResult<Vec<Hit>>>()?));
        }
        found.push(search::merge(each, k));
    }
    let columns = found.first().map_or(0, Vec::len);
    if found.iter().any(|hits| hits.len() != columns) {
        return Err(wrong());
    }
    arrays(py, &found, columns)
}
