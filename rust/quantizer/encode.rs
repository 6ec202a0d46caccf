//! Encoding: rows become codes.

use super::load::to_float32;
use super::{Buffers, Quantizer, check_dim, scale_search};
use crate::codes::Codes;
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::reduce;
use crate::methods::ScaleRule;
use crate::rows::{Dense, Rows};
use crate::threads;

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
        let row_bytes = self.shape.layout.row_bytes();
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
        let chunks = slots.pieces(chunk, row_bytes);
        threads::try_for_each(chunks, Buffers::default, |buffers, place, slots| {
            for (piece, slots) in slots.pieces(batch, row_bytes).enumerate() {
                self.encode_batch(isa, rows, place * chunk + piece * batch, slots, buffers)?;
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
        let dim = self.spec.dim;
        let layout = &self.shape.layout;
        let indices = layout.indices();
        index.resize(norms.len() * indices, 0);
        c.resize(dim, 0.0);
        let together = self.method.rows();
        for (u, index) in u
            .chunks(together * dim)
            .zip(index.chunks_mut(together * indices))
        {
            self.method.assign(isa, u, work, index);
        }
        for (i, (u, index)) in u
            .chunks_exact(dim)
            .zip(index.chunks_exact_mut(indices))
            .enumerate()
        {
            if let Some(count) = self.spec.scale_search {
                scale_search::search(isa, &*self.method, count, u, index, trial, work);
            }
            let scale = norms[i] * self.factor(isa, u, index, c);
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
        self.method
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
            .zip(slots.packed.chunks_exact_mut(layout.row_bytes()))
        {
            layout.pack(isa, index, code);
        }
        Ok(())
    }

    /// S of a row; `c` is overwritten.
    fn factor(&self, isa: Isa, u: &[f32], index: &[u16], c: &mut [f32]) -> f64 {
        if self.scale == ScaleRule::None {
            return 1.0;
        }
        self.method.codewords(isa, index, c);
        let (product, square) = reduce::dot_and_square(isa, u, c);
        let dim = self.spec.dim as f64;
        self.scale
            .scale(f64::from(product) / dim, f64::from(square) / dim)
    }
}
