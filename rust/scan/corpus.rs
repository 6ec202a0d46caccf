//! The corpus of a search: the rows that are searched, and the exact hits of some of them. This is
//! the rerank step.
//!
//! Exact means by the estimator of [`products`](super::products). For the inner product the scores
//! have its bits, and the other metrics continue from it in float64.
//!
//! **Keys** order rows as the metric does. The key is ⟨x, y⟩ − ⟨μ, y⟩ for the inner product with a
//! center μ, ⟨x, y⟩/‖x‖ for the cosine, and ⟨x, y⟩ − ‖x‖²/2 for the Euclidean distance. With a
//! center the last is that of r = x − μ and y − μ.

use std::cmp::Ordering;

use super::{Expand, Query, Work, joined};
use crate::aligned::Aligned;
use crate::codes::CodesRef;
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::{dense, prefetch};

/// Rows whose codes are prefetched while the rows before them are estimated: candidates are far
/// apart in memory.
const ROWS_PER_PREFETCH: usize = 8;
const CACHE_LINE_BYTES: usize = 64;

/// Rows that are expanded at a time for all queries.
const ROWS_PER_TILE: usize = 32;

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

    /// The metric of this name.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|metric| metric.name() == name);
        found.ok_or_else(|| Error::invalid(format!("metric={name:?}, expected ip, l2 or cosine")))
    }
}

/// A query of a search, with its norm.
#[derive(Debug, Clone, Copy)]
pub(super) struct SearchQuery<'a> {
    pub scan: &'a Query,
    /// ‖y‖, or ‖y − μ‖ for the distance with a center μ.
    pub norm: f64,
}

/// A row and its score. Hits are ordered best first.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// The position of the row in the batch.
    pub row: u32,
    /// The score in the units of the metric.
    pub score: f32,
    /// The score with the sign for which larger is better.
    merit: f32,
    /// The score in the units of the sketch's keys.
    pub(super) key: f32,
}

impl Hit {
    pub(super) fn order(&self, other: &Self) -> Ordering {
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
    /// Which rows may be found.
    pub allowed: Option<&'a [bool]>,
    /// Access to the vectors that queries are multiplied with.
    pub expand: E,
}

impl<E: Expand> Corpus<'_, E> {
    pub(super) fn is_allowed(&self, row: u32) -> bool {
        self.allowed.is_none_or(|allowed| allowed[row as usize])
    }

    fn hit(&self, query: SearchQuery<'_>, row: u32, dot: f32) -> Hit {
        let SearchQuery { scan: query, norm } = query;
        let i = row as usize;
        let scale = self.codes.scale[i];
        let product = query.product(dot, scale);
        let center_product = self.center.map(|center| center.products[i]);
        let estimate = product + query.base(center_product);
        let own = || f64::from(self.norm[i]);
        let (score, key) = match self.metric {
            Metric::InnerProduct => {
                let along = center_product.map_or(0.0, |own| query.along * f64::from(own));
                (estimate, product + along)
            }
            Metric::Euclidean => {
                let square = own() * own();
                let distance = square + norm * norm - 2.0 * estimate;
                (distance.max(0.0), product - 0.5 * square)
            }
            Metric::Cosine => {
                let divide = |by: f64| if by > 0.0 { estimate / by } else { 0.0 };
                (divide(own() * norm), divide(own()))
            }
        };
        // Adding zero turns −0 into 0, so that the two tie.
        let score = score as f32 + 0.0;
        let merit = match self.metric {
            Metric::Euclidean => -score,
            _ => score,
        };
        // Damaged codes can give NaN, and such rows come last.
        let merit = if merit.is_nan() {
            f32::NEG_INFINITY
        } else {
            merit
        };
        Hit {
            row,
            score,
            merit,
            key: key as f32,
        }
    }

    /// The hits of some rows with one query.
    pub(super) fn hits(
        &self,
        query: SearchQuery<'_>,
        rows: &[u32],
        work: &mut Work,
        hits: &mut Vec<Hit>,
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
        let mut dots = [0f32; ROWS_PER_PREFETCH];
        for (place, some) in rows.chunks(ROWS_PER_PREFETCH).enumerate() {
            let next = rows.len().min((place + 1) * ROWS_PER_PREFETCH);
            prefetch_codes(&rows[next..rows.len().min(next + ROWS_PER_PREFETCH)]);
            let dots = &mut dots[..some.len()];
            (self.expand).products(some, &query.scan.vector, work, dots);
            let pairs = some.iter().zip(&*dots);
            hits.extend(pairs.map(|(&row, &dot)| self.hit(query, row, dot)));
        }
    }

    /// The hits of some rows with all queries. Each row is expanded once.
    pub(super) fn hits_of_all(
        &self,
        isa: Isa,
        queries: &[SearchQuery<'_>],
        rows: &[u32],
        mut found: impl FnMut(usize, Hit),
    ) {
        let Some(length) = queries.first().map(|query| query.scan.vector.len()) else {
            return;
        };
        let vectors = joined(queries.iter().map(|query| query.scan));
        let mut index = Vec::new();
        let (mut expanded, mut dots) = (
            Aligned::new(ROWS_PER_TILE * length),
            vec![0f32; ROWS_PER_TILE * queries.len()],
        );
        for tile in rows.chunks(ROWS_PER_TILE) {
            let expanded = &mut expanded[..tile.len() * length];
            for (&row, c) in tile.iter().zip(expanded.chunks_exact_mut(length)) {
                self.expand.expand(row as usize, &mut index, c);
            }
            let dots = &mut dots[..tile.len() * queries.len()];
            dense::products(isa, expanded, length, &vectors, dots);
            for (q, (&query, dots)) in queries
                .iter()
                .zip(dots.chunks_exact(tile.len()))
                .enumerate()
            {
                for (&row, &dot) in tile.iter().zip(dots) {
                    found(q, self.hit(query, row, dot));
                }
            }
        }
    }
}
