//! Computing on packed codes: inner products of all pairs, and search. Neither decodes the batch.
//!
//! Without a center ⟨x̂, y⟩ = s/√d · ⟨c, R y⟩, so a query is rotated once and a row is represented
//! by its codeword vector c. With a center an exact part is added, which is linear in one scalar of
//! the row ([`Query::base`]). The method decides what a row is expanded to, and this module asks
//! for it through [`Expand`].
//!
//! [`products`] computes all pairs. [`search`] prunes and reranks: upper bounds from the signs and
//! the integers of the codewords drop the rows that cannot be among the best ([`bounds`]), and the
//! others are estimated exactly.
//!
//! Layers: `search` → `cascade` → `passes` → `refine` → `filter` → `tile` → `keys`, `plain`, `run`,
//! [`signs`], `tuning` → `top` → `levels` → [`bounds`], `corpus`.

pub mod bounds;
mod cascade;
mod corpus;
mod filter;
mod keys;
mod levels;
mod passes;
mod plain;
pub mod products;
mod refine;
mod run;
pub mod search;
pub mod signs;
mod tile;
mod top;
mod tuning;

use crate::aligned::Aligned;
use crate::isa::Isa;
use crate::kernels::convert::{self, Centered};

/// Access to the expanded rows: the vectors that queries are multiplied with.
pub trait Expand: Sync {
    /// Writes the vector of a row. It is as long as a query's.
    fn expand(&self, row: usize, index: &mut Vec<u16>, out: &mut [f32]);

    /// The products of some rows with a query's vector, with the same bits as
    /// [`dot`](crate::kernels::reduce::dot) of their vectors.
    fn products(&self, rows: &[u32], query: &[f32], work: &mut Work, out: &mut [f32]);
}

/// Buffers of [`Expand::products`].
#[derive(Debug, Default, Clone)]
pub struct Work {
    /// Indexes of a few rows.
    pub index: Vec<u16>,
    /// An expanded row.
    pub expanded: Vec<f32>,
}

/// A query ready for the scan.
#[derive(Debug, Clone)]
pub struct Query {
    /// The rotated query, which expanded rows are multiplied with.
    pub vector: Aligned<f32>,
    /// The factor of every product besides the scale of the row.
    pub factor: f64,
    /// ⟨μ, y⟩ with the center μ, which is added to every estimate; −0 without a center.
    pub offset: f64,
    /// The factor of ⟨μ, r⟩ of each row, which is added as well if the query is centered.
    pub along: f64,
}

impl Query {
    /// The exact part of the estimate, for a row with this ⟨μ, r⟩ if the query is centered.
    pub fn base(&self, center_product: Option<f32>) -> f64 {
        center_product.map_or(self.offset, |product| {
            self.offset + self.along * f64::from(product)
        })
    }

    /// The estimates for some rows whose products with the vector are `dots`. They have the bits of
    /// [`Query::product`] + [`Query::base`], rounded to float32.
    pub fn estimates(
        &self,
        isa: Isa,
        dots: &[f32],
        scale: &[f32],
        center_product: Option<&[f32]>,
        out: &mut [f32],
    ) {
        let (factor, offset, along) = (self.factor, self.offset, self.along);
        match center_product {
            None => convert::estimates(isa, dots, scale, factor, offset, out),
            Some(products) => {
                let query = Centered {
                    factor,
                    offset,
                    along,
                };
                convert::centered_estimates(isa, dots, scale, products, query, out);
            }
        }
    }

    /// The estimated part of the estimate.
    pub fn product(&self, dot: f32, scale: f32) -> f64 {
        f64::from(dot) * f64::from(scale) * self.factor
    }
}

/// The vectors of the queries, concatenated.
pub(crate) fn joined<'a>(queries: impl IntoIterator<Item = &'a Query>) -> Aligned<f32> {
    let queries = queries.into_iter();
    let all: Vec<f32> = queries
        .flat_map(|query| query.vector.iter().copied())
        .collect();
    Aligned::from(&*all)
}

/// Splits lines of `length` values, one line per query, into columns of `width` values. Each column
/// has one piece per line. Columns are disjoint, so that threads can fill them in parallel.
pub(crate) fn columns<T>(lines: &mut [T], length: usize, width: usize) -> Vec<Vec<&mut [T]>> {
    let mut columns: Vec<Vec<&mut [T]>> = Vec::new();
    columns.resize_with(length.div_ceil(width), Vec::new);
    for line in lines.chunks_exact_mut(length) {
        for (column, piece) in columns.iter_mut().zip(line.chunks_mut(width)) {
            column.push(piece);
        }
    }
    columns
}
