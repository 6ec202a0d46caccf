//! Queries as coded keys take them: rotated, prepared and rounded to 16 bits.

use super::coder::{Coder, Form, MAX_I8, MAX_I16};
use crate::isa::Isa;
use crate::kernels::{attention, convert, reduce};

/// The largest rounded coordinate of a query.
const MAX_QUERY: f64 = 32767.0;

/// Queries that are rotated, prepared and rounded.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// The rotated and prepared queries of length √d, one after the other.
    pub floats: Vec<f32>,
    /// The rounded ones, padded.
    pub integers: Vec<i16>,
    /// The factor of each query from its product with a codeword to ⟨q, r̂⟩/s.
    pub factors: Vec<f64>,
    scratch: Vec<f32>,
}

impl Coder {
    /// Rotates, prepares and rounds queries, n × dim.
    pub(super) fn prepare(&self, isa: Isa, queries: &[f32], prepared: &mut Prepared) {
        let (dim, stride) = (self.dim(), self.stride());
        let method = self.quantizer().method();
        let length = method.expanded_len(dim);
        let Prepared {
            floats,
            integers,
            factors,
            scratch,
        } = prepared;
        let count = queries.len() / dim;
        let mut rotated = vec![0f32; queries.len()];
        factors.clear();
        for (q, u) in queries.chunks_exact(dim).zip(rotated.chunks_exact_mut(dim)) {
            let norm = reduce::squared_norm(isa, q).sqrt();
            let unit = if norm > 0.0 {
                (dim as f64).sqrt() / norm
            } else {
                0.0
            };
            convert::scaled(isa, q, unit, u);
            factors.push(norm / dim as f64);
        }
        self.quantizer()
            .rotation()
            .apply(isa, &mut rotated, scratch);
        floats.clear();
        floats.resize(count * length, 0.0);
        for (u, out) in rotated
            .chunks_exact(dim)
            .zip(floats.chunks_exact_mut(length))
        {
            out[..dim].copy_from_slice(u);
            method.prepare(isa, dim, out);
        }
        let most = match self.form() {
            Form::I8(_) => MAX_I8,
            Form::I16(_) => MAX_I16,
            Form::F32 => return,
        };
        integers.clear();
        integers.resize(count * stride, 0);
        for ((u, out), factor) in floats
            .chunks_exact(length)
            .zip(integers.chunks_exact_mut(stride))
            .zip(factors)
        {
            let unit = query_unit(u, most);
            attention::to_i16(isa, u, unit, &mut out[..length]);
            *factor *= if unit > 0.0 {
                self.step() / f64::from(unit)
            } else {
                0.0
            };
        }
    }
}

/// The factor to a query's integers: the largest with which neither a coordinate leaves 16 bits nor
/// a sum of products 32, with codewords up to `most`.
fn query_unit(u: &[f32], most: i32) -> f32 {
    let (mut max, mut sum) = (0f32, 0f64);
    for &x in u {
        max = max.max(x.abs());
        sum += f64::from(x.abs());
    }
    if max == 0.0 {
        return 0.0;
    }
    // Rounding adds at most a half to each coordinate.
    let room = f64::from(i32::MAX / most) - 0.51 * u.len() as f64 - 1.0;
    // The next smaller float32, as the nearest one may be above.
    ((MAX_QUERY / f64::from(max)).min(room / sum) as f32).next_down()
}
