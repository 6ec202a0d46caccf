//! Fitted axes: the mean, the principal axes and the variances of a sample of rows. A quantizer
//! that has them gives each axis the bits that its variance is worth.
//!
//! A row is x = μ + Σᵢ zᵢ·vᵢ: μ is the mean of the sample, the vᵢ are the orthonormal eigenvectors
//! of its covariance, and the coordinate zᵢ = ⟨vᵢ, x − μ⟩ has the variance λᵢ, the eigenvalue.
//! Axes are sorted by falling variance. [`Axes`] holds all d variances and the first axes, at most
//! d of them. It can also hold E⟨vᵢ, y − μ⟩² of queries y, which decides how much an error along
//! an axis disturbs inner products.
//!
//! **A model is data.** Two platforms that fit the same sample can get models that differ in their
//! last bits, because a library for eigenproblems chooses its order of sums by the CPU. So codes
//! carry their model, and nobody fits it again to read them. Everything that is computed from a
//! given model has the same bits everywhere.

use std::fmt;

mod bytes;
mod eigen;
mod fit;
mod moments;

pub use fit::Fit;

use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::kernels::dense;
use crate::threads;

/// The most coordinates of a row whose axes can be fitted or used: the covariance and the axes of
/// so many coordinates take 768 MiB.
pub const MAX_DIM: usize = 1 << 13;

/// The largest difference of ⟨vᵢ, vⱼ⟩ from 1 or 0. Rounding an axis to float32 leaves 10⁻⁷ at
/// most; no orthonormal axes miss it, and no codes of axes within it are wrong in a digit that
/// they keep.
const ORTHONORMAL_TOLERANCE: f32 = 1e-4;

/// The mean, principal axes and variances of a sample.
#[derive(Clone)]
pub struct Axes {
    mean: Vec<f32>,
    /// Axis by axis.
    axes: Vec<f32>,
    variances: Vec<f64>,
    query_variances: Option<Vec<f64>>,
    rows: u64,
    shrinkage: f64,
}

impl Axes {
    /// A model of these parts; the accessors of the same names say what they are.
    ///
    /// # Errors
    /// If the lengths do not fit together, a number is not finite, variances are negative or not in
    /// falling order, axes are not orthonormal to within rounding, `rows` is 0, or `shrinkage` is
    /// not from 0 to 1.
    pub fn new(
        mean: Vec<f32>,
        axes: Vec<f32>,
        variances: Vec<f64>,
        query_variances: Option<Vec<f64>>,
        rows: u64,
        shrinkage: f64,
    ) -> Result<Self> {
        let model = Self {
            mean,
            axes,
            variances,
            query_variances,
            rows,
            shrinkage,
        };
        model.check()?;
        Ok(model)
    }

    /// The number of coordinates per row.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// The number of axes that are held: the first of all d.
    pub fn kept(&self) -> usize {
        self.axes.len() / self.dim()
    }

    /// The mean of the sample, d values.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The axes by falling variance, [`kept`](Self::kept) × d.
    pub fn axes(&self) -> &[f32] {
        &self.axes
    }

    /// The variances along all d axes, in falling order, after shrinkage.
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// E⟨vᵢ, y − μ⟩² of the queries for all d axes, if queries were given.
    pub fn query_variances(&self) -> Option<&[f64]> {
        self.query_variances.as_deref()
    }

    /// The number of rows of the sample.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The part of the way to their mean that the variances of the sample were moved.
    pub fn shrinkage(&self) -> f64 {
        self.shrinkage
    }

    /// The same model with the first `kept` of its axes. It keeps all axes that it has if there are
    /// fewer, and always at least one.
    pub fn first(&self, kept: usize) -> Self {
        let mut model = self.clone();
        model.axes.truncate(kept.max(1) * self.dim());
        model.axes.shrink_to_fit();
        model
    }

    /// CRC-64/XZ of everything that the model holds: models are equal if and, but for one of 2⁶⁴
    /// pairs, only if their digests are equal.
    ///
    /// FROZEN: codes name their model by it.
    pub fn digest(&self) -> u64 {
        let mut sum = crc64fast::Digest::new();
        for count in [self.dim() as u64, self.kept() as u64, self.rows] {
            sum.write(&count.to_le_bytes());
        }
        sum.write(&self.shrinkage.to_le_bytes());
        for values in [&self.mean, &self.axes] {
            for row in values.chunks(self.dim()) {
                let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
                sum.write(&bytes);
            }
        }
        let query_variances = self.query_variances.as_deref().unwrap_or_default();
        for value in self.variances.iter().chain(query_variances) {
            sum.write(&value.to_le_bytes());
        }
        sum.sum64()
    }

    fn check(&self) -> Result<()> {
        let dim = self.dim();
        check_dim(dim)?;
        if self.axes.is_empty()
            || !self.axes.len().is_multiple_of(dim)
            || self.axes.len() > dim * dim
        {
            return Err(Error::invalid(format!(
                "axes have {}, expected 1 to {dim} rows of {dim}",
                counted(self.axes.len(), "value")
            )));
        }
        let variances = [
            ("variances", Some(&self.variances)),
            ("query_variances", self.query_variances.as_ref()),
        ];
        for (name, values) in variances {
            let Some(values) = values else { continue };
            if values.len() != dim {
                return Err(Error::invalid(format!(
                    "{name} have {}, expected {dim}",
                    counted(values.len(), "value")
                )));
            }
            // No number is −0, so that equal models have equal bits.
            if let Some((i, value)) = place_of(values, |v| v.is_finite() && v.is_sign_positive()) {
                return Err(Error::invalid(format!(
                    "{name}[{i}] is {value}, expected a finite number of at least 0"
                )));
            }
        }
        for (name, values) in [("mean", &self.mean), ("axes", &self.axes)] {
            if let Some((i, value)) = place_of(values, |v| v.is_finite()) {
                return Err(Error::invalid(format!(
                    "{name} have {value} as value {i}, expected finite numbers"
                )));
            }
        }
        if let Some(i) = (1..dim).find(|&i| self.variances[i - 1] < self.variances[i]) {
            return Err(Error::invalid(format!(
                "variances[{i}] is above the one before it, expected falling variances"
            )));
        }
        if self.rows == 0 {
            return Err(Error::invalid("rows is 0, expected at least 1"));
        }
        check_shrinkage(self.shrinkage)?;
        self.check_orthonormal()
    }

    fn check_orthonormal(&self) -> Result<()> {
        let (isa, dim, kept) = (Isa::current()?, self.dim(), self.kept());
        let batches = self.axes.chunks(dense::VECTORS_PER_BATCH * dim);
        threads::try_for_each(
            batches,
            Vec::new,
            |products: &mut Vec<f32>, place, batch| {
                let first = place * dense::VECTORS_PER_BATCH;
                let others = kept - first;
                products.resize(batch.len() / dim * others, 0.0);
                dense::products(isa, &self.axes[first * dim..], dim, batch, products);
                for (i, products) in products.chunks_exact(others).enumerate() {
                    for (j, &product) in products.iter().enumerate() {
                        let expected = if i == j { 1.0 } else { 0.0 };
                        let is_near = (product - expected).abs() <= ORTHONORMAL_TOLERANCE;
                        if !is_near {
                            return Err(Error::invalid(format!(
                                "axes {} and {} have the inner product {product}, expected \
                             {expected}: axes must be orthonormal",
                                first + i,
                                first + j
                            )));
                        }
                    }
                }
                Ok(())
            },
        )
    }
}

/// The first value that is not as it should be, with its place.
fn place_of<T: Copy>(values: &[T], is_valid: impl Fn(T) -> bool) -> Option<(usize, T)> {
    let mut values = values.iter().copied().enumerate();
    values.find(|&(_, value)| !is_valid(value))
}

/// Refuses rows that no model describes.
pub(crate) fn check_dim(dim: usize) -> Result<()> {
    if (1..=MAX_DIM).contains(&dim) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "axes of rows with dim={dim}, expected 1 to {MAX_DIM}"
    )))
}

fn check_shrinkage(shrinkage: f64) -> Result<()> {
    if (0.0..=1.0).contains(&shrinkage) && shrinkage.is_sign_positive() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "shrinkage is {shrinkage}, expected 0 to 1"
    )))
}

/// Equal content, bit for bit.
impl PartialEq for Axes {
    fn eq(&self, other: &Self) -> bool {
        fn floats(a: &[f32], b: &[f32]) -> bool {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
        }
        // Variances and shrinkage have no −0 and no NaN.
        self.rows == other.rows
            && self.shrinkage == other.shrinkage
            && self.variances == other.variances
            && self.query_variances == other.query_variances
            && floats(&self.mean, &other.mean)
            && floats(&self.axes, &other.axes)
    }
}

impl Eq for Axes {}

impl fmt::Debug for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Axes")
            .field("dim", &self.dim())
            .field("kept", &self.kept())
            .field("rows", &self.rows)
            .field("shrinkage", &self.shrinkage)
            .field("has_query_variances", &self.query_variances.is_some())
            .finish_non_exhaustive()
    }
}
