//! Keys: the order of a metric as one float32 per row, which filters compare with a threshold.
//!
//! The key of a row is α·⟨c, y′⟩ + w·h, with α and h of the row, w of the query. Its order is that
//! of the score: α is s, or s/‖x‖ for the cosine; w·h is −‖x‖²/2 for the distance, and with a
//! center what is added to the inner product, divided by ‖x‖ for the cosine. Everything is divided
//! by the factor of the query.
//!
//! **Contract.** A filter only has to let through every row that can be in the result, so
//! thresholds are lowered by more than the rounding error of keys.

use super::Expand;
use super::corpus::{Corpus, Metric, SearchQuery};
use super::top::Bar;
use crate::kernels::convert;

/// The relative rounding error of thresholds and addends.
const ROUNDING: f64 = 4e-6;

impl<E: Expand> Corpus<'_, E> {
    /// α of a row; none if the row has no bounds.
    pub(super) fn alpha(&self, row: usize) -> Option<f32> {
        let alpha = self.any_alpha(row);
        (alpha == 0.0 || convert::USABLE.contains(&alpha)).then_some(alpha)
    }

    /// α of some rows, also of those without bounds.
    pub(super) fn alphas(&self, rows: std::ops::Range<usize>, alphas: &mut Vec<f32>) {
        match self.metric {
            Metric::Cosine => {
                let rows = self.codes.scale[rows.clone()].iter().zip(&self.norm[rows]);
                // A division without a branch, so that the compiler makes vectors of it.
                alphas.extend(rows.map(|(&scale, &norm)| {
                    let alpha = scale / norm;
                    if norm > 0.0 { alpha } else { 0.0 }
                }));
            }
            _ => alphas.extend_from_slice(&self.codes.scale[rows]),
        }
    }

    fn any_alpha(&self, row: usize) -> f32 {
        let scale = self.codes.scale[row];
        match self.metric {
            Metric::Cosine if self.norm[row] > 0.0 => scale / self.norm[row],
            Metric::Cosine => 0.0,
            _ => scale,
        }
    }

    /// Whether rows have an addend.
    pub(super) fn has_shift(&self) -> bool {
        self.metric == Metric::Euclidean || self.center.is_some()
    }

    /// h of a row.
    pub(super) fn shift(&self, row: usize) -> f32 {
        let own = || f64::from(self.norm[row]);
        let along = |square: f64| {
            (self.center).map_or(0.0, |center| square + f64::from(center.products[row]))
        };
        let shift = match self.metric {
            Metric::Euclidean => own() * own(),
            Metric::InnerProduct => along(0.0),
            Metric::Cosine if own() > 0.0 => along(self.center.map_or(0.0, |c| c.square)) / own(),
            Metric::Cosine => 0.0,
        };
        shift as f32
    }

    /// h of some rows.
    pub(super) fn shifts(&self, rows: std::ops::Range<usize>, shifts: &mut Vec<f32>) {
        match (self.metric, self.center) {
            (Metric::InnerProduct, Some(center)) => {
                shifts.extend(center.products[rows].iter().map(|product| product + 0.0));
            }
            (Metric::Euclidean, _) => {
                let square = |&own: &f32| (f64::from(own) * f64::from(own)) as f32;
                shifts.extend(self.norm[rows].iter().map(square));
            }
            _ => shifts.extend(rows.map(|row| self.shift(row))),
        }
    }

    /// |h| of a row; 0 if rows have no addend.
    pub(super) fn shift_size(&self, row: u32) -> f32 {
        if self.has_shift() {
            self.shift(row as usize).abs()
        } else {
            0.0
        }
    }

    /// The key of a row with this product, for a query of this weight; none if the row has no
    /// bounds.
    pub(super) fn key(&self, weight: f32, row: u32, product: f32) -> Option<f32> {
        let alpha = self.alpha(row as usize)?;
        let added = if self.has_shift() {
            weight * self.shift(row as usize)
        } else {
            0.0
        };
        Some(alpha * product + added)
    }

    /// w of a query.
    pub(super) fn weight(&self, query: SearchQuery<'_>) -> f32 {
        let weight = match self.metric {
            Metric::Euclidean => -0.5,
            _ => query.scan.along,
        };
        (weight / query.scan.factor) as f32
    }

    /// The least key of a row that can reach the bar, if no addend is larger than `most`.
    pub(super) fn threshold(&self, query: SearchQuery<'_>, bar: Bar, most: f32) -> f32 {
        let rank = f64::from(bar.rank());
        if rank.is_nan() || rank == f64::NEG_INFINITY {
            return f32::NEG_INFINITY;
        }
        let offset = query.scan.offset;
        let (key, size) = match self.metric {
            Metric::InnerProduct => (rank - offset, offset.abs()),
            // Distances are −rank, and those below 0 tie with 0.
            Metric::Euclidean => {
                let square = query.norm * query.norm;
                ((square + rank) / 2.0 - offset, square + offset.abs())
            }
            // The offset is part of the addend.
            Metric::Cosine => (rank * query.norm, 0.0),
        };
        let addend = f64::from(most) * f64::from(self.weight(query)).abs();
        let slack = ROUNDING * (key.abs() + size) / query.scan.factor + ROUNDING * addend;
        let threshold = (key / query.scan.factor - slack) as f32;
        // A NaN comes from infinities: nothing is left out then.
        if threshold.is_nan() {
            f32::NEG_INFINITY
        } else {
            threshold
        }
    }
}
