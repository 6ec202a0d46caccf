//! A stage of the pruning: one plane of the sketch in the units of a metric. It says how the LUT
//! sums of a query become keys and upper bounds of the rows.

use std::borrow::Cow;

use super::corpus::{Corpus, Metric};
use super::sketch::{Column, Plane, QueryLuts, max_magnitude};
use super::{Expand, Query};
use crate::kernels::fast_scan::{Keys, Term};

/// The addend of each row's key besides the sums, without the factor of the query
/// ([`Stage::weight`]), or none if keys need no addend.
///
/// It is ‖x‖² for the distance. With a center μ it is ⟨μ, r⟩ for the inner product and ⟨μ, x⟩/‖x‖
/// for the cosine. For the cosine of queries that are not centered it is 1/‖x‖.
pub(super) fn shift<E: Expand>(corpus: &Corpus<'_, E>, has_offset: bool) -> Option<Vec<f32>> {
    let over = |value: f64, norm: f32| {
        if norm > 0.0 {
            (value / f64::from(norm)) as f32
        } else {
            0.0
        }
    };
    match (corpus.metric, corpus.center) {
        (Metric::Euclidean, _) => Some(corpus.norm.iter().map(|&norm| norm * norm).collect()),
        (Metric::InnerProduct, Some(center)) => Some(center.products.to_vec()),
        (Metric::Cosine, Some(center)) => {
            let rows = center.products.iter().zip(corpus.norm);
            let along = |(&product, &norm)| over(center.square + f64::from(product), norm);
            Some(rows.map(along).collect())
        }
        (Metric::Cosine, None) if has_offset => {
            Some(corpus.norm.iter().map(|&norm| over(1.0, norm)).collect())
        }
        _ => None,
    }
}

/// The columns of one stage, in the units of the metric.
pub(super) struct Stage<'a> {
    pub plane: &'a Plane,
    factors: Vec<Cow<'a, [f32]>>,
    /// −∞ if a row is not allowed, so that its bound is below every other bound.
    spread: Cow<'a, [f32]>,
    shift: Option<&'a [f32]>,
    metric: Metric,
    /// Whether queries are centered.
    centered: bool,
    /// The largest magnitudes of factors, spreads and shifts.
    largest: [f32; 3],
}

impl<'a> Stage<'a> {
    pub fn new<E: Expand>(
        corpus: &Corpus<'_, E>,
        plane: &'a Plane,
        factors: &[&'a Column],
        spread: &'a Column,
        shift: Option<&'a [f32]>,
    ) -> Self {
        let in_metric = |column: &'a Column| match corpus.metric {
            Metric::Cosine => {
                let values: Vec<f32> = (column.values.iter().zip(corpus.norm))
                    .map(|(value, &norm)| if norm > 0.0 { value / norm } else { 0.0 })
                    .collect();
                (max_magnitude(&values), Cow::Owned(values))
            }
            _ => (column.max_magnitude, Cow::Borrowed(&*column.values)),
        };
        let (max_factors, factors): (Vec<f32>, Vec<_>) =
            factors.iter().map(|column| in_metric(column)).unzip();
        let (max_spread, mut spread) = in_metric(spread);
        if let Some(allowed) = corpus.allowed {
            for (spread, _) in
                (spread.to_mut().iter_mut().zip(allowed)).filter(|(_, allowed)| !**allowed)
            {
                *spread = f32::NEG_INFINITY;
            }
        }
        let largest = [
            max_factors.into_iter().fold(0.0, f32::max),
            max_spread,
            shift.map_or(0.0, max_magnitude),
        ];
        Self {
            plane,
            factors,
            spread,
            shift,
            metric: corpus.metric,
            centered: corpus.center.is_some(),
            largest,
        }
    }

    /// Whether all keys are far from the limits of float32, so that the bounds hold.
    pub fn is_usable(&self, query: &Query, luts: &QueryLuts) -> bool {
        let [factor, spread, shift] = self.largest;
        let product = factor * luts.offset.abs();
        (1e-30..1e30).contains(&product)
            && spread * luts.reach < 1e30
            && shift * self.weight(query).abs() < 1e30
    }

    /// The query's factor of the shift.
    fn weight(&self, query: &Query) -> f32 {
        match self.metric {
            Metric::Euclidean => -0.5,
            _ if self.centered => query.along as f32,
            _ => query.offset as f32,
        }
    }

    /// The largest magnitude of the addend that centering gives a key. Its rounding error is a
    /// share of this.
    pub fn center_size(&self, query: &Query) -> f32 {
        if self.centered {
            self.largest[2] * self.weight(query).abs()
        } else {
            0.0
        }
    }

    /// The keys of the rows from `from` on with these sums, which are those of the planes in order.
    pub fn keys<'s>(
        &'s self,
        query: &Query,
        luts: &QueryLuts,
        sums: [&'s [u16]; 2],
        from: usize,
    ) -> Keys<'s> {
        let rows = from..from + sums[0].len();
        let term = |place: usize| Term {
            sums: sums[place],
            factor: &self.factors[place][rows.clone()],
        };
        Keys {
            first: term(0),
            second: (self.factors.len() > 1).then(|| term(1)),
            spread: &self.spread[rows.clone()],
            shift: self.shift.map(|shift| &shift[rows.clone()]),
            unit: luts.unit,
            // Each term has its own rounding error.
            offset: luts.offset + luts.rounding,
            weight: self.weight(query),
            reach: luts.reach,
        }
    }
}
