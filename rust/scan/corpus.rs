//! The corpus of a search: the rows that are searched, and the exact hits of some of them. This is
//! the rerank step.
//!
//! Exact means by the estimator of [`products`](super::products). For the inner product the scores
//! have its bits, and the other metrics continue from it in float64.

use std::cmp::Ordering;

use super::{Expand, Query, Work};
use crate::codes::CodesRef;
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::convert::{self, Centered, Score};
use crate::kernels::prefetch;

/// Rows whose codes are prefetched while the rows before them are estimated: candidates are far
/// apart in memory.
const ROWS_PER_PREFETCH: usize = 8;
const CACHE_LINE_BYTES: usize = 64;

/// How rows are compared with a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// ⟨x, y⟩, the largest first.
    InnerProduct,
    /// ‖x − y‖², the smallest first, never below 0.
    Euclidean,
    /// ⟨x, y⟩/(‖x‖‖y‖), the largest first; 0 for a zero row or query.
    Cosine,
}

impl Metric {
    const ALL: [Self; 3] = [Self::InnerProduct, Self::Euclidean, Self::Cosine];

    /// The name: `ip`, `l2` or `cosine`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InnerProduct => "ip",
            Self::Euclidean => "l2",
            Self::Cosine => "cosine",
        }
    }

    /// The score with the sign for which larger is better, or the score that has this sign.
    fn signed(self, score: f32) -> f32 {
        match self {
            Self::Euclidean => -score,
            _ => score,
        }
    }

    /// The metric of this name.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|metric| metric.name() == name);
        found.ok_or_else(|| Error::invalid(format!("metric={name:?}, expected ip, l2 or cosine")))
    }
}

/// The merit of a score with the sign for which larger is better. Damaged codes can give NaN, and
/// such rows come last.
pub(super) fn merit_of(signed: f32) -> f32 {
    if signed.is_nan() {
        f32::NEG_INFINITY
    } else {
        signed
    }
}

/// A query of a search, with its norm.
#[derive(Debug, Clone, Copy)]
pub(super) struct SearchQuery<'a> {
    pub scan: &'a Query,
    /// ‖y‖, or ‖y − μ‖ for the distance with a center μ.
    pub norm: f64,
}

/// A row and its score.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// The position of the row in the batch.
    pub row: u32,
    /// The score in the units of the metric.
    pub score: f32,
    /// m, by which rows are chosen: the merit at the least of the exact product and the upper
    /// bounds that the search has of it. It is at most the merit of `score`, which is the score, or
    /// minus the distance.
    pub rank: f32,
    /// The score with the sign for which larger is better.
    pub(super) merit: f32,
}

impl Hit {
    /// The hit of a row with this score and rank.
    pub fn new(metric: Metric, row: u32, score: f32, rank: f32) -> Self {
        Self {
            row,
            score,
            rank,
            merit: merit_of(metric.signed(score)),
        }
    }

    /// The order of a result: the best score first, then the lower row.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        (other.merit.total_cmp(&self.merit)).then(self.row.cmp(&other.row))
    }
}

/// The values that centered queries need.
#[derive(Debug, Clone, Copy)]
pub struct Center<'a> {
    /// ‖μ‖².
    pub square: f64,
    /// ⟨μ, r⟩ of each row.
    pub products: &'a [f32],
}

/// The rows that are searched.
pub struct Corpus<'a, E> {
    /// The codes.
    pub codes: CodesRef<'a>,
    /// How rows are compared.
    pub metric: Metric,
    /// ‖x‖ for the cosine; ‖x‖, or ‖r‖ with a center, for the distance; unused for the inner
    /// product.
    pub norm: &'a [f32],
    /// The values that centered queries need, if they are centered.
    pub center: Option<Center<'a>>,
    /// Access to the vectors that queries are multiplied with.
    pub expand: E,
}

impl<E: Expand> Corpus<'_, E> {
    /// The merit of a row whose product with the query's vector is `dot`, with which it grows.
    pub(super) fn merit(&self, query: SearchQuery<'_>, row: u32, dot: f32) -> f32 {
        merit_of(self.signed_score(query, row, dot))
    }

    /// The score with the sign for which larger is better.
    pub(super) fn signed_score(&self, query: SearchQuery<'_>, row: u32, dot: f32) -> f32 {
        let i = row as usize;
        let mut signed = [0.0];
        let center = self.center.map(|center| &center.products[i..=i]);
        let own = self.norm.get(i..=i).unwrap_or_default();
        self.signed_scores(
            Isa::Scalar,
            query,
            &[dot],
            &self.codes.scale[i..=i],
            center,
            own,
            &mut signed,
        );
        signed[0]
    }

    /// The scores of some rows with these products, scales, ⟨μ, r⟩ and norms, with the sign for
    /// which larger is better.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn signed_scores(
        &self,
        isa: Isa,
        query: SearchQuery<'_>,
        dots: &[f32],
        scale: &[f32],
        center: Option<&[f32]>,
        own: &[f32],
        signed: &mut [f32],
    ) {
        let SearchQuery { scan, norm } = query;
        let score = match self.metric {
            Metric::InnerProduct => Score::Product,
            Metric::Euclidean => Score::MinusDistance { own, norm },
            Metric::Cosine => Score::Cosine { own, norm },
        };
        let query = Centered {
            factor: scan.factor,
            offset: scan.offset,
            along: scan.along,
        };
        convert::scores(isa, dots, scale, center, query, score, signed);
    }

    /// The hit of a row with this signed score, whose product is at most `upper` in its rank.
    pub(super) fn hit_of_score(
        &self,
        query: SearchQuery<'_>,
        row: u32,
        signed: f32,
        upper: f32,
    ) -> Hit {
        let merit = merit_of(signed);
        let rank = if upper < f32::INFINITY {
            merit.min(self.merit(query, row, upper))
        } else {
            merit
        };
        Hit {
            row,
            score: self.metric.signed(signed),
            rank,
            merit,
        }
    }

    /// The products of some rows, which may lie far apart, with one query.
    pub(super) fn products(
        &self,
        query: SearchQuery<'_>,
        rows: &[u32],
        work: &mut Work,
        dots: &mut Vec<f32>,
    ) {
        let prefetch_codes = |rows: &[u32]| {
            for &row in rows {
                let code = self.codes.row(row as usize);
                code.chunks(CACHE_LINE_BYTES)
                    .for_each(|line| prefetch(&line[0]));
                prefetch(&self.codes.scale[row as usize]);
            }
        };
        prefetch_codes(&rows[..rows.len().min(ROWS_PER_PREFETCH)]);
        dots.resize(rows.len(), 0.0);
        let pieces = rows
            .chunks(ROWS_PER_PREFETCH)
            .zip(dots.chunks_mut(ROWS_PER_PREFETCH));
        for (place, (some, dots)) in pieces.enumerate() {
            let next = rows.len().min((place + 1) * ROWS_PER_PREFETCH);
            prefetch_codes(&rows[next..rows.len().min(next + ROWS_PER_PREFETCH)]);
            (self.expand).products(some, &query.scan.vector, work, dots);
        }
    }
}
