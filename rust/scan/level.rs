//! A level of the sketch in the units of a metric: what turns sums into keys.

use std::borrow::Cow;

use super::rows::{Metric, Rows};
use super::sketch::{Column, Plane, Tables, greatest};
use super::{Expand, Query};
use crate::kernels::fast_scan::{Keys, Term};

/// What is added to the keys besides the sums, for each row, without the query's factor
/// ([`Level::weight`]): ‖x‖² for the distance; with a center μ ⟨μ, r⟩ for the inner product and
/// ⟨μ, x⟩/‖x‖ for the cosine, or 1/‖x‖ where queries are not centered. Nothing where keys need nothing.
pub(super) fn shift<E: Expand>(rows: &Rows<'_, E>, has_offset: bool) -> Option<Vec<f32>> {
    let over = |value: f64, norm: f32| {
        if norm > 0.0 {
            (value / f64::from(norm)) as f32
        } else {
            0.0
        }
    };
    match (rows.metric, rows.center) {
        (Metric::Euclidean, _) => Some(rows.norm.iter().map(|&norm| norm * norm).collect()),
        (Metric::InnerProduct, Some(center)) => Some(center.products.to_vec()),
        (Metric::Cosine, Some(center)) => {
            let rows = center.products.iter().zip(rows.norm);
            let along = |(&product, &norm)| over(center.square + f64::from(product), norm);
            Some(rows.map(along).collect())
        }
        (Metric::Cosine, None) if has_offset => {
            Some(rows.norm.iter().map(|&norm| over(1.0, norm)).collect())
        }
        _ => None,
    }
}

/// What a level gives the keys, in the metric's units.
pub(super) struct Level<'a> {
    pub plane: &'a Plane,
    factors: Vec<Cow<'a, [f32]>>,
    /// −∞ where a row is not allowed, so that no bound of it is above any other.
    spread: Cow<'a, [f32]>,
    shift: Option<&'a [f32]>,
    metric: Metric,
    /// Whether queries are centered.
    centered: bool,
    /// The greatest |factor|, spread and shift.
    greatest: [f32; 3],
}

impl<'a> Level<'a> {
    pub fn new<E: Expand>(
        rows: &Rows<'_, E>,
        plane: &'a Plane,
        factors: &[&'a Column],
        spread: &'a Column,
        shift: Option<&'a [f32]>,
    ) -> Self {
        let in_metric = |column: &'a Column| match rows.metric {
            Metric::Cosine => {
                let values: Vec<f32> = (column.values.iter().zip(rows.norm))
                    .map(|(value, &norm)| if norm > 0.0 { value / norm } else { 0.0 })
                    .collect();
                (greatest(&values), Cow::Owned(values))
            }
            _ => (column.greatest, Cow::Borrowed(&*column.values)),
        };
        let (greatest_factors, factors): (Vec<f32>, Vec<_>) =
            factors.iter().map(|column| in_metric(column)).unzip();
        let (greatest_spread, mut spread) = in_metric(spread);
        if let Some(allowed) = rows.allowed {
            for (spread, _) in
                (spread.to_mut().iter_mut().zip(allowed)).filter(|(_, allowed)| !**allowed)
            {
                *spread = f32::NEG_INFINITY;
            }
        }
        let greatest = [
            greatest_factors.into_iter().fold(0.0, f32::max),
            greatest_spread,
            shift.map_or(0.0, greatest),
        ];
        Self {
            plane,
            factors,
            spread,
            shift,
            metric: rows.metric,
            centered: rows.center.is_some(),
            greatest,
        }
    }

    /// Whether keys are far from where float32 ends, so that no bound is lost.
    pub fn is_usable(&self, query: &Query, tables: &Tables) -> bool {
        let [factor, spread, shift] = self.greatest;
        let product = factor * tables.offset.abs();
        (1e-30..1e30).contains(&product)
            && spread * tables.reach < 1e30
            && shift * self.weight(query).abs() < 1e30
    }

    /// Factor of the shift.
    fn weight(&self, query: &Query) -> f32 {
        match self.metric {
            Metric::Euclidean => -0.5,
            _ if self.centered => query.along as f32,
            _ => query.offset as f32,
        }
    }

    /// The greatest magnitude of what centering adds to a key: its rounding is a share of that.
    pub fn center_size(&self, query: &Query) -> f32 {
        if self.centered {
            self.greatest[2] * self.weight(query).abs()
        } else {
            0.0
        }
    }

    /// Keys of the rows from `from` on that have these sums, of the planes in order.
    pub fn keys<'s>(
        &'s self,
        query: &Query,
        tables: &Tables,
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
            unit: tables.unit,
            // The rounding of each term is its own.
            offset: tables.offset + tables.rounding,
            weight: self.weight(query),
            reach: tables.reach,
        }
    }
}
