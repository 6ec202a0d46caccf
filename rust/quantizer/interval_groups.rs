//! Intervals of inner products of codes along fitted axes.
//!
//! Each group g of axes has a rotation of its own, so the law of [`interval`](crate::interval)
//! holds for each: with n_g = ‖z_g‖, ℓ_g = ‖y_g‖, the angle θ_g of group and code, and m_g the
//! cosine of z_g and y_g, the unbiased estimate e_g of ⟨z_g, y_g⟩ has the error
//!
//! ```text
//! e_g − ⟨z_g, y_g⟩ = n_g·ℓ_g·tan θ_g·√(1 − m_g²)·t_g
//! ```
//!
//! and the t_g are independent coordinates of uniform points of spheres. 1 is taken for √(1 −
//! m_g²), which makes bounds a little too wide where row and query are near. A sum of independent
//! coordinates Σ B_g·t_g is given the law of one coordinate, times √n, of a sphere in so many
//! dimensions n that variance and kurtosis are those of the sum: with v_g = B_g²/n_g, n_g = d_g −
//! 1,
//!
//! ```text
//! V = Σ v_g        1/(n + 2) = Σ (v_g/V)²/(n_g + 2)        |Σ B_g·t_g| ≤ √V·√n·τ_n
//! ```
//!
//! For one group this is the law itself, and for groups of 32 axes or more the probability is off
//! by less than 10⁻⁴. What a row has along no group is not estimated, and neither is a group whose
//! gain is stored as 0: there the bounds are those of Cauchy and Schwarz.
//!
//! **Contract.** As [`interval`](crate::interval), with the rounding of the scalars of a row, which
//! widens the bounds by .1 % of the estimate.

use super::Quantizer;
use super::fitted::{GAIN_ERROR, GroupScalars, MAX_GROUPS};
use super::interval::{round_down, round_up};
use super::query::Centering;
use crate::codes::CodesRef;
use crate::error::Result;
use crate::interval::{UNIT, quantile};
use crate::isa::Isa;
use crate::kernels::reduce;
use crate::methods::ScaleRule;
use crate::scan::products::ROWS_PER_TILE;
use crate::scan::{Query, columns};
use crate::threads;

/// The largest error of a stored cosine of center and row.
const COSINE_ERROR: f64 = 0.5 / 32767.0;
/// By how much of sin²θ the factor of a shrunk estimate is off at most, because the scalars that
/// it comes from are rounded.
const SHRINK_ERROR: f64 = 0.006;
/// Points of the table of quantiles.
const POINTS: usize = 65;

/// √n·τ_n as a function of 1/(n + 2).
struct Quantiles {
    /// Of the first point; the last point is 0, the law N(0, 1).
    most: f64,
    values: Vec<f64>,
}

impl Quantiles {
    /// For spheres of at least `least` dimensions.
    fn new(least: usize, confidence: f64) -> Result<Self> {
        let most = 1.0 / (least as f64 + 2.0);
        let value = |point: usize| {
            let inverse = most * (POINTS - 1 - point) as f64 / (POINTS - 1) as f64;
            // So many dimensions are as good as any number of them.
            let dimensions = (1.0 / inverse.max(1e-7) - 2.0).round().max(1.0);
            Ok(dimensions.sqrt() * quantile(dimensions as usize + 1, confidence)?)
        };
        Ok(Self {
            most,
            values: (0..POINTS).map(value).collect::<Result<_>>()?,
        })
    }

    /// The least of the two points around 1/(n + 2) is never taken: quantiles of few dimensions
    /// are less or more than those of many, and the larger one is safe.
    fn at(&self, inverse: f64) -> f64 {
        let place = (1.0 - inverse / self.most) * (POINTS - 1) as f64;
        let first = (place.max(0.0) as usize).min(POINTS - 2);
        self.values[first].max(self.values[first + 1])
    }
}

/// What bounds need of a group of a row.
#[derive(Clone, Copy, Default)]
struct Known {
    /// What the group's product is multiplied with for an unbiased estimate, divided by N.
    factor: f64,
    /// By how much of itself the estimate can be off.
    rounding: f64,
    /// n_g·tan θ_g/N.
    error: f64,
    /// n_g/N of a group without gain.
    lost: f64,
}

impl Quantizer {
    /// [`Quantizer::interval`] of codes along fitted axes; everything was checked.
    pub(super) fn interval_of_groups(
        &self,
        isa: Isa,
        (scalars, codes): (&GroupScalars, CodesRef<'_>),
        queries: &[Query],
        confidence: f64,
        [low, high]: [&mut [f32]; 2],
    ) -> Result<()> {
        let dims = self.parts.iter().map(|part| part.dim());
        let least = dims.fold(usize::MAX, usize::min).saturating_sub(1).max(1);
        let quantiles = Quantiles::new(least, confidence)?;
        let center_products = self.center_products(codes, Centering::Across);
        let center = self.center_square.sqrt();
        let sizes: Vec<[f64; MAX_GROUPS + 1]> =
            queries.iter().map(|query| self.sizes(query)).collect();
        let slack = UNIT * (16.0 + (self.spec.dim as f64).sqrt() / 4.0);
        let rows = codes.len();
        let tiles = columns(low, rows, ROWS_PER_TILE).into_iter();
        let tiles = tiles.zip(columns(high, rows, ROWS_PER_TILE));
        let coded = self.coded();
        let buffers = || (Vec::new(), vec![0f32; coded]);
        threads::for_each(
            tiles,
            buffers,
            |(index, words), tile, (mut lows, mut highs)| {
                threads::check();
                for i in 0..lows[0].len() {
                    let row = tile * ROWS_PER_TILE + i;
                    let code = codes.row(row);
                    let norm = f64::from(codes.scale[row]);
                    self.expand_groups(isa, scalars, code, index, words);
                    let (known, along_none) = self.known(isa, scalars, code, words);
                    let product = center_products.as_deref().map(|products| products[row]);
                    for (q, (query, sizes)) in queries.iter().zip(&sizes).enumerate() {
                        let (mut estimate, mut certain) = (0.0, along_none * sizes[MAX_GROUPS]);
                        let (mut variance, mut inverse) = (0.0, 0.0);
                        for (g, part) in self.parts.iter().enumerate() {
                            let here = part.place.clone();
                            let dot = reduce::dot(isa, &words[here.clone()], &query.vector[here]);
                            let found = f64::from(dot) * known[g].factor;
                            estimate += found;
                            certain += found.abs() * known[g].rounding + known[g].lost * sizes[g];
                            let dimensions = part.dim() as f64 - 1.0;
                            if dimensions > 0.0 {
                                let reach = known[g].error * sizes[g];
                                let own = reach * reach / dimensions;
                                variance += own;
                                inverse += own * own / (dimensions + 2.0);
                            }
                        }
                        let size = norm * query.factor;
                        let mut reach = certain + slack;
                        if variance > 0.0 {
                            reach +=
                                variance.sqrt() * quantiles.at(inverse / (variance * variance));
                        }
                        let of_center =
                            query.along.abs() * norm * center * (COSINE_ERROR + 4.0 * UNIT);
                        let base = query.base(product);
                        // No product is above ‖r‖‖y‖, whatever is known of it.
                        let least = (estimate - reach).clamp(-1.0, 1.0 - slack) - slack;
                        let most = (estimate + reach).clamp(slack - 1.0, 1.0) + slack;
                        lows[q][i] = round_down(size * least + base - of_center);
                        highs[q][i] = round_up(size * most + base + of_center);
                    }
                }
            },
        );
        Ok(())
    }

    /// ‖V_g y‖ of each group for the unit query, and last what it has along no group.
    fn sizes(&self, query: &Query) -> [f64; MAX_GROUPS + 1] {
        let mut sizes = [0.0; MAX_GROUPS + 1];
        let mut rest = 1.0;
        for (part, size) in self.parts.iter().zip(&mut sizes) {
            let square = reduce::squared_norm(Isa::Scalar, &query.vector[part.place.clone()]);
            let square = square * part.dim() as f64;
            rest -= square;
            *size = square.sqrt();
        }
        if self.coded() < self.spec.dim {
            sizes[MAX_GROUPS] = (rest + 1e-5).clamp(0.0, 1.0).sqrt();
        }
        sizes
    }

    /// What bounds need of the groups of a row, and the share of it along no group. `words` are its
    /// codewords times their gains.
    fn known(
        &self,
        isa: Isa,
        scalars: &GroupScalars,
        code: &[u8],
        words: &[f32],
    ) -> ([Known; MAX_GROUPS], f64) {
        let mut errors = [0f32; MAX_GROUPS + 1];
        scalars.errors(code, &mut errors);
        let mut known = [Known::default(); MAX_GROUPS];
        for ((part, known), &error) in self.parts.iter().zip(&mut known).zip(&errors) {
            let error = f64::from(error);
            let square = reduce::squared_norm(isa, &words[part.place.clone()]);
            if square == 0.0 {
                known.lost = error;
                continue;
            }
            // ‖c‖·h = n/cos θ, or n·cos θ where estimates are shrunk.
            let length = (square / part.dim() as f64).sqrt();
            let sine_square = match self.scale {
                ScaleRule::Mse => {
                    let ratio = error / length;
                    let sine = ((1.0 + 4.0 * ratio * ratio).sqrt() - 1.0) / (2.0 * ratio);
                    if ratio > 0.0 { sine * sine } else { 0.0 }
                }
                _ => 0.0,
            };
            *known = Known {
                factor: 1.0 / (1.0 - sine_square),
                rounding: GAIN_ERROR + SHRINK_ERROR * sine_square,
                error,
                lost: 0.0,
            };
        }
        (known, f64::from(errors[self.parts.len()]))
    }
}
