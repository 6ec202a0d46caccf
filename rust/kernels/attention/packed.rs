//! Products and sums straight from packed rows, whose codewords are looked up in registers.
//!
//! This serves rows of 8-bit codewords that are numbers of 8 or 12 bits with four coordinates each,
//! and queries that fit one group: with more groups, expanding each row once costs less.

use super::codewords::{Composite, Entries};
use super::tiles::{ROWS_PER_BLOCK, dots_i8, sums_i8};
use super::{Codewords, PADDING, Tile, dots_shape, expand, sums_shape};
use crate::kernels::simd::{LANES_32, Simd};

/// The most queries whose products are taken straight from packed rows.
const MOST_DOTS: usize = 3;
/// The most sums that are taken straight from packed rows.
const MOST_SUMS: usize = 4;
/// Coordinates per number.
const PER_NUMBER: usize = 4;
/// Numbers of [`PADDING`] coordinates.
const NUMBERS: usize = PADDING / PER_NUMBER;

/// The entries of rows that consist of numbers with four coordinates of 8 bits, if they do.
#[inline(always)]
fn entries(words: &Codewords<i8>) -> Option<(&Composite, &[u32])> {
    let composite = words.composite()?;
    let numbers = words.parts()[0].count / composite.indexes;
    match &composite.entries {
        Entries::Four(entries)
            if numbers * PER_NUMBER == words.stride() && words.row_bytes() >= 8 =>
        {
            Some((composite, entries))
        }
        _ => None,
    }
}

/// The numbers of sixteen coordinates of a row of at least eight bytes.
#[inline(always)]
fn numbers<const BITS: usize>(row: &[u8], chunk: usize) -> [usize; NUMBERS] {
    if BITS == 8 {
        let bytes = &row[NUMBERS * chunk..][..NUMBERS];
        std::array::from_fn(|i| usize::from(bytes[i]))
    } else {
        // One load of eight bytes; that of the last numbers begins two bytes before them.
        let from = (6 * chunk).min(row.len() - 8);
        let Some(bytes) = row[from..].first_chunk() else {
            unreachable!("eight bytes up to the end of the row")
        };
        let bits = u64::from_le_bytes(*bytes) >> (8 * (6 * chunk - from));
        std::array::from_fn(|i| (bits >> (12 * i)) as usize & 0xfff)
    }
}

#[inline(always)]
pub fn packed_dots_i8<S: Simd>(
    s: S,
    packed: &[u8],
    words: &Codewords<i8>,
    room: &mut Vec<i8>,
    queries: &[i16],
    out: &mut [Tile],
) {
    let rows = packed.len() / words.row_bytes();
    match entries(words) {
        Some((composite, entries))
            if out.len() <= MOST_DOTS && rows.is_multiple_of(ROWS_PER_BLOCK) =>
        {
            let shape = dots_shape(rows * words.stride(), queries.len(), out);
            assert_eq!(shape, (rows, words.stride()), "rows as long as the queries");
            match (composite.bits, out.len()) {
                (8, 1) => dots::<S, 8, 256, 1>(s, packed, words, entries, queries, out),
                (8, 2) => dots::<S, 8, 256, 2>(s, packed, words, entries, queries, out),
                (8, _) => dots::<S, 8, 256, 3>(s, packed, words, entries, queries, out),
                (_, 1) => dots::<S, 12, 4096, 1>(s, packed, words, entries, queries, out),
                (_, 2) => dots::<S, 12, 4096, 2>(s, packed, words, entries, queries, out),
                _ => dots::<S, 12, 4096, 3>(s, packed, words, entries, queries, out),
            }
        }
        _ => {
            room.resize(rows * words.stride(), 0);
            expand::expand_i8(s, packed, words, room);
            dots_i8(s, room, queries, out);
        }
    }
}

#[inline(always)]
fn dots<S: Simd, const BITS: usize, const ENTRIES: usize, const G: usize>(
    s: S,
    packed: &[u8],
    words: &Codewords<i8>,
    entries: &[u32],
    queries: &[i16],
    out: &mut [Tile],
) {
    let (Some(entries), Some(out)) = (entries.first_chunk::<ENTRIES>(), out.first_chunk_mut::<G>())
    else {
        unreachable!("an entry for each number and a tile for each query")
    };
    let (stride, row_bytes) = (words.stride(), words.row_bytes());
    let chunks = stride / PADDING;
    let queries: [&[[i16; PADDING]]; G] =
        std::array::from_fn(|g| &queries[g * stride..][..stride].as_chunks().0[..chunks]);
    let blocks = packed.chunks_exact(ROWS_PER_BLOCK * row_bytes);
    for (block, rows) in blocks.enumerate() {
        let rows: [&[u8]; ROWS_PER_BLOCK] =
            std::array::from_fn(|r| &rows[r * row_bytes..][..chunks * BITS * NUMBERS / 8]);
        let mut sums = [[s.splat_i32(0); ROWS_PER_BLOCK]; G];
        for chunk in 0..chunks {
            let queries = queries.map(|query| s.load_i16(&query[chunk]));
            for (r, row) in rows.into_iter().enumerate() {
                let number = numbers::<BITS>(row, chunk);
                let row = s.widen_i8(number.map(|number| entries[number]));
                for (sums, query) in sums.iter_mut().zip(queries) {
                    sums[r] = s.add_i32(sums[r], s.madd_i16(row, query));
                }
            }
        }
        for (sums, out) in sums.into_iter().zip(&mut *out) {
            let place = &mut out[block * ROWS_PER_BLOCK..][..ROWS_PER_BLOCK];
            for (out, sum) in place.iter_mut().zip(s.sums_of_four_i32(sums)) {
                *out = sum as f32;
            }
        }
    }
}

#[inline(always)]
pub fn packed_sums_i8<S: Simd>(
    s: S,
    packed: &[u8],
    words: &Codewords<i8>,
    room: &mut Vec<i8>,
    weights: &[f32],
    count: usize,
    sums: &mut [f32],
) {
    let rows = packed.len() / words.row_bytes();
    match entries(words) {
        Some((composite, entries)) if count <= MOST_SUMS => {
            let length = rows * words.stride();
            let (_, length, _) = sums_shape(weights.len(), length, count, sums.len());
            assert_eq!(length, words.stride(), "rows as long as the sums");
            let call = Call {
                packed,
                words,
                entries,
                floats: composite.floats.as_deref().unwrap_or_default(),
                weights,
            };
            match (composite.bits, count) {
                (8, 1) => columns::<S, 8, 256, 1, 8>(s, call, sums),
                (8, 2) => columns::<S, 8, 256, 2, 4>(s, call, sums),
                (8, 3) => columns::<S, 8, 256, 3, 4>(s, call, sums),
                (8, _) => columns::<S, 8, 256, 4, 2>(s, call, sums),
                (_, 1) => columns::<S, 12, 4096, 1, 8>(s, call, sums),
                (_, 2) => columns::<S, 12, 4096, 2, 4>(s, call, sums),
                (_, 3) => columns::<S, 12, 4096, 3, 4>(s, call, sums),
                _ => columns::<S, 12, 4096, 4, 2>(s, call, sums),
            }
        }
        _ => {
            room.resize(rows * words.stride(), 0);
            expand::expand_i8(s, packed, words, room);
            sums_i8(s, weights, room, count, sums);
        }
    }
}

/// The arguments of [`packed_sums_i8`] with its tables.
#[derive(Clone, Copy)]
struct Call<'a> {
    packed: &'a [u8],
    words: &'a Codewords<i8>,
    entries: &'a [u32],
    /// The entries as float32, with numbers of 8 bits.
    floats: &'a [f32],
    weights: &'a [f32],
}

/// All columns, V vectors at a time, then two.
#[inline(always)]
fn columns<S: Simd, const BITS: usize, const ENTRIES: usize, const G: usize, const V: usize>(
    s: S,
    call: Call<'_>,
    sums: &mut [f32],
) {
    let mut column = 0;
    while column + V * LANES_32 <= call.words.stride() {
        some_columns::<S, BITS, ENTRIES, G, V>(s, call, column, sums);
        column += V * LANES_32;
    }
    while column < call.words.stride() {
        some_columns::<S, BITS, ENTRIES, G, 2>(s, call, column, sums);
        column += 2 * LANES_32;
    }
}

/// The V vectors of columns from `column` on.
#[inline(always)]
fn some_columns<
    S: Simd,
    const BITS: usize,
    const ENTRIES: usize,
    const G: usize,
    const V: usize,
>(
    s: S,
    call: Call<'_>,
    column: usize,
    sums: &mut [f32],
) {
    let Some(entries) = call.entries.first_chunk::<ENTRIES>() else {
        unreachable!("an entry for each number")
    };
    let floats = call
        .floats
        .as_chunks::<PER_NUMBER>()
        .0
        .first_chunk::<ENTRIES>();
    let (length, row_bytes) = (call.words.stride(), call.words.row_bytes());
    let count = call.packed.len() / row_bytes;
    let stride = call.weights.len() / G;
    let weights: [&[f32]; G] = std::array::from_fn(|g| &call.weights[g * stride..][..count]);
    let mut lanes = [[s.splat(0.0); V]; G];
    for (g, lanes) in lanes.iter_mut().enumerate() {
        let (from, _) = sums[g * length + column..][..V * LANES_32].as_chunks();
        for (lane, from) in lanes.iter_mut().zip(from) {
            *lane = s.load(from);
        }
    }
    let chunk = column / PADDING;
    for (i, row) in call.packed.chunks_exact(row_bytes).enumerate() {
        let weights: [S::F32x8; G] = std::array::from_fn(|g| s.splat(weights[g][i]));
        for pair in 0..V / 2 {
            let number = numbers::<BITS>(row, chunk + pair);
            for half in 0..2 {
                let number = [number[2 * half], number[2 * half + 1]];
                let k = match floats {
                    Some(floats) if BITS == 8 => {
                        s.load_halves(number.map(|number| &floats[number]))
                    }
                    _ => s.i8_to_f32(number.map(|number| entries[number])),
                };
                for g in 0..G {
                    let lane = &mut lanes[g][2 * pair + half];
                    *lane = s.fma(weights[g], k, *lane);
                }
            }
        }
    }
    for (g, lanes) in lanes.into_iter().enumerate() {
        let (to, _) = sums[g * length + column..][..V * LANES_32].as_chunks_mut();
        for (lane, to) in lanes.into_iter().zip(to) {
            s.store(lane, to);
        }
    }
}
