//! Decoding: codes become rows.

use super::{Buffers, Quantizer};
use crate::codes::CodesRef;
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::kernels::convert;
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
        let Buffers {
            index,
            scratch,
            work,
            ..
        } = buffers;
        let dim = self.spec.dim;
        let indices = self.shape.layout.indices();
        let rows = first..first + out.len() / dim;
        index.resize(rows.len() * indices, 0);
        for ((row, index), c) in rows
            .clone()
            .zip(index.chunks_exact_mut(indices))
            .zip(out.chunks_exact_mut(dim))
        {
            self.unpack(isa, codes, row, index);
            self.method.codewords(isa, index, c);
        }
        if let Some(gamma) = codes.residual_norm {
            self.method
                .add_residual(isa, index, &gamma[rows.clone()], work, out);
        }
        self.rotation.apply_inverse(isa, out, scratch);
        for (row, x) in rows.zip(out.chunks_exact_mut(dim)) {
            convert::scale(isa, x, f64::from(codes.scale[row]) / (dim as f64).sqrt());
            if let Some(center) = &self.spec.center {
                convert::add(isa, x, center);
            }
        }
    }

    pub(super) fn unpack(&self, isa: Isa, codes: CodesRef<'_>, row: usize, index: &mut [u16]) {
        self.shape.layout.unpack(isa, codes.row(row), index);
    }

    pub(super) fn check(&self, codes: CodesRef<'_>) -> Result<()> {
        codes.check(&self.shape.layout, self.shape.scalars)
    }
}
