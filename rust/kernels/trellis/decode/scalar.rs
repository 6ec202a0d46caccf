//! The definition: step by step along the path.

use super::{check_row, check_rows};
use crate::kernels::SUM_LANES;
use crate::kernels::asymmetric::ROWS_PER_CALL;
use crate::kernels::reduce::scalar::sum_lanes;
use crate::kernels::trellis::Code;
use crate::kernels::trellis::labels::LABELS;
use crate::kernels::trellis::scalar::follow;

#[inline(always)]
pub fn indexes(code: &Code, packed: &[u8], out: &mut [u8]) {
    decode(code, packed, out, |index| index);
}

#[inline(always)]
pub fn bytes(code: &Code, dim: usize, table: &[u8], packed: &[u8], out: &mut [u8]) {
    check_rows(code, dim, packed, out);
    assert_eq!(table.len(), code.words().len(), "a byte for each codeword");
    let rows = packed.chunks_exact(code.row_bytes(dim));
    for (row, out) in rows.zip(out.chunks_exact_mut(dim)) {
        decode(code, row, out, |index| table[usize::from(index)]);
    }
}

#[inline(always)]
pub fn codewords(code: &Code, packed: &[u8], c: &mut [f32]) {
    decode(code, packed, c, |index| code.words()[usize::from(index)]);
}

#[inline(always)]
pub fn products(
    code: &Code,
    rows: [&[u8]; ROWS_PER_CALL],
    y: &[f32],
    out: &mut [f32; ROWS_PER_CALL],
) {
    let mut c = vec![0.0; y.len()];
    for (row, out) in rows.into_iter().zip(out) {
        codewords(code, row, &mut c);
        let mut lanes = [0f32; SUM_LANES];
        for (i, (c, &y)) in c.iter().zip(y).enumerate() {
            let lane = &mut lanes[i % SUM_LANES];
            *lane = c.mul_add(y, *lane);
        }
        *out = sum_lanes(lanes);
    }
}

/// Writes what stands for the index of each coordinate.
#[inline(always)]
pub fn decode<T>(code: &Code, packed: &[u8], out: &mut [T], value: impl Fn(u8) -> T) {
    let dim = out.len();
    check_row(code, packed, dim);
    let steps = code.steps(dim);
    let bit = |at: usize| usize::from(packed[at / 8] >> (at % 8) & 1);
    follow(code, dim, bit, |at, label| {
        let uncoded = (0..code.uncoded).map(|plane| bit(steps + plane * dim + at) << plane);
        out[at] = value((uncoded.sum::<usize>() * LABELS) as u8 + label);
    });
}

/// The index of a single coordinate of a row of `dim`.
#[inline(always)]
pub fn index(code: &Code, dim: usize, packed: &[u8], at: usize) -> usize {
    let steps = code.steps(dim);
    let bit = |at: usize| usize::from(packed[at / 8] >> (at % 8) & 1);
    let (step, between) = match &code.between {
        None => (at, None),
        Some(between) => (at / 2, (at % 2 == 1).then_some(between)),
    };
    let before = |back: usize| match step.checked_sub(back) {
        Some(step) => bit(step),
        None if steps >= code.memory => bit(step + steps - back),
        None => 0,
    };
    let window = |bits: usize| (0..bits).map(|i| before(i) << i).sum::<usize>();
    let label = match between {
        None => code.labels[window(code.memory + 1)],
        Some(between) => between[window(code.memory)],
    };
    let uncoded = (0..code.uncoded).map(|plane| bit(steps + plane * dim + at) << plane);
    uncoded.sum::<usize>() * LABELS + usize::from(label)
}
