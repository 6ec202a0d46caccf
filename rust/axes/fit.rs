//! Fitting: rows are added in batches of any size, and then the axes are computed.
//!
//! **Shrinkage.** The eigenvalues of a sample are spread more than those of its law: of n rows
//! whose d coordinates are independent with variance 1, they lie between (1 − √(d/n))² and
//! (1 + √(d/n))². So they are moved towards their mean λ̄: λ ← (1 − ρ)·λ + ρ·λ̄. The default for ρ
//! is the oracle approximating shrinkage of Chen, Wiesel, Eldar and Hero, "Shrinkage algorithms for
//! MMSE covariance estimation" (IEEE Transactions on Signal Processing 58, 2010, equation 23). It
//! needs only the eigenvalues and the number of degrees of freedom ν = n − 1:
//!
//! ```text
//! ρ = min(1, ((1 − 2/d)·Σλ² + (Σλ)²) / ((ν + 1 − 2/d)·(Σλ² − (Σλ)²/d)))
//! ```
//!
//! It is 1 where all eigenvalues are equal, and nothing moves then. Variances have the divisor ν,
//! and one row has variances of 0.
//!
//! **Signs.** The entry of the largest magnitude of an axis is positive; the first of equal ones
//! decides.

use super::eigen::{quadratic_forms, spectrum};
use super::moments::Moments;
use super::{Axes, check_dim, check_shrinkage};
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::rows::Rows;

/// The sums of a sample to which rows can be added.
///
/// ```
/// use blockquant::axes::Fit;
/// use blockquant::{Dense, Isa};
///
/// let mut fit = Fit::new(2)?;
/// fit.add(Isa::current()?, &Dense::new(&[1.0f32, 5.0, 3.0, 5.0, 5.0, 5.0], 2)?)?;
/// let axes = fit.finish(Some(0.0))?;
/// assert_eq!((axes.mean(), axes.rows()), (&[3.0f32, 5.0][..], 3));
/// assert_eq!((axes.axes(), axes.variances()), (&[1.0f32, 0.0, 0.0, 1.0][..], &[4.0, 0.0][..]));
/// # Ok::<(), blockquant::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    pub(super) rows: Moments,
    pub(super) queries: Moments,
}

impl Fit {
    /// A fit of rows of `dim` coordinates, without rows.
    ///
    /// # Errors
    /// If `dim` is 0 or above [`MAX_DIM`](super::MAX_DIM).
    pub fn new(dim: usize) -> Result<Self> {
        check_dim(dim)?;
        let none = Moments::new(dim);
        let queries = none.clone();
        Ok(Self {
            rows: none,
            queries,
        })
    }

    /// The number of coordinates per row.
    pub fn dim(&self) -> usize {
        self.rows.dim
    }

    /// The number of rows that were added.
    pub fn rows(&self) -> u64 {
        self.rows.count()
    }

    /// The number of queries that were added.
    pub fn queries(&self) -> u64 {
        self.queries.count()
    }

    /// Adds rows. The result does not depend on how rows are divided among calls.
    ///
    /// # Errors
    /// If the rows have another dimension or a value is not finite. Nothing is added then.
    pub fn add(&mut self, isa: Isa, rows: &dyn Rows) -> Result<()> {
        self.check(rows)?;
        self.rows.add(isa, rows)
    }

    /// Adds queries, whose second moments along the axes the model will hold.
    ///
    /// # Errors
    /// The errors of [`Fit::add`].
    pub fn add_queries(&mut self, isa: Isa, queries: &dyn Rows) -> Result<()> {
        self.check(queries)?;
        self.queries.add(isa, queries)
    }

    /// Adds the rows and the queries of another fit. It equals the fit of all rows to within
    /// rounding.
    ///
    /// # Errors
    /// If the dimensions differ. Nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.dim() != other.dim() {
            return Err(Error::invalid(format!(
                "a fit of dim={} cannot be merged with one of dim={}",
                self.dim(),
                other.dim()
            )));
        }
        let mut queries = self.queries.clone();
        queries.merge(&other.queries)?;
        self.rows.merge(&other.rows)?;
        self.queries = queries;
        Ok(())
    }

    /// The model of the rows that were added. More can be added afterwards.
    ///
    /// `shrinkage` is ρ; None is the default of this module.
    ///
    /// # Errors
    /// If no row was added, or `shrinkage` is not from 0 to 1.
    pub fn finish(&self, shrinkage: Option<f64>) -> Result<Axes> {
        shrinkage.map_or(Ok(()), check_shrinkage)?;
        if self.rows() == 0 {
            return Err(Error::invalid(
                "no rows were added, and axes need at least 1",
            ));
        }
        let (isa, dim) = (Isa::current()?, self.dim());
        let sums = self.rows.settled(isa)?;
        let mean = sums.mean();
        // One row has no covariance: its sums are 0.
        let freedom = (sums.rows - 1) as f64;
        let found = spectrum(sums.about(&mean, freedom.max(1.0)), dim)?;
        let rho = shrinkage.unwrap_or_else(|| oracle_shrinkage(&found.values, freedom));
        let mean: Vec<f32> = mean.iter().map(|&value| value as f32).collect();
        let query_variances = (self.queries() > 0).then(|| {
            let queries = self.queries.settled(isa)?;
            let center: Vec<f64> = mean.iter().copied().map(f64::from).collect();
            let moments = queries.about(&center, queries.rows as f64);
            Ok::<_, Error>(quadratic_forms(moments, &found.vectors, dim))
        });
        let axes = found.vectors.chunks_exact(dim).flat_map(axis).collect();
        let variances = shrunk(&found.values, rho);
        Axes::new(
            mean,
            axes,
            variances,
            query_variances.transpose()?,
            self.rows(),
            rho,
        )
    }

    fn check(&self, rows: &dyn Rows) -> Result<()> {
        if rows.dim() == self.dim() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "rows have {} coordinates, expected dim={}",
            rows.dim(),
            self.dim()
        )))
    }
}

/// ρ of the module's text.
fn oracle_shrinkage(variances: &[f64], freedom: f64) -> f64 {
    // Relative to the largest one, so that no square leaves the range of float64.
    let most = variances[0];
    if most == 0.0 {
        return 1.0;
    }
    let (dim, relative) = (variances.len() as f64, variances.iter().map(|v| v / most));
    let mean = relative.clone().sum::<f64>() / dim;
    let spread: f64 = relative.map(|v| (v - mean) * (v - mean)).sum();
    let squares = spread + dim * mean * mean;
    let above = (1.0 - 2.0 / dim) * squares + (dim * mean) * (dim * mean);
    let below = (freedom + 1.0 - 2.0 / dim) * spread;
    if above < below { above / below } else { 1.0 }
}

/// (1 − ρ)·λ + ρ·λ̄.
fn shrunk(variances: &[f64], rho: f64) -> Vec<f64> {
    let mean = variances.iter().sum::<f64>() / variances.len() as f64;
    let moved = variances.iter().map(|v| (1.0 - rho) * v + rho * mean);
    moved.collect()
}

/// An axis with the sign of the module's text.
fn axis(vector: &[f64]) -> impl Iterator<Item = f32> {
    let mut largest = 0f32;
    for &value in vector {
        if (value as f32).abs() > largest.abs() {
            largest = value as f32;
        }
    }
    let sign = if largest < 0.0 { -1.0 } else { 1.0 };
    // Adding 0 makes a −0 a 0.
    vector.iter().map(move |&value| sign * value as f32 + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinkage_is_that_of_the_paper() {
        // Written as the paper has it, with tr(S²) and tr²(S), for ν = n.
        let variances = [9.0, 4.0, 1.0, 0.5];
        let (p, n) = (4.0, 30.0);
        let (trace, square) = (14.5f64, 81.0 + 16.0 + 1.0 + 0.25);
        let above = (1.0 - 2.0 / p) * square + trace * trace;
        let below = (n + 1.0 - 2.0 / p) * (square - trace * trace / p);
        let found = oracle_shrinkage(&variances, n);
        assert!((found - above / below).abs() < 1e-14, "{found}");
        assert_eq!(oracle_shrinkage(&variances, 1.0), 1.0);
        assert_eq!(oracle_shrinkage(&[3.0; 5], 1e6), 1.0);
        assert_eq!(oracle_shrinkage(&[0.0; 5], 0.0), 1.0);
        assert_eq!(oracle_shrinkage(&[2.0], 10.0), 1.0);
        let huge = oracle_shrinkage(&variances.map(|v| v * 1e300), n);
        assert!((huge - found).abs() < 1e-14);
    }

    #[test]
    fn the_first_of_the_largest_entries_is_positive() {
        let found: Vec<f32> = axis(&[0.5, -0.5, -0.0, 0.1]).collect();
        assert_eq!(found, [0.5, -0.5, 0.0, 0.1]);
        let found: Vec<f32> = axis(&[0.1, -0.7, 0.7, 0.0]).collect();
        assert_eq!(found, [-0.1, 0.7, -0.7, 0.0]);
        assert!(found.iter().all(|v| *v != 0.0 || v.is_sign_positive()));
    }
}
