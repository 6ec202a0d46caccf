//! What a model of fitted axes predicts: the errors of rows that are like its sample.
//!
//! Rows have the coordinates z along the axes, with the variances λᵢ, and queries y that do not
//! depend on them the mean squares qᵢ. A group g of d_g axes has a rotation of its own, so the
//! errors along a row and across it (`distortion.rs`) do not depend on z:
//!
//! ```text
//! E‖x − x̂‖² = Σ_g Λ_g·E[β² + τ²]_g + Σ over axes without bits: λᵢ          Λ_g = Σ_{i in g} λᵢ
//! E⟨x − x̂, y⟩² = Σ_g ( P_g·E[β²]_g + (Λ_g·Q_g − P_g)·E[τ²]_g/(d_g − 1) ) + Σ over the others: λᵢqᵢ
//!     Q_g = Σ_{i in g} qᵢ        P_g = Σ_{i in g} λᵢqᵢ
//! ```
//!
//! The first is divided by E‖x‖² = ‖μ‖² + Σλᵢ, and d times the second by E‖x‖²·E‖y‖². Where the
//! part of queries along μ is exact (`query.rs`), qᵢ is that of their part across μ, and else that
//! of the whole query; both follow from E⟨vᵢ, y − μ⟩², which the model holds, for queries whose
//! coordinates are not correlated and whose mean is μ. Without queries they are like the rows.
//!
//! **Drift.** The scalars of codes tell where their rows lie: the gain of a group is h = ‖z_g‖·S/N,
//! so ‖z_g‖² is on average N²h²/E S², and axes without bits have what is left of N². So the first
//! sum follows for any rows, with their energies in place of the variances, and the drift is
//!
//! ```text
//! (Σ over rows: expected ‖x − x̂‖² / Σ over rows: ‖x‖²) / the predicted normalised error
//! ```
//!
//! **Contract.** The same bits on every instruction set.

use super::Quantizer;
use super::distortion::Distortion;
use super::fitted::GAIN_ERROR;
use super::query::{Centering, square_of};
use crate::axes::Axes;
use crate::codes::CodesRef;
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::reduce;
use crate::threads;

/// Coordinates of the Gaussian rows that each group is measured on, which gives its distortion to
/// within .5 %, and the fewest rows.
const COORDINATES: usize = 1 << 16;
const LEAST_ROWS: usize = 16;

/// The expected errors of rows that are like the sample of the axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// The mean squared error of decoded rows, divided by their mean squared norm.
    pub nmse: f64,
    /// d·E\[error²\] of inner products, divided by the mean squared norms of rows and queries.
    pub ip_error: f64,
    /// The groups of axes, and the axes without bits at the end if there are any.
    pub groups: Vec<PredictedGroup>,
}

impl Predicted {
    /// How far rows are from the sample: their normalised error divided by that of rows like the
    /// sample. ∞ for rows without length, or if no error is expected of the sample; NaN without
    /// rows, and for rows without length of which no error is expected either.
    pub fn drift(&self, losses: Losses) -> f64 {
        let nmse = losses.error / losses.square;
        // 0/0 for rows without error is 1, too.
        if nmse == self.nmse {
            return 1.0;
        }
        nmse / self.nmse
    }
}

/// What is lost of rows, summed over them, so that the losses of parts of codes can be added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    /// The expected ‖x − x̂‖².
    pub error: f64,
    /// ‖x‖².
    pub square: f64,
}

/// What is expected of successive axes with one rate.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictedGroup {
    /// The method; none for axes without bits.
    pub method: Option<String>,
    /// The number of axes.
    pub axes: usize,
    /// Bits per axis.
    pub bits: f64,
    /// Their share of the variance.
    pub variance: f64,
    /// Their squared error, divided by their variance: 1 without bits.
    pub distortion: f64,
    /// Their share of the squared error of decoded rows.
    pub error: f64,
}

/// What a prediction is made of.
#[derive(Debug)]
pub(super) struct Expectation {
    predicted: Predicted,
    distortions: Vec<Distortion>,
}

impl Quantizer {
    /// The expected errors of rows like the sample of the axes; none without axes. The first call
    /// measures the methods of the groups on Gaussian rows.
    ///
    /// # Errors
    /// If `BLOCKQUANT_ISA` names an instruction set that the machine does not have.
    pub fn predicted(&self) -> Result<Option<&Predicted>> {
        let expected = self.expectation()?;
        Ok(expected.map(|expected| &expected.predicted))
    }

    /// How far rows are from the sample of the axes: [`Predicted::drift`] of their
    /// [`losses`](Self::losses). None without axes.
    ///
    /// # Errors
    /// Those of [`losses`](Self::losses).
    pub fn drift(&self, codes: CodesRef<'_>) -> Result<Option<f64>> {
        let losses = self.losses(codes)?;
        let predicted = self.predicted()?;
        Ok(losses
            .zip(predicted)
            .map(|(losses, predicted)| predicted.drift(losses)))
    }

    /// What is lost of rows by where their codes say that they lie. None without axes.
    ///
    /// # Errors
    /// If the codes do not have the layout of this quantizer, and the errors of
    /// [`predicted`](Self::predicted).
    pub fn losses(&self, codes: CodesRef<'_>) -> Result<Option<Losses>> {
        self.check(codes)?;
        let (Some(scalars), Some(expected)) = (&self.scalars, self.expectation()?) else {
            return Ok(None);
        };
        let (groups, length) = (self.parts.len(), self.center_square.sqrt());
        let mut gains = vec![0f32; groups];
        let mut energies = vec![0f64; groups];
        let (mut residual, mut all) = (0f64, 0f64);
        for (row, &scale) in codes.scale.iter().enumerate() {
            threads::check();
            let (packed, scale) = (codes.row(row), f64::from(scale));
            let square = scale * scale;
            scalars.gains(packed, &mut gains);
            for (energy, &gain) in energies.iter_mut().zip(&gains) {
                *energy += square * f64::from(gain) * f64::from(gain);
            }
            residual += square;
            let product = scale * length * scalars.cosine(packed);
            all += square_of(self.center_square, product, square);
        }
        let (mut error, mut coded) = (0.0, 0.0);
        for (energy, distortion) in energies.iter().zip(&expected.distortions) {
            let energy = energy / distortion.scale_square;
            error += energy * distortion.error;
            coded += energy;
        }
        if self.coded() < self.spec.dim {
            error += (residual - coded).max(0.0);
        }
        Ok(Some(Losses { error, square: all }))
    }

    fn expectation(&self) -> Result<Option<&Expectation>> {
        let Some(axes) = self.spec.axes.as_deref() else {
            return Ok(None);
        };
        let isa = Isa::current()?;
        Ok(Some(self.expected.get_or_make(|| self.expect(isa, axes))))
    }

    fn expect(&self, isa: Isa, axes: &Axes) -> Expectation {
        let measured = self.parts.iter().map(|part| {
            let rows = COORDINATES.div_ceil(part.dim()).max(LEAST_ROWS);
            let shape = (part.dim(), part.layout.indices());
            let mut found = Distortion::measured(isa, (&*part.method, self.scale), shape, rows);
            // The uniform rounding of stored gains changes the length of what is decoded.
            let rounding = GAIN_ERROR * GAIN_ERROR / 3.0;
            found.along += rounding;
            found.error += rounding;
            found
        });
        let distortions: Vec<_> = measured.collect();
        let (lambda, (q, query_square)) = (axes.variances(), self.query_squares(isa, axes));
        let all: f64 = lambda.iter().sum();
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let (mut loss, mut products) = (0.0, 0.0);
        let mut groups = Vec::new();
        let given = self.spec.groups.iter().flatten();
        for ((group, part), found) in given.zip(&self.parts).zip(&distortions) {
            let (lambda, q) = (&lambda[part.place.clone()], &q[part.place.clone()]);
            let (rows, queries): (f64, f64) = (lambda.iter().sum(), q.iter().sum());
            let both: f64 = lambda.iter().zip(q).map(|(a, b)| a * b).sum();
            let apart = (part.dim() - 1).max(1) as f64;
            products += both * found.along + (rows * queries - both) * found.across() / apart;
            loss += rows * found.error;
            groups.push(PredictedGroup {
                method: Some(group.method.clone()),
                axes: group.axes,
                bits: group.bits,
                variance: share(rows, all),
                distortion: found.error,
                error: rows * found.error,
            });
        }
        let coded = self.coded();
        if coded < axes.dim() {
            let rest: f64 = lambda[coded..].iter().sum();
            let both = lambda[coded..].iter().zip(&q[coded..]);
            products += both.map(|(a, b)| a * b).sum::<f64>();
            loss += rest;
            groups.push(PredictedGroup {
                method: None,
                axes: axes.dim() - coded,
                bits: 0.0,
                variance: share(rest, all),
                distortion: 1.0,
                error: rest,
            });
        }
        groups
            .iter_mut()
            .for_each(|group| group.error = share(group.error, loss));
        let row_square = self.center_square + all;
        let predicted = Predicted {
            nmse: share(loss, row_square),
            ip_error: share(axes.dim() as f64 * products, row_square * query_square),
            groups,
        };
        Expectation {
            predicted,
            distortions,
        }
    }

    /// The mean squares of the queries that products are estimated with, along all axes, and E‖y‖².
    fn query_squares(&self, isa: Isa, axes: &Axes) -> (Vec<f64>, f64) {
        let given = axes.query_variances().unwrap_or(axes.variances());
        let square = self.center_square + given.iter().sum::<f64>();
        if self.center_square == 0.0 {
            return (given.to_vec(), square);
        }
        // Where μ lies: ⟨vᵢ, μ⟩²/‖μ‖². What lies along axes that the model no longer holds is
        // divided among them.
        let (dim, kept) = (axes.dim(), axes.kept());
        let share = |axis: &[f32]| {
            let product = reduce::dot_f64(isa, axis, axes.mean());
            product * product / self.center_square
        };
        let mut mean: Vec<f64> = axes.axes().chunks_exact(dim).map(share).collect();
        if kept < dim {
            let rest = (1.0 - mean.iter().sum::<f64>()).max(0.0) / (dim - kept) as f64;
            mean.resize(dim, rest);
        }
        let found = match self.product_centering() {
            Centering::Across => {
                let along: f64 = mean.iter().zip(given).map(|(m, q)| m * q).sum();
                let part = |(m, q): (&f64, &f64)| (q * (1.0 - 2.0 * m) + m * along).max(0.0);
                mean.iter().zip(given).map(part).collect()
            }
            _ => {
                let whole = |(m, q): (&f64, &f64)| q + m * self.center_square;
                mean.iter().zip(given).map(whole).collect()
            }
        };
        (found, square)
    }
}
