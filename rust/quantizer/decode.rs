//! Decoding: codes become rows.

use std::ops::Range;

use super::fitted::{GroupScalars, MAX_GROUPS};
use super::{Buffers, Quantizer};
use crate::axes::Axes;
use crate::codes::CodesRef;
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::kernels::{convert, dense};
use crate::threads;

impl Quantizer {
    /// Decodes every row: n × dim.
    ///
    /// # Errors
    /// If the codes do not have the layout of this quantizer.
    pub fn decode(&self, codes: CodesRef<'_>) -> Result<Vec<f32>> {
        let mut out = vec![0.0; codes.len() * self.spec.dim];
        self.decode_into(Isa::current()?, codes, &mut out)?;
        Ok(out)
    }

    /// Decodes every row into `out`, n × dim.
    pub fn decode_into(&self, isa: Isa, codes: CodesRef<'_>, out: &mut [f32]) -> Result<()> {
        let dim = self.spec.dim;
        self.check(codes)?;
        if out.len() != codes.len() * dim {
            return Err(Error::invalid(format!(
                "room for {}, expected {} of {dim}",
                counted(out.len(), "value"),
                counted(codes.len(), "row")
            )));
        }
        let (batch, rows) = (self.batch(), self.chunk());
        let chunks = out.chunks_mut(rows * dim);
        threads::for_each(chunks, Buffers::default, |buffers, chunk, out| {
            for (piece, out) in out.chunks_mut(batch * dim).enumerate() {
                self.decode_batch(isa, codes, chunk * rows + piece * batch, out, buffers);
            }
        });
        Ok(())
    }

    fn decode_batch(
        &self,
        isa: Isa,
        codes: CodesRef<'_>,
        first: usize,
        out: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let dim = self.spec.dim;
        let rows = first..first + out.len() / dim;
        match (&self.scalars, self.spec.axes.as_deref()) {
            (Some(scalars), Some(axes)) => {
                self.decode_groups(isa, (scalars, axes), codes, rows.clone(), out, buffers);
            }
            _ => self.decode_rows(isa, codes, rows.clone(), out, buffers),
        }
        for (row, x) in rows.zip(out.chunks_exact_mut(dim)) {
            convert::scale(
                isa,
                x,
                f64::from(codes.scale[row]) / self.row_square().sqrt(),
            );
            if let Some(center) = self.center() {
                convert::add(isa, x, center);
            }
        }
    }

    /// Rᵀ c of some rows.
    fn decode_rows(
        &self,
        isa: Isa,
        codes: CodesRef<'_>,
        rows: Range<usize>,
        out: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let Buffers {
            index,
            scratch,
            work,
            ..
        } = buffers;
        let part = self.first();
        let indices = part.layout.indices();
        index.resize(rows.len() * indices, 0);
        for ((row, index), c) in rows
            .clone()
            .zip(index.chunks_exact_mut(indices))
            .zip(out.chunks_exact_mut(part.dim()))
        {
            self.unpack(isa, codes, row, index);
            part.method.codewords(isa, index, c);
        }
        if let Some(gamma) = codes.residual_norm {
            part.method
                .add_residual(isa, index, &gamma[rows], work, out);
        }
        part.rotation.apply_inverse(isa, out, scratch);
    }

    /// Σ_g h_g·V_gᵀ R_gᵀ c_g/√d_g of some rows.
    fn decode_groups(
        &self,
        isa: Isa,
        (scalars, axes): (&GroupScalars, &Axes),
        codes: CodesRef<'_>,
        rows: Range<usize>,
        out: &mut [f32],
        buffers: &mut Buffers,
    ) {
        let Buffers {
            u,
            coordinates,
            index,
            scratch,
            ..
        } = buffers;
        let (count, coded) = (rows.len(), self.coded());
        u.resize(count * coded);
        coordinates.resize(count * coded);
        let mut gains = [0f32; MAX_GROUPS];
        for (g, part) in self.parts.iter().enumerate() {
            let u = part.of_mut(count, u);
            index.resize(part.layout.indices(), 0);
            for (row, c) in rows.clone().zip(u.chunks_exact_mut(part.dim())) {
                part.layout
                    .unpack(isa, &codes.row(row)[part.bytes.clone()], index);
                part.method.codewords(isa, index, c);
            }
            part.rotation.apply_inverse(isa, u, scratch);
            let root = (part.dim() as f64).sqrt();
            for ((row, z), c) in rows
                .clone()
                .zip(coordinates.chunks_exact_mut(coded))
                .zip(u.chunks_exact(part.dim()))
            {
                scalars.gains(codes.row(row), &mut gains);
                let gain = f64::from(gains[g]) / root;
                convert::scaled(isa, c, gain, &mut z[part.place.clone()]);
            }
        }
        dense::transposed_products(isa, axes.axes(), axes.dim(), coordinates, out);
    }

    pub(super) fn unpack(&self, isa: Isa, codes: CodesRef<'_>, row: usize, index: &mut [u16]) {
        self.shape.layout.unpack(isa, codes.row(row), index);
    }

    /// What a row without gain is divided by, squared: √d of a vector of unit variance.
    pub(super) fn row_square(&self) -> f64 {
        if self.scalars.is_some() {
            1.0
        } else {
            self.spec.dim as f64
        }
    }

    pub(super) fn check(&self, codes: CodesRef<'_>) -> Result<()> {
        codes.check(self.shape.row_bytes, self.shape.scalars)
    }
}
