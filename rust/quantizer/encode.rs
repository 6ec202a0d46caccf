//! Encoding: rows become codes.

use super::fitted::GroupScalars;
use super::load::to_float32;
use super::{Buffers, Quantizer, check_dim};
use crate::codes::Codes;
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::fixed::DEVIATION;
use crate::rows::{Dense, Rows};
use crate::threads;

/// More than the error of the squared norm of a unit row along its axes: eight times its deviation,
/// 2·[`DEVIATION`].
const ROUNDING: f64 = 8.0 * 2.0 * DEVIATION;

/// The arrays that the codes of some rows are written to; those that are not stored are empty.
struct Slots<'a> {
    packed: &'a mut [u8],
    scale: &'a mut [f32],
    norm: &'a mut [f32],
    residual: &'a mut [f32],
    product: &'a mut [f32],
}

impl<'a> Slots<'a> {
    /// Pieces of `rows` rows each; the last may have fewer.
    fn pieces(self, rows: usize, row_bytes: usize) -> impl Iterator<Item = Slots<'a>> {
        let mut norms = self.norm.chunks_mut(rows);
        let mut residuals = self.residual.chunks_mut(rows);
        let mut products = self.product.chunks_mut(rows);
        self.packed
            .chunks_mut(rows * row_bytes)
            .zip(self.scale.chunks_mut(rows))
            .map(move |(packed, scale)| Slots {
                packed,
                scale,
                norm: norms.next().unwrap_or_default(),
                residual: residuals.next().unwrap_or_default(),
                product: products.next().unwrap_or_default(),
            })
    }
}

impl Quantizer {
    /// Encodes float32 rows that lie one after the other, n × dim.
    ///
    /// # Errors
    /// If the length is not a multiple of dim, or a value is not finite.
    pub fn encode(&self, x: &[f32]) -> Result<Codes> {
        self.encode_rows(Isa::current()?, &Dense::new(x, self.spec.dim)?)
    }

    /// Encodes every row. On an error nothing is returned, and the error names the first bad row.
    pub fn encode_rows(&self, isa: Isa, rows: &dyn Rows) -> Result<Codes> {
        let n = rows.rows();
        check_dim(rows.dim(), self.spec.dim)?;
        let row_bytes = self.shape.row_bytes;
        let floats = |wanted: bool| vec![0f32; if wanted { n } else { 0 }];
        let mut packed = vec![0u8; n * row_bytes];
        let mut scale = floats(true);
        let mut norm = floats(self.shape.scalars.norm);
        let mut residual = floats(self.shape.scalars.residual_norm);
        let mut product = floats(self.shape.scalars.center_product);
        let slots = Slots {
            packed: &mut packed,
            scale: &mut scale,
            norm: &mut norm,
            residual: &mut residual,
            product: &mut product,
        };
        let (batch, chunk) = (self.batch(), self.chunk());
        let axes = self.fixed_axes(isa);
        let chunks = slots.pieces(chunk, row_bytes);
        threads::try_for_each(chunks, Buffers::default, |buffers, place, slots| {
            for (piece, slots) in slots.pieces(batch, row_bytes).enumerate() {
                let first = place * chunk + piece * batch;
                match (&self.scalars, axes) {
                    (Some(scalars), Some(axes)) => {
                        let which = first..first + slots.scale.len();
                        self.load_fixed(isa, axes, rows, which, buffers)?;
                        self.encode_groups(isa, scalars, first, slots, buffers)?;
                    }
                    _ => self.encode_batch(isa, rows, first, slots, buffers)?,
                }
            }
            Ok(())
        })?;
        Ok(Codes {
            row_bytes,
            packed,
            scale,
            norm: self.shape.scalars.norm.then_some(norm),
            residual_norm: self.shape.scalars.residual_norm.then_some(residual),
            center_product: self.shape.scalars.center_product.then_some(product),
        })
    }

    fn encode_batch(
        &self,
        isa: Isa,
        rows: &dyn Rows,
        first: usize,
        slots: Slots<'_>,
        buffers: &mut Buffers,
    ) -> Result<()> {
        let which = first..first + slots.scale.len();
        self.load(isa, rows, which, self.origin(), buffers)?;
        let Buffers {
            u,
            norms,
            center_products,
            index,
            c,
            work,
            trial,
            ..
        } = buffers;
        let part = self.first();
        let indices = part.layout.indices();
        part.assign(isa, u, index, work, trial);
        for (i, (u, index)) in u
            .chunks_exact(part.dim())
            .zip(index.chunks_exact(indices))
            .enumerate()
        {
            let scale = norms[i] * part.factor(isa, u, index, c);
            slots.scale[i] = to_float32("scale", first + i, scale)?;
            if let Some(slot) = slots.norm.get_mut(i) {
                *slot = to_float32("norm", first + i, norms[i])?;
            }
            if let Some(slot) = slots.product.get_mut(i) {
                let product = center_products[i];
                *slot = to_float32("product of center and x − center", first + i, product)?;
            }
        }
        if !self.shape.has_gamma {
            for (slot, &norm) in slots.residual.iter_mut().zip(&*norms) {
                *slot = norm as f32;
            }
        }
        part.method
            .assign_residual(isa, u, work, index, slots.residual);
        for (gamma, _) in slots
            .residual
            .iter_mut()
            .zip(norms)
            .filter(|(_, norm)| **norm == 0.0)
        {
            *gamma = 0.0;
        }
        for (index, code) in index
            .chunks_exact(indices)
            .zip(slots.packed.chunks_exact_mut(self.shape.row_bytes))
        {
            part.layout.pack(isa, index, code);
        }
        Ok(())
    }

    /// [`Quantizer::encode_batch`] after the rows were loaded along fitted axes.
    fn encode_groups(
        &self,
        isa: Isa,
        scalars: &GroupScalars,
        first: usize,
        slots: Slots<'_>,
        buffers: &mut Buffers,
    ) -> Result<()> {
        let Buffers {
            u,
            norms,
            center_products,
            shares,
            gains,
            errors,
            index,
            c,
            work,
            trial,
            ..
        } = buffers;
        let (rows, groups) = (norms.len(), self.parts.len());
        let row_bytes = self.shape.row_bytes;
        gains.resize(rows * groups, 0.0);
        // Of each group, and what lies along none.
        let places = groups + 1;
        errors.resize(rows * places, 0.0);
        for (g, part) in self.parts.iter().enumerate() {
            let indices = part.layout.indices();
            let u = part.of(rows, u);
            part.assign(isa, u, index, work, trial);
            for (i, (u, index)) in u
                .chunks_exact(part.dim())
                .zip(index.chunks_exact(indices))
                .enumerate()
            {
                let at = i * groups + g;
                gains[at] = shares[at] * part.factor(isa, u, index, c);
                if scalars.has_errors() {
                    let factor = if scalars.is_lost(gains[at]) {
                        1.0
                    } else {
                        part.tangent(isa, u, index, c)
                    };
                    // The error of a code, and that of the products with the axes.
                    let (error, products) = (shares[at] * factor, DEVIATION * DEVIATION);
                    errors[i * places + g] = (error * error + products * part.dim() as f64).sqrt();
                }
                let code = &mut slots.packed[i * row_bytes..][part.bytes.clone()];
                part.layout.pack(isa, index, code);
            }
        }
        let length = self.center_square.sqrt();
        for (i, row) in slots.packed.chunks_exact_mut(row_bytes).enumerate() {
            let here = i * groups..(i + 1) * groups;
            let size = norms[i] * length;
            let cosine = if size > 0.0 {
                center_products[i] / size
            } else {
                0.0
            };
            // Searches derive the product of the mean from this cosine.
            let most = size * (cosine.abs() + 1.0 / 32767.0);
            to_float32("product of mean and x − mean", first + i, most)?;
            let shares: f64 = shares[here.clone()].iter().map(|share| share * share).sum();
            let errors = &mut errors[i * places..][..places];
            errors[groups] = if self.coded() < self.spec.dim && norms[i] > 0.0 {
                (1.0 - shares + ROUNDING).max(0.0).sqrt()
            } else {
                0.0
            };
            scalars.write(isa, row, cosine, &gains[here], errors);
            slots.scale[i] = to_float32("norm of x − mean", first + i, norms[i])?;
        }
        Ok(())
    }
}
