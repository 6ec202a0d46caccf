//! Queries: rotated once, and centered as the rows are.
//!
//! With a center μ the rows are x = μ + r, and the codes estimate ⟨v, r⟩ for any vector v. Two
//! identities bring a query y to such a v that is as short as can be, so that the error, which is
//! proportional to ‖r‖·‖v‖, does not grow with the part that rows and queries share:
//!
//! ```text
//! ⟨x, y⟩    = ⟨μ, y⟩ + a·⟨μ, r⟩ + ⟨y − a·μ, r⟩      a = ⟨μ, y⟩/‖μ‖²   (Centering::Across)
//! ‖x − y‖²  = ‖r‖² + ‖y − μ‖² − 2·⟨y − μ, r⟩                            (Centering::Difference)
//! ```
//!
//! Only the last term of each is estimated; ⟨μ, r⟩ and ‖r‖ are scalars of the row. Both hold for
//! every a, so rounding of a does no harm. The exact term a·⟨μ, r⟩ needs an unbiased estimate
//! beside it: the scale rules `mse` and `none` shrink the estimate by cos²θ or ρ, and rows would
//! be ordered by a sum of a term that is shrunk and one that is not. Inner products with these
//! rules are therefore those of the decoded row, ⟨μ, y⟩ + ⟨r̂, y⟩ (Centering::Rows), and a search
//! by them is refused: with most of the energy in the center it finds fewer rows than without one
//! (`benches/results/centering.txt`). Distances, whose exact terms do not depend on the rule, are
//! centered with every rule.

use std::borrow::Cow;

use super::load::Origin;
use super::{Buffers, Quantizer, check_dim};
use crate::aligned::Aligned;
use crate::codes::CodesRef;
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::asymmetric::ROWS_PER_CALL;
use crate::kernels::reduce;
use crate::methods::ScaleRule;
use crate::rows::Rows;
use crate::scan::{Expand, Query, Work, products};
use crate::threads;

/// Of a sum of squares, the share that its terms in float32 may be wrong by.
const ROUNDING: f64 = 1.0 / (1 << 22) as f64;

/// What is subtracted from a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Centering {
    /// Nothing: only the rows are centered. For rows without a center, too.
    Rows,
    /// The part along the center.
    Across,
    /// The center.
    Difference,
}

impl Quantizer {
    /// ‖μ‖², 0 without a center.
    pub(super) fn center_square(&self) -> f64 {
        let isa = Isa::Scalar; // every instruction set gives the same bits
        (self.spec.center.as_deref()).map_or(0.0, |center| reduce::squared_norm(isa, center))
    }

    /// How queries are centered for inner products.
    pub(super) fn product_centering(&self) -> Centering {
        if self.scalars.center_product && self.is_unbiased() {
            Centering::Across
        } else {
            Centering::Rows
        }
    }

    /// Estimates of ⟨x, y⟩ from the codes: m × n, row j for query j.
    pub fn inner_product(
        &self,
        isa: Isa,
        codes: CodesRef<'_>,
        y: &dyn Rows,
        out: &mut [f32],
    ) -> Result<()> {
        self.check(codes)?;
        let centering = self.product_centering();
        let (queries, _) = self.queries(isa, y, centering)?;
        let length = self.method.expanded_len(self.spec.dim);
        let expander = self.expander(isa, codes);
        let scalars = products::Scalars {
            scale: codes.scale,
            center_product: self.center_products(codes, centering),
        };
        products::inner_products(isa, &queries, scalars, out, |from, live, buffer| {
            let mut index = Vec::new();
            for (row, expanded) in (from..from + live).zip(buffer.chunks_exact_mut(length)) {
                expander.expand(row, &mut index, expanded);
            }
        });
        Ok(())
    }

    /// ‖x‖ of every row, where the codes keep norms: as it is stored or, with a center μ, from
    /// ‖x‖² = ‖μ‖² + 2⟨μ, r⟩ + ‖r‖². The norm of a row within the rounding of this sum around zero,
    /// some 5·10⁻⁴·‖μ‖, is 0: nothing tells its direction.
    pub fn norms<'a>(&self, codes: CodesRef<'a>) -> Result<Option<Cow<'a, [f32]>>> {
        self.check(codes)?;
        if self.spec.center.is_none() {
            return Ok(codes.norm.map(Cow::Borrowed));
        }
        let (Some(residual), Some(products)) = (self.residual_norms(codes), codes.center_product)
        else {
            return Ok(None);
        };
        let center = self.center_square();
        let norm = |(&residual, &product): (&f32, &f32)| {
            let residual = f64::from(residual) * f64::from(residual);
            let square = center + 2.0 * f64::from(product) + residual;
            if square > ROUNDING * (center + residual) {
                square.sqrt() as f32
            } else {
                0.0
            }
        };
        Ok(Some(residual.iter().zip(products).map(norm).collect()))
    }

    /// Norms of what was quantized, ‖x‖ or ‖x − μ‖, where the codes keep norms.
    pub(super) fn residual_norms<'a>(&self, codes: CodesRef<'a>) -> Option<&'a [f32]> {
        match self.spec.center {
            None => codes.norm,
            Some(_) if !self.spec.store_norm => None,
            // With γ in this place: s = ‖r‖·S and S = 1.
            Some(_) if self.method.has_residual_norm() => Some(codes.scale),
            Some(_) => codes.residual_norm,
        }
    }

    /// ⟨μ, r⟩ of the rows, for queries that are centered across.
    pub(super) fn center_products<'a>(
        &self,
        codes: CodesRef<'a>,
        centering: Centering,
    ) -> Option<&'a [f32]> {
        (codes.center_product).filter(|_| centering == Centering::Across)
    }

    /// What queries are multiplied with, of each row.
    pub(super) fn expander<'a>(&'a self, isa: Isa, codes: CodesRef<'a>) -> Expander<'a> {
        Expander {
            quantizer: self,
            isa,
            codes,
        }
    }

    /// Whether ⟨x̂, y⟩ is unbiased over rotations.
    pub(super) fn is_unbiased(&self) -> bool {
        self.scale == ScaleRule::Unbiased || self.method.has_residual_norm()
    }

    /// Queries for the scan, each with its norm: that of y, and of y − μ for a difference.
    pub(super) fn queries(
        &self,
        isa: Isa,
        y: &dyn Rows,
        centering: Centering,
    ) -> Result<(Vec<Query>, Vec<f64>)> {
        let dim = self.spec.dim;
        check_dim(y.dim(), dim)?;
        let length = self.method.expanded_len(dim);
        let square = self.center_square();
        let center = self.spec.center.as_deref();
        let origin = match (centering, center) {
            (Centering::Difference, Some(center)) => Origin::Center(center),
            (Centering::Across, Some(center)) if square > 0.0 => Origin::Along(center, square),
            _ => Origin::Zero,
        };
        let query = |_, row: usize| -> Result<(Query, f64)> {
            let mut buffers = Buffers::default();
            self.load(isa, y, row..row + 1, origin, &mut buffers)?;
            let (mut vector, size) = (buffers.u, buffers.norms[0]);
            // Adding −0 changes no sum, not even that of −0.
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
                    offset = buffers.center_products[0];
                    along = offset / square;
                    let y = y.read(row, &mut buffers.scratch[..dim]);
                    norm = reduce::squared_norm(isa, y).sqrt();
                }
            }
            vector.resize(length, 0.0);
            self.method.prepare(isa, dim, &mut vector);
            let query = Query {
                vector: Aligned::from(&*vector),
                factor: size / dim as f64,
                offset,
                along,
            };
            Ok((query, norm))
        };
        let queries = threads::map((0..y.rows()).collect(), query);
        queries.into_iter().collect()
    }
}

/// Codes with the quantizer that made them.
pub(super) struct Expander<'a> {
    quantizer: &'a Quantizer,
    isa: Isa,
    codes: CodesRef<'a>,
}

impl Expand for Expander<'_> {
    fn expand(&self, row: usize, index: &mut Vec<u16>, out: &mut [f32]) {
        let Self {
            quantizer,
            isa,
            codes,
        } = *self;
        index.resize(quantizer.method.layout().indices(), 0);
        quantizer.unpack(isa, codes, row, index);
        let gamma = codes.residual_norm.map_or(0.0, |values| values[row]);
        quantizer.method.expand(isa, index, gamma, out);
    }

    fn products(&self, rows: &[u32], query: &[f32], work: &mut Work, out: &mut [f32]) {
        let Work { index, expanded } = work;
        for (some, out) in rows
            .chunks(ROWS_PER_CALL)
            .zip(out.chunks_mut(ROWS_PER_CALL))
        {
            let code = |i: usize| self.codes.row(some[i.min(some.len() - 1)] as usize);
            let code = std::array::from_fn(code);
            if let Some(dots) = (self.quantizer.method).products(self.isa, code, query, index) {
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
