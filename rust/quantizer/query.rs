//! Queries: each is rotated once, and is centered as the rows are.
//!
//! With a center μ the rows are x = μ + r, and the codes estimate ⟨v, r⟩ for any vector v. Two
//! identities turn a query y into a short v. The error is proportional to ‖r‖·‖v‖, so it does not
//! grow with the part that rows and queries share:
//!
//! ```text
//! ⟨x, y⟩    = ⟨μ, y⟩ + a·⟨μ, r⟩ + ⟨y − a·μ, r⟩      a = ⟨μ, y⟩/‖μ‖²   (Centering::Across)
//! ‖x − y‖²  = ‖r‖² + ‖y − μ‖² − 2·⟨y − μ, r⟩                            (Centering::Difference)
//! ```
//!
//! Only the last term of each is estimated; ⟨μ, r⟩ and ‖r‖ are scalars of the row. Both identities
//! hold for every a, so the rounding of a does no harm.
//!
//! The exact term a·⟨μ, r⟩ requires an unbiased estimate beside it. The scale rules `mse` and
//! `none` shrink the estimate by cos²θ or ρ, so rows would be ordered by the sum of a shrunk term
//! and an exact one. With these rules inner products are therefore those of the decoded row,
//! which is ⟨μ, y⟩ + ⟨r̂, y⟩ (Centering::Rows). A search by them is refused, because with most of
//! the energy in the center it finds fewer rows than without a center
//! (`benches/results/centering.txt`). The exact terms of distances do not depend on the
//! rule, so distances are centered with every rule.

use std::borrow::Cow;

use super::fitted::{GroupScalars, MAX_GROUPS};
use super::load::Origin;
use super::{Buffers, Quantizer, check_dim, is_unbiased};
use crate::aligned::Aligned;
use crate::codes::CodesRef;
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::asymmetric::ROWS_PER_CALL;
use crate::kernels::{convert, dense, reduce};
use crate::rows::{Dense, Rows};
use crate::scan::{Expand, Query, Work, products};
use crate::threads;

/// The relative error that terms in float32 may give a sum of squares.
const SQUARES_ROUNDING: f64 = 1.0 / (1 << 22) as f64;

/// ‖μ + r‖² of ‖μ‖², ⟨μ, r⟩ and ‖r‖²; 0 where it is no more than their rounding.
pub(super) fn square_of(center: f64, product: f64, residual: f64) -> f64 {
    let square = center + 2.0 * product + residual;
    if square > SQUARES_ROUNDING * (center + residual) {
        square
    } else {
        0.0
    }
}

/// What is subtracted from a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Centering {
    /// Nothing is subtracted, because only the rows are centered or nothing is.
    Rows,
    /// The part along the center is subtracted.
    Across,
    /// The center is subtracted.
    Difference,
}

impl Quantizer {
    /// How queries are centered for inner products.
    pub(super) fn product_centering(&self) -> Centering {
        let has_products = self.shape.scalars.center_product || self.scalars.is_some();
        if has_products && is_unbiased(self.shape.has_gamma, self.scale) {
            Centering::Across
        } else {
            Centering::Rows
        }
    }

    /// Estimates of ⟨x, y⟩ from the codes of n rows and m × dim queries: m × n, row j for query j.
    ///
    /// # Errors
    /// If the length is not a multiple of dim, a value is not finite, or the codes do not have the
    /// layout of this quantizer.
    pub fn inner_product(&self, codes: CodesRef<'_>, y: &[f32]) -> Result<Vec<f32>> {
        let queries = Dense::new(y, self.spec.dim)?;
        let mut out = vec![0.0; queries.rows() * codes.len()];
        self.inner_product_into(Isa::current()?, codes, &queries, &mut out)?;
        Ok(out)
    }

    /// Estimates of ⟨x, y⟩ from the codes: m × n, row j for query j.
    pub fn inner_product_into(
        &self,
        isa: Isa,
        codes: CodesRef<'_>,
        y: &dyn Rows,
        out: &mut [f32],
    ) -> Result<()> {
        self.check(codes)?;
        let centering = self.product_centering();
        let (queries, _) = self.queries(isa, y, centering)?;
        let length = self.expanded_len();
        let expander = self.expander(isa, codes);
        let center_products = self.center_products(codes, centering);
        let scalars = products::Scalars {
            scale: codes.scale,
            center_product: center_products.as_deref(),
        };
        products::inner_products(isa, &queries, scalars, out, |from, live, buffer| {
            let mut index = Vec::new();
            for (row, expanded) in (from..from + live).zip(buffer.chunks_exact_mut(length)) {
                expander.expand(row, &mut index, expanded);
            }
        });
        Ok(())
    }

    /// ‖x‖ of every row, if the codes have norms. It is stored or, with a center μ, derived from
    /// ‖x‖² = ‖μ‖² + 2⟨μ, r⟩ + ‖r‖². If this sum is zero up to rounding, which is about 5·10⁻⁴·‖μ‖,
    /// the norm is 0, because the direction of such a row is unknown.
    pub fn norms<'a>(&self, codes: CodesRef<'a>) -> Result<Option<Cow<'a, [f32]>>> {
        self.check(codes)?;
        if self.center().is_none() {
            return Ok(codes.norm.map(Cow::Borrowed));
        }
        let products = self.center_products(codes, Centering::Across);
        let (Some(residual), Some(products)) = (self.residual_norms(codes), products) else {
            return Ok(None);
        };
        let center = self.center_square;
        let norm = |(&residual, &product): (&f32, &f32)| {
            let residual = f64::from(residual) * f64::from(residual);
            square_of(center, f64::from(product), residual).sqrt() as f32
        };
        Ok(Some(residual.iter().zip(&*products).map(norm).collect()))
    }

    /// The norms of what was quantized, ‖x‖ or ‖x − μ‖, if the codes have norms.
    pub(super) fn residual_norms<'a>(&self, codes: CodesRef<'a>) -> Option<&'a [f32]> {
        match self.spec.center {
            _ if self.scalars.is_some() => Some(codes.scale),
            None => codes.norm,
            Some(_) if !self.spec.store_norm => None,
            // γ is stored in this place, but s = ‖r‖·S with S = 1.
            Some(_) if self.shape.has_gamma => Some(codes.scale),
            Some(_) => codes.residual_norm,
        }
    }

    /// ⟨μ, r⟩ of the rows, for queries without their part along the center.
    pub(super) fn center_products<'a>(
        &self,
        codes: CodesRef<'a>,
        centering: Centering,
    ) -> Option<Cow<'a, [f32]>> {
        if centering != Centering::Across {
            return None;
        }
        let Some(scalars) = &self.scalars else {
            return codes.center_product.map(Cow::Borrowed);
        };
        let length = self.center_square.sqrt();
        let product = |row: usize| {
            let cosine = scalars.cosine(codes.row(row));
            (f64::from(codes.scale[row]) * length * cosine) as f32
        };
        Some((0..codes.len()).map(product).collect())
    }

    /// Values of the vector that queries are multiplied with.
    fn expanded_len(&self) -> usize {
        match self.scalars {
            Some(_) => self.coded(),
            None => self.method().expanded_len(self.spec.dim),
        }
    }

    /// Access to the vectors that queries are multiplied with.
    pub(super) fn expander<'a>(&'a self, isa: Isa, codes: CodesRef<'a>) -> Expander<'a> {
        Expander {
            quantizer: self,
            isa,
            codes,
        }
    }

    /// Queries for the scan, each with its norm: ‖y‖, or ‖y − μ‖ for a difference.
    pub(super) fn queries(
        &self,
        isa: Isa,
        y: &dyn Rows,
        centering: Centering,
    ) -> Result<(Vec<Query>, Vec<f64>)> {
        let dim = self.spec.dim;
        check_dim(y.dim(), dim)?;
        let length = self.expanded_len();
        let square = self.center_square;
        let center = self.center();
        let origin = match (centering, center) {
            (Centering::Difference, Some(center)) => Origin::Center(center),
            (Centering::Across, Some(center)) if square > 0.0 => Origin::Along(center, square),
            _ => Origin::Zero,
        };
        // Queries that share the reads of the axes.
        let together = match self.scalars {
            Some(_) => dense::VECTORS_PER_BATCH,
            None => 1,
        };
        let batch = |_, from: usize| -> Result<Vec<(Query, f64)>> {
            let mut buffers = Buffers::default();
            let rows = from..y.rows().min(from + together);
            self.load(isa, y, rows.clone(), origin, &mut buffers)?;
            let query = |(i, row): (usize, usize)| {
                let size = buffers.norms[i];
                let mut vector = self.loaded(&buffers, i);
                // Adding −0 does not change any sum, not even −0.
                let (mut offset, mut along, mut norm) = (-0.0, 0.0, size);
                match origin {
                    Origin::Zero => {
                        if let Some(center) = center {
                            let y = y.read(row, &mut buffers.scratch[..dim]);
                            offset = reduce::dot_f64(isa, center, y);
                        }
                    }
                    Origin::Center(_) => {}
                    Origin::Along(..) => {
                        offset = buffers.center_products[i];
                        along = offset / square;
                        let y = y.read(row, &mut buffers.scratch[..dim]);
                        norm = reduce::squared_norm(isa, y).sqrt();
                    }
                }
                if self.scalars.is_some() {
                    let groups = self.parts.len();
                    let shares = &buffers.shares[i * groups..][..groups];
                    self.prepare_groups(isa, shares, &mut vector);
                } else {
                    vector.resize(length, 0.0);
                    self.method().prepare(isa, dim, &mut vector);
                }
                let query = Query {
                    vector: Aligned::from(&*vector),
                    factor: size / self.row_square(),
                    offset,
                    along,
                };
                (query, norm)
            };
            Ok(rows.enumerate().map(query).collect())
        };
        let batches = threads::map((0..y.rows()).step_by(together).collect(), batch);
        let batches: Result<Vec<_>> = batches.into_iter().collect();
        Ok(batches?.into_iter().flatten().unzip())
    }

    /// The vector of a query of those that were loaded, whose coordinates stand part by part.
    fn loaded(&self, buffers: &Buffers, query: usize) -> Vec<f32> {
        let count = buffers.norms.len();
        let mut vector = Vec::with_capacity(self.expanded_len());
        for part in &self.parts {
            let all = part.of(count, &buffers.u);
            vector.extend_from_slice(&all[query * part.dim()..][..part.dim()]);
        }
        vector
    }
}

impl Quantizer {
    /// h_g·c_g of the groups of a row, one after the other, as their methods expand them.
    pub(super) fn expand_groups(
        &self,
        isa: Isa,
        scalars: &GroupScalars,
        row: &[u8],
        index: &mut Vec<u16>,
        out: &mut [f32],
    ) {
        let mut gains = [0f32; MAX_GROUPS];
        scalars.gains(row, &mut gains);
        for (part, &gain) in self.parts.iter().zip(&gains) {
            let out = &mut out[part.place.clone()];
            let row = &row[part.bytes.clone()];
            part.method
                .expand_packed(isa, &part.layout, row, index, out);
            convert::scale(isa, out, f64::from(gain));
        }
    }

    /// Turns the groups of a query, which have unit variance, to R_g V_g y/√d_g of the unit query,
    /// and prepares them for their methods.
    fn prepare_groups(&self, isa: Isa, shares: &[f64], vector: &mut [f32]) {
        for (part, &share) in self.parts.iter().zip(shares) {
            let vector = &mut vector[part.place.clone()];
            convert::scale(isa, vector, share / part.dim() as f64);
            part.method.prepare(isa, part.dim(), vector);
        }
    }
}

/// Codes with the quantizer that made them, which expands them.
pub(super) struct Expander<'a> {
    quantizer: &'a Quantizer,
    isa: Isa,
    codes: CodesRef<'a>,
}

impl Expander<'_> {
    /// The products of some packed rows, where the method computes them without expanding.
    fn products_of(
        &self,
        codes: [&[u8]; ROWS_PER_CALL],
        query: &[f32],
        index: &mut Vec<u16>,
    ) -> Option<[f32; ROWS_PER_CALL]> {
        let part = self.quantizer.first();
        if self.quantizer.scalars.is_some() {
            return None;
        }
        part.method
            .products(self.isa, &part.layout, codes, query, index)
    }
}

impl Expand for Expander<'_> {
    fn expand(&self, row: usize, index: &mut Vec<u16>, out: &mut [f32]) {
        let Self {
            quantizer,
            isa,
            codes,
        } = *self;
        if let Some(scalars) = &quantizer.scalars {
            return quantizer.expand_groups(isa, scalars, codes.row(row), index, out);
        }
        index.resize(quantizer.shape.layout.indices(), 0);
        quantizer.unpack(isa, codes, row, index);
        let gamma = codes.residual_norm.map_or(0.0, |values| values[row]);
        quantizer.method().expand(isa, index, gamma, out);
    }

    fn products(&self, rows: &[u32], query: &[f32], work: &mut Work, out: &mut [f32]) {
        let Work { index, expanded } = work;
        for (some, out) in rows
            .chunks(ROWS_PER_CALL)
            .zip(out.chunks_mut(ROWS_PER_CALL))
        {
            let code = |i: usize| self.codes.row(some[i.min(some.len() - 1)] as usize);
            let code = std::array::from_fn(code);
            if let Some(dots) = self.products_of(code, query, index) {
                out.copy_from_slice(&dots[..out.len()]);
                continue;
            }
            expanded.resize(query.len(), 0.0);
            for (&row, out) in some.iter().zip(out) {
                self.expand(row as usize, index, expanded);
                *out = reduce::dot(self.isa, expanded, query);
            }
        }
    }
}
