//! Bodies over the vectors of [`simd`](crate::kernels::simd).

use super::blocks::{BLOCK, Block, Blocks, MOST_WORDS, by_planes, groups, in_order, tables};
use super::tables::CHOICES;
use super::{check_row, check_rows, scalar};
use crate::kernels::SUM_LANES;
use crate::kernels::asymmetric::ROWS_PER_CALL;
use crate::kernels::reduce::scalar::sum_lanes;
use crate::kernels::reduce::vector::to_lanes;
use crate::kernels::simd::{BYTES, LANES_32, Simd};
use crate::kernels::trellis::Code;

/// The codewords of a block plus 2¹⁵, by the tables of their bytes.
#[inline(always)]
fn shorts<S: Simd, const U: usize>(
    s: S,
    block: &Block<S, U>,
    words: &[[S::I16x16; CHOICES]; 2],
    out: &mut [u16; BLOCK],
) {
    // Groups 0, 1, 4, 5 | 2, 3, 6, 7: interleaving takes groups 0, 1 | 2, 3 first.
    let low = groups(s, block.look_up(s, &words[0]));
    let high = groups(s, block.look_up(s, &words[1]));
    let (out, _) = out.as_chunks_mut::<16>();
    let (out, _) = out.as_chunks_mut::<2>();
    for ((low, high), out) in low.into_iter().zip(high).zip(out) {
        let found = s.interleave_u8(s.transpose_u32(low), s.transpose_u32(high));
        for (x, out) in found.into_iter().zip(out) {
            s.store_u16(x, out);
        }
    }
}

/// Eight codewords.
#[inline(always)]
fn floats<S: Simd>(s: S, shorts: &[u16; LANES_32]) -> S::F32x8 {
    // Exact: the result has at most 16 bits.
    let x = s.to_f32(s.load_u16_as_i32(shorts));
    s.fma(x, s.splat(1.0 / 4096.0), s.splat(-8.0))
}

/// The codeword of a number that [`shorts`] writes.
#[inline(always)]
fn float(short: u16) -> f32 {
    f32::from((short ^ 1 << 15) as i16) / 4096.0
}

#[inline(always)]
pub fn indexes<S: Simd>(s: S, code: &Code, packed: &[u8], out: &mut [u8]) {
    const ALL: [u8; MOST_WORDS] = {
        let mut all = [0; MOST_WORDS];
        let mut i = 0;
        while i < all.len() {
            all[i] = i as u8;
            i += 1;
        }
        all
    };
    bytes(s, code, out.len(), &ALL[..code.words().len()], packed, out);
}

/// A value of eight bits.
pub trait Byte: Copy + Default {
    fn of(byte: u8) -> Self;
    /// Writes 32 bytes.
    fn store<S: Simd>(s: S, x: S::I16x16, to: &mut [Self; BYTES]);
}

impl Byte for u8 {
    #[inline(always)]
    fn of(byte: u8) -> Self {
        byte
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: S::I16x16, to: &mut [Self; BYTES]) {
        s.store_u8(x, to);
    }
}

impl Byte for i8 {
    #[inline(always)]
    fn of(byte: u8) -> Self {
        byte as i8
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, x: S::I16x16, to: &mut [Self; BYTES]) {
        s.store_i8(x, to);
    }
}

#[inline(always)]
pub fn bytes<S: Simd>(s: S, code: &Code, dim: usize, table: &[u8], packed: &[u8], out: &mut [u8]) {
    check_rows(code, dim, packed, out);
    byte_rows(s, code, dim, table, packed, dim, out);
}

/// Writes the bytes of rows of `dim` coordinates, each with zeros up to the stride.
#[inline(always)]
pub fn byte_rows<S: Simd, T: Byte>(
    s: S,
    code: &Code,
    dim: usize,
    table: &[u8],
    packed: &[u8],
    stride: usize,
    out: &mut [T],
) {
    assert_eq!(table.len(), code.words().len(), "a byte for each codeword");
    by_planes!(code, rows_of::<T>(s, code, dim, table, packed, stride, out) else {
        let rows = packed.chunks_exact(code.row_bytes(dim));
        for (row, out) in rows.zip(out.chunks_exact_mut(stride)) {
            let (out, padding) = out.split_at_mut(dim);
            scalar::decode(code, row, out, |index| T::of(table[usize::from(index)]));
            padding.fill(T::default());
        }
    })
}

#[inline(always)]
fn rows_of<S: Simd, T: Byte, const U: usize>(
    s: S,
    code: &Code,
    dim: usize,
    table: &[u8],
    packed: &[u8],
    stride: usize,
    out: &mut [T],
) {
    let Some(blocks) = Blocks::<S, U>::new(s, code, dim) else {
        return;
    };
    let tables = tables(s, table);
    let rows = (0..packed.len()).step_by(code.row_bytes(dim));
    for (row, out) in rows.zip(out.chunks_exact_mut(stride)) {
        let row = &packed[row..];
        let (out, padding) = out.split_at_mut(dim);
        let (whole, rest) = out.as_chunks_mut::<BLOCK>();
        let last = whole.len();
        for (i, out) in whole.iter_mut().enumerate() {
            put(
                s,
                in_order(s, blocks.block(row, i).look_up(s, &tables)),
                out,
            );
        }
        if !rest.is_empty() {
            let mut room = [T::default(); BLOCK];
            let found = in_order(s, blocks.block(row, last).look_up(s, &tables));
            put(s, found, &mut room);
            rest.copy_from_slice(&room[..rest.len()]);
        }
        padding.fill(T::default());
    }
}

/// Writes the bytes of a block.
#[inline(always)]
fn put<S: Simd, T: Byte>(s: S, found: [S::I16x16; BLOCK / BYTES], out: &mut [T; BLOCK]) {
    for (found, out) in found.into_iter().zip(out.as_chunks_mut().0) {
        T::store(s, found, out);
    }
}

#[inline(always)]
pub fn codewords<S: Simd>(s: S, code: &Code, packed: &[u8], c: &mut [f32]) {
    by_planes!(code, codewords_of(s, code, packed, c) else scalar::codewords(code, packed, c))
}

#[inline(always)]
fn codewords_of<S: Simd, const U: usize>(s: S, code: &Code, packed: &[u8], c: &mut [f32]) {
    check_row(code, packed, c.len());
    let Some(blocks) = Blocks::<S, U>::new(s, code, c.len()) else {
        return;
    };
    let words = words(s, code);
    let mut room = [0; BLOCK];
    for (i, c) in c.chunks_mut(BLOCK).enumerate() {
        shorts(s, &blocks.block(packed, i), &words, &mut room);
        let (eights, rest) = c.as_chunks_mut::<LANES_32>();
        for (c, found) in eights.iter_mut().zip(room.as_chunks().0) {
            s.store(floats(s, found), c);
        }
        for (c, &found) in rest.iter_mut().zip(&room[eights.len() * LANES_32..]) {
            *c = float(found);
        }
    }
}

#[inline(always)]
pub fn products<S: Simd>(
    s: S,
    code: &Code,
    rows: [&[u8]; ROWS_PER_CALL],
    y: &[f32],
    out: &mut [f32; ROWS_PER_CALL],
) {
    by_planes!(code, products_of(s, code, rows, y, out) else scalar::products(code, rows, y, out))
}

#[inline(always)]
fn products_of<S: Simd, const U: usize>(
    s: S,
    code: &Code,
    rows: [&[u8]; ROWS_PER_CALL],
    y: &[f32],
    out: &mut [f32; ROWS_PER_CALL],
) {
    let Some(blocks) = Blocks::<S, U>::new(s, code, y.len()) else {
        return;
    };
    let words = words(s, code);
    let mut room = [0; BLOCK];
    for (row, out) in rows.into_iter().zip(out) {
        check_row(code, row, y.len());
        let mut sums = [s.splat(0.0); 2];
        for (i, y) in y.chunks(BLOCK).enumerate() {
            shorts(s, &blocks.block(row, i), &words, &mut room);
            let (found, _) = room.as_chunks::<LANES_32>();
            let (found, _) = found.as_chunks::<2>();
            for (y, found) in y.as_chunks::<SUM_LANES>().0.iter().zip(found) {
                let (y, _) = y.as_chunks::<LANES_32>();
                for ((sum, y), found) in sums.iter_mut().zip(y).zip(found) {
                    *sum = s.fma(floats(s, found), s.load(y), *sum);
                }
            }
        }
        let mut lanes = to_lanes(s, sums);
        let rest = y.as_chunks::<SUM_LANES>().1;
        let from = (y.len() - rest.len()) % BLOCK;
        for ((lane, &y), &found) in lanes.iter_mut().zip(rest).zip(&room[from..]) {
            *lane = float(found).mul_add(y, *lane);
        }
        *out = sum_lanes(lanes);
    }
}

/// The tables of the bytes of codewords.
#[inline(always)]
fn words<S: Simd>(s: S, code: &Code) -> [[S::I16x16; CHOICES]; 2] {
    let mut words = [[s.splat_i16(0); CHOICES]; 2];
    if let Some(of) = &code.decode {
        for (to, of) in words.iter_mut().zip(&of.words) {
            *to = tables(s, of.as_flattened());
        }
    }
    words
}
