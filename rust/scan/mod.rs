//! Computing on packed codes: inner products of all pairs ([`products`]), and search ([`search`]) by way of a sketch of the rows ([`sketch`]).
//!
//! ⟨x̂, y⟩ = s/√d · ⟨û, R y⟩ without a center, so a query is rotated once and a row is its codeword
//! vector. With a center an exact part is added, which is linear in one scalar of the row
//! ([`Query::base`]). What a row is expanded to is the method's affair: this module asks for it
//! ([`Expand`]). Layers: `search` → `filter` → `level` → `rows`, [`sketch`].

mod filter;
mod level;
pub mod products;
mod rows;
pub mod search;
mod seeds;
pub mod sketch;

use crate::aligned::Aligned;
use crate::isa::Isa;
use crate::kernels::convert::{self, Centered};

/// What queries are multiplied with, of each row.
pub trait Expand: Sync {
    /// Writes the vector of a row, as long as a query's.
    fn expand(&self, row: usize, index: &mut Vec<u16>, out: &mut [f32]);

    /// The products of some rows with a query's vector: the bits of [`dot`](crate::kernels::reduce::dot) with their vectors.
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
    /// What expanded rows are multiplied with.
    pub vector: Aligned<f32>,
    /// Factor of every product besides the row's scale.
    pub factor: f64,
    /// ⟨μ, y⟩ with the center μ, added to every estimate; −0 without a center.
    pub offset: f64,
    /// Factor of ⟨μ, r⟩ of each row, which is added too, for a query that is centered.
    pub along: f64,
}

impl Query {
    /// The exact part of the estimate for a row with this ⟨μ, r⟩, if it has one.
    pub fn base(&self, center_product: Option<f32>) -> f64 {
        center_product.map_or(self.offset, |product| {
            self.offset + self.along * f64::from(product)
        })
    }

    /// The estimates for some rows whose products with the vector are `dots`: the bits of
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

/// The vectors one after the other.
pub(crate) fn joined<'a>(queries: impl IntoIterator<Item = &'a Query>) -> Aligned<f32> {
    let queries = queries.into_iter();
    let all: Vec<f32> = queries
        .flat_map(|query| query.vector.iter().copied())
        .collect();
    Aligned::from(&*all)
}

/// Lines of `length` values, one a query, cut into columns of `width`, one piece a line: disjoint, so columns can be filled in parallel.
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
