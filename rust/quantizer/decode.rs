//! Codes to rows, and inner products without going back.

use rayon::prelude::*;

use super::{Buffers, Quantizer, check_dim};
use crate::aligned::Aligned;
use crate::codes::CodesRef;
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::kernels::product::ROWS;
use crate::kernels::{convert, reduce};
use crate::rows::Rows;
use crate::scan::{Expand, Query, Work, products};
use crate::threads;

impl Quantizer {
    /// Decodes every row into `out`, n × dim.
    pub fn decode(&self, isa: Isa, codes: CodesRef<'_>, out: &mut [f32]) -> Result<()> {
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
        let work = |buffers: &mut Buffers, (chunk, out): (usize, &mut [f32])| {
            for (piece, out) in out.chunks_mut(batch * dim).enumerate() {
                self.decode_batch(isa, codes, chunk * rows + piece * batch, out, buffers);
            }
        };
        if codes.len() <= rows {
            // Too few rows to wake other threads for.
            work(&mut Buffers::default(), (0, out));
        } else {
            threads::run(|| {
                let pieces = out.par_chunks_mut(rows * dim).enumerate();
                pieces.for_each_init(Buffers::default, work);
            });
        }
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
        let indices = self.method.layout().indices();
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

    /// Estimates of ⟨x, y⟩ from the codes: m × n, row j for query j.
    pub fn inner_product(
        &self,
        isa: Isa,
        codes: CodesRef<'_>,
        y: &dyn Rows,
        out: &mut [f32],
    ) -> Result<()> {
        let dim = self.spec.dim;
        self.check(codes)?;
        check_dim(y.dim(), dim)?;
        let (queries, _) = self.queries(isa, y)?;
        let length = self.method.expanded_len(dim);
        let expander = self.expander(isa, codes);
        products::inner_products(isa, &queries, codes.scale, out, |from, live, buffer| {
            let mut index = Vec::new();
            for (row, expanded) in (from..from + live).zip(buffer.chunks_exact_mut(length)) {
                expander.expand(row, &mut index, expanded);
            }
        });
        Ok(())
    }

    /// Queries for the scan, with their norms.
    pub(super) fn queries(&self, isa: Isa, y: &dyn Rows) -> Result<(Vec<Query>, Vec<f64>)> {
        let dim = self.spec.dim;
        check_dim(y.dim(), dim)?;
        let length = self.method.expanded_len(dim);
        let query = |_, row: usize| -> Result<(Query, f64)> {
            let mut buffers = Buffers::default();
            self.load(isa, y, row..row + 1, None, &mut buffers)?;
            let offset = match &self.spec.center {
                Some(center) => {
                    let y = y.read(row, &mut buffers.scratch[..dim]);
                    reduce::wide_dot(isa, center, y)
                }
                // What changes no sum, not even that of −0.
                None => -0.0,
            };
            let (mut vector, norm) = (buffers.u, buffers.norms[0]);
            vector.resize(length, 0.0);
            self.method.prepare(isa, dim, &mut vector);
            let factor = norm / dim as f64;
            let query = Query {
                vector: Aligned::from(&*vector),
                factor,
                offset,
            };
            Ok((query, norm))
        };
        let queries = threads::map((0..y.rows()).collect(), query);
        queries.into_iter().collect()
    }

    /// What queries are multiplied with, of each row.
    pub(super) fn expander<'a>(&'a self, isa: Isa, codes: CodesRef<'a>) -> Expander<'a> {
        Expander {
            quantizer: self,
            isa,
            codes,
        }
    }

    pub(super) fn unpack(&self, isa: Isa, codes: CodesRef<'_>, row: usize, index: &mut [u16]) {
        self.method.layout().unpack(isa, codes.row(row), index);
    }

    pub(super) fn check(&self, codes: CodesRef<'_>) -> Result<()> {
        codes.check(self.method.layout(), self.has_residual_norm())
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
        for (some, out) in rows.chunks(ROWS).zip(out.chunks_mut(ROWS)) {
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
