//! The eigenproblem of a covariance, which the crate `nalgebra` solves.
//!
//! It is chosen over `faer`, which takes a quarter of the time (d = 1536: .8 s and 3.4 s), because
//! it adds 14 crates to a build in place of 48, and 25 seconds of one core in place of 110. Both
//! choose instructions by the CPU, and neither lets a call stop.

use nalgebra::{DMatrix, SymmetricEigen};

use crate::error::{Error, Result};
use crate::threads;

/// Below it the solution takes a few milliseconds, and no thread is started for it.
const LEAST_DIM_APART: usize = 192;

/// Iterations per eigenvalue after which the problem counts as unsolvable; two are usual.
const MAX_ITERATIONS: usize = 100;

/// Eigenvalues in falling order, at least 0, and the eigenvectors in the same order.
pub(super) struct Spectrum {
    pub values: Vec<f64>,
    /// Vector by vector.
    pub vectors: Vec<f64>,
}

/// The spectrum of a covariance, dim × dim. Ties are in any order, which is the same for the same
/// matrix and machine.
///
/// # Errors
/// If the iteration does not converge.
pub(super) fn spectrum(covariance: Vec<f64>, dim: usize) -> Result<Spectrum> {
    let matrix = DMatrix::from_vec(dim, dim, covariance);
    let solve = move || {
        let iterations = MAX_ITERATIONS * dim;
        SymmetricEigen::try_new(matrix, f64::EPSILON, iterations)
    };
    let solved = match dim {
        ..LEAST_DIM_APART => solve(),
        _ => threads::apart(solve)?,
    };
    let solved = solved.ok_or_else(|| {
        Error::invalid("the axes were not found: the eigenvalues of the covariance do not converge")
    })?;
    let (values, vectors) = (solved.eigenvalues, solved.eigenvectors);
    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
    let vector = |&i: &usize| vectors.column(i).iter().copied().collect::<Vec<_>>();
    Ok(Spectrum {
        values: order.iter().map(|&i| values[i].max(0.0)).collect(),
        vectors: order.iter().flat_map(vector).collect(),
    })
}

/// ⟨v, Mv⟩ of each of the vectors and a symmetric matrix, at least 0.
pub(super) fn quadratic_forms(matrix: Vec<f64>, vectors: &[f64], dim: usize) -> Vec<f64> {
    let matrix = DMatrix::from_vec(dim, dim, matrix);
    let columns = DMatrix::from_column_slice(dim, dim, vectors);
    let products = &matrix * &columns;
    let pairs = columns.column_iter().zip(products.column_iter());
    pairs.map(|(v, m)| v.dot(&m).max(0.0)).collect()
}
