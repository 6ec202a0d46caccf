//! A group in a vector, six signs per look-up, for up to four queries at a time.

use std::arch::x86_64::{__m512, __m512i};

use super::scalar::{NEAR, finish, first_unit, look, make_room, raise_unit, without_weights};
use super::{
    Columns, Cut, PART, Picked, ROWS_PER_GROUP, SignQuery, check_columns, rows, sign_bytes,
};
use crate::aligned::Aligned;
use crate::isa::Avx512;
use crate::kernels::SUM_LANES;

/// Bytes of a table, one for each value of six signs.
const TABLE: usize = 64;
/// Tables of a part: one for six signs of each of its eight bytes, and three for the two signs that
/// are left of each.
const TABLES: usize = 11;
/// The most LUTs of parts, of all queries together, that stay in the first-level cache while all
/// groups are scanned.
const LUTS_OF_BLOCK: usize = 32;

/// The signs of a part: a byte per row for each eight coordinates.
type Codes = [[u8; ROWS_PER_GROUP]; PART / 8];
/// The LUT of a part.
type Lut = [[u8; TABLE]; TABLES];

/// Bytes of the LUT of a query.
fn lut_bytes(dim: usize) -> usize {
    dim.div_ceil(PART) * size_of::<Lut>()
}

/// Four queries at a time, for which the reads of the codes and the indexes that are made of them
/// are shared.
#[inline(always)]
pub fn sums(s: Avx512, groups: &[u8], dim: usize, luts: &[&[u8]], out: &mut [u16]) {
    let parts = sign_bytes(dim) / 8;
    let rows = rows(groups, dim, luts, lut_bytes(dim), out);
    if rows == 0 || dim == 0 {
        return out.fill(0);
    }
    let codes = groups.as_chunks().0.as_chunks().0;
    let (fours, luts) = luts.as_chunks::<4>();
    let (out_of_fours, out) = out.split_at_mut(fours.len() * 4 * rows);
    for (luts, out) in fours.iter().zip(out_of_fours.chunks_exact_mut(4 * rows)) {
        sums_of_queries(s, codes, parts, luts, out);
    }
    match *luts {
        [a, b, c] => sums_of_queries(s, codes, parts, &[a, b, c], out),
        [a, b] => sums_of_queries(s, codes, parts, &[a, b], out),
        [a] => sums_of_queries(s, codes, parts, &[a], out),
        _ => {}
    }
}

/// [`sums`] for N queries: block by block of parts, and two groups at a time, which share the reads
/// of the LUTs.
#[inline(always)]
fn sums_of_queries<const N: usize>(
    s: Avx512,
    codes: &[Codes],
    parts: usize,
    luts: &[&[u8]; N],
    out: &mut [u16],
) {
    let rows = out.len() / N;
    let mut out = out.chunks_exact_mut(rows);
    let mut out: [_; N] = std::array::from_fn(|_| {
        let out = out.next().unwrap_or_default();
        out.as_chunks_mut::<ROWS_PER_GROUP>().0
    });
    let luts = luts.map(|lut| lut.as_chunks().0.as_chunks().0);
    let blocks = parts.div_ceil(LUTS_OF_BLOCK / N);
    let parts_of_block = parts.div_ceil(blocks);
    for from in (0..parts).step_by(parts_of_block) {
        let block = from..parts.min(from + parts_of_block);
        let luts = luts.map(|lut| &lut[block.clone()]);
        let mut group = 0;
        while group + 1 < out[0].len() {
            let codes = [0, 1].map(|next| &codes[(group + next) * parts..][block.clone()]);
            sums_of_groups(s, codes, luts, &mut out, group, from == 0);
            group += 2;
        }
        if group < out[0].len() {
            let codes = &codes[group * parts..][block.clone()];
            sums_of_groups(s, [codes], luts, &mut out, group, from == 0);
        }
    }
}

/// The sums of W groups from `group` on over some parts, which are written or else added.
#[inline(always)]
fn sums_of_groups<const N: usize, const W: usize>(
    s: Avx512,
    codes: [&[Codes]; W],
    luts: [&[Lut]; N],
    out: &mut [&mut [[u16; ROWS_PER_GROUP]]; N],
    group: usize,
    write: bool,
) {
    // `all` sums the bytes of rows r and r + 32 as one 16-bit number, `high` sums the byte of row
    // r + 32 alone.
    let mut all = [[s.zero(); W]; N];
    let mut high = [[s.zero(); W]; N];
    for part in 0..codes[0].len() {
        let bytes = bytes_of_part(
            s,
            codes.map(|codes| &codes[part]),
            luts.map(|lut| &lut[part]),
        );
        for q in 0..N {
            for w in 0..W {
                all[q][w] = s.add_i16(all[q][w], bytes[q][w]);
                high[q][w] = s.add_i16(high[q][w], s.shift_right_u16::<8>(bytes[q][w]));
            }
        }
    }
    for q in 0..N {
        for (w, out) in out[q][group..][..W].iter_mut().enumerate() {
            let low = s.sub_i16(all[q][w], s.shift_left_u16::<8>(high[q][w]));
            for (sums, out) in [low, high[q][w]].into_iter().zip(out.as_chunks_mut().0) {
                let before = if write { s.zero() } else { s.load_u16(out) };
                s.store_u16(s.add_i16(before, sums), out);
            }
        }
    }
}

/// The sums of the entries of a part, a byte per row.
#[inline(always)]
fn bytes_of_part<const N: usize, const W: usize>(
    s: Avx512,
    codes: [&Codes; W],
    luts: [&Lut; N],
) -> [[__m512i; W]; N] {
    let mut bytes = [[s.zero(); W]; N];
    for half in 0..2 {
        let [mut a, mut b, mut c, mut pairs] = [[s.zero(); W]; 4];
        for w in 0..W {
            a[w] = s.load_u8(&codes[w][4 * half]);
            b[w] = s.load_u8(&codes[w][4 * half + 1]);
            c[w] = s.load_u8(&codes[w][4 * half + 2]);
            let c = s.shift_right_u16::<4>(c[w]);
            let all = s.select_bits(s.splat_u8(0xf0), top_pairs(s, a[w], b[w]), c);
            pairs[w] = s.shift_right_u16::<2>(all);
        }
        add_entries(s, &mut bytes, luts, 4 * half, a);
        add_entries(s, &mut bytes, luts, 4 * half + 1, b);
        add_entries(s, &mut bytes, luts, 4 * half + 2, c);
        add_entries(s, &mut bytes, luts, 8 + half, pairs);
    }
    let [mut a, mut b, mut pairs] = [[s.zero(); W]; 3];
    for w in 0..W {
        (a[w], b[w]) = (s.load_u8(&codes[w][3]), s.load_u8(&codes[w][7]));
        pairs[w] = s.shift_right_u16::<4>(top_pairs(s, a[w], b[w]));
    }
    add_entries(s, &mut bytes, luts, 3, a);
    add_entries(s, &mut bytes, luts, 7, b);
    add_entries(s, &mut bytes, luts, 10, pairs);
    bytes
}

/// The two top bits of a and below them those of b, from the top of each byte.
#[inline(always)]
fn top_pairs(s: Avx512, a: __m512i, b: __m512i) -> __m512i {
    s.select_bits(s.splat_u8(0xc0), a, s.shift_right_u16::<2>(b))
}

/// Adds the entries of a table that the low six bits of the indexes choose.
#[inline(always)]
fn add_entries<const N: usize, const W: usize>(
    s: Avx512,
    bytes: &mut [[__m512i; W]; N],
    luts: [&Lut; N],
    table: usize,
    indexes: [__m512i; W],
) {
    for (bytes, lut) in bytes.iter_mut().zip(luts) {
        let lut = s.load_u8(&lut[table]);
        for w in 0..W {
            bytes[w] = s.add_u8(bytes[w], s.permute_bytes(lut, indexes[w]));
        }
    }
}

#[inline(always)]
pub fn sums_reach(s: Avx512, sums: &[u16], columns: &Columns<'_>, cut: &Cut, masks: &mut [u64]) {
    check_columns(sums.len(), columns, masks);
    let sums = sums.as_chunks().0;
    let product = |i: usize| s.to_f32(s.load_u16_as_i32(&sums[i]));
    reach(s, product, columns, cut, masks);
}

#[inline(always)]
pub fn ints_reach(s: Avx512, dots: &[i32], columns: &Columns<'_>, cut: &Cut, masks: &mut [u64]) {
    check_columns(dots.len(), columns, masks);
    let dots = dots.as_chunks().0;
    let product = |i: usize| s.to_f32(s.load_i32(&dots[i]));
    reach(s, product, columns, cut, masks);
}

/// The masks for the products of rows 16i to 16i + 15 that `product` returns.
#[inline(always)]
fn reach(
    s: Avx512,
    product: impl Fn(usize) -> __m512,
    columns: &Columns<'_>,
    cut: &Cut,
    masks: &mut [u64],
) {
    const PARTS: usize = ROWS_PER_GROUP / SUM_LANES;
    let (unit, offset) = (s.splat(cut.unit), s.splat(cut.offset));
    let (reach, weight) = (s.splat(cut.reach), s.splat(cut.weight));
    let threshold = s.splat(cut.threshold);
    let (factor, spread) = (columns.factor.as_chunks().0, columns.spread.as_chunks().0);
    let shift = columns.shift.map(|shift| shift.as_chunks().0);
    for (group, mask) in masks.iter_mut().enumerate() {
        let mut below = 0;
        for part in 0..PARTS {
            let i = group * PARTS + part;
            let mut key = s.mul(s.load(&factor[i]), s.fma(unit, product(i), offset));
            if let Some(shift) = shift {
                key = s.fma(weight, s.load(&shift[i]), key);
            }
            let bound = s.fma(reach, s.load(&spread[i]), key);
            below |= u64::from(s.lt(bound, threshold)) << (part * SUM_LANES);
        }
        *mask = !below;
    }
}

/// Rows are listed without a branch, as nobody can foretell which groups have one.
#[inline(always)]
pub fn pick(
    s: Avx512,
    sums: &[u16],
    columns: &Columns<'_>,
    cut: &Cut,
    masks: &[u64],
    live: &[u64],
    picked: &mut Picked,
) {
    check_columns(sums.len(), columns, masks);
    let numbers = s.load_i32(&std::array::from_fn(|i| i as i32));
    let count = make_room(masks, live, SUM_LANES, &mut picked.rows);
    let mut place = 0;
    for (group, (mask, live)) in masks.iter().zip(live).enumerate() {
        let mut mask = mask & live;
        for part in 0..ROWS_PER_GROUP / SUM_LANES {
            let first = (group * ROWS_PER_GROUP + part * SUM_LANES) as i32;
            let rows = s.add_i32(numbers, s.splat_i32(first));
            if let Some(to) = picked.rows[place..].first_chunk_mut() {
                s.store_u32(s.compress_i32(mask as u16, rows), to);
            }
            place += (mask as u16).count_ones() as usize;
            mask >>= SUM_LANES;
        }
    }
    picked.rows.truncate(count);
    look(sums, columns, cut, picked);
}

/// One vector of a query at a time, the lanes of the contract.
#[inline(always)]
pub fn query(s: Avx512, y: &[f32]) -> SignQuery {
    let (body, tail) = y.as_chunks::<SUM_LANES>();
    let magnitudes = |i: usize| {
        let part = body
            .get(i)
            .map_or_else(|| s.load_part(tail), |part| s.load(part));
        (part, s.abs(part))
    };
    let parts = y.len().div_ceil(SUM_LANES);
    // Every lane has the sum of the four lanes around it.
    let sums_of_fours = |magnitudes| {
        let pairs = s.add(magnitudes, s.shuffle_xor1(magnitudes));
        s.add(pairs, s.shuffle_xor2(pairs))
    };
    let (mut total, mut widest) = (s.splat(0.0), s.splat(0.0));
    for i in 0..parts {
        let sums = sums_of_fours(magnitudes(i).1);
        total = s.add(total, sums);
        widest = s.max(sums, widest);
    }
    let widest = s.largest(widest);
    let Some(mut unit) = first_unit(s.sum(total), widest) else {
        return without_weights(y, lut_bytes(y.len()));
    };
    let near = s.splat(widest * NEAR);
    for i in 0..parts {
        let mut close = s.lt(near, sums_of_fours(magnitudes(i).1));
        while close != 0 {
            let from = i * SUM_LANES + close.trailing_zeros() as usize;
            unit = raise_unit(&y[from..y.len().min(from + 4)], unit);
            close &= !(0xf << (from % SUM_LANES));
        }
    }

    let (per_unit, rounding, zero) = (s.splat(2.0 / unit), s.splat(0.5), s.splat(0.0));
    let [mut errors, mut squares, mut fourths] = [zero; 3];
    let mut total = s.zero();
    let mut weights = Aligned::<i8>::new(sign_bytes(y.len()) * 8);
    let (weights_of_parts, _) = weights.as_chunks_mut::<SUM_LANES>();
    for (i, weights) in (0..parts).zip(weights_of_parts) {
        let (y, magnitudes) = magnitudes(i);
        let rounded = s.truncate_to_i32(s.fma(magnitudes, per_unit, rounding));
        total = s.add_i32(total, rounded);
        let signed = s.sub_i32_where(s.lt(y, zero), rounded, s.zero(), rounded);
        s.store_i32_as_i8(signed, weights);
        let error = s.fms(magnitudes, per_unit, s.to_f32(rounded));
        let z = s.mul(magnitudes, per_unit);
        let square = s.mul(z, z);
        errors = s.fma(error, error, errors);
        squares = s.add(squares, square);
        fourths = s.fma(square, square, fourths);
    }
    let moments = [errors, squares, fourths].map(|sum| s.sum(sum));
    let mut lut = Aligned::new(lut_bytes(y.len()));
    let (weights, _) = weights.as_chunks::<PART>();
    let (luts, _) = lut.as_chunks_mut().0.as_chunks_mut();
    for (weights, lut) in weights.iter().zip(luts) {
        fill_tables(s, weights, lut);
    }
    finish(y.len(), unit, moments, lut, s.sum_i32(total))
}

/// For each of six signs and each value of all six: the place of the coordinate's weight among the
/// positive ones if the sign is set, among the negative ones if it is clear.
const fn choices(coordinates: [u8; 6]) -> [[u8; TABLE]; 6] {
    let mut choices = [[0; TABLE]; 6];
    let mut sign = 0;
    while sign < 6 {
        let mut value = 0;
        while value < TABLE {
            let clear = value >> sign & 1 == 0;
            choices[sign][value] = coordinates[sign] + if clear { 32 } else { 0 };
            value += 1;
        }
        sign += 1;
    }
    choices
}

/// The coordinates of the tables of half a part: of four bytes, then of the top pairs of three.
const CHOICES: [[[u8; TABLE]; 6]; 5] = [
    choices([0, 1, 2, 3, 4, 5]),
    choices([8, 9, 10, 11, 12, 13]),
    choices([16, 17, 18, 19, 20, 21]),
    choices([24, 25, 26, 27, 28, 29]),
    choices([22, 23, 14, 15, 6, 7]),
];
/// Those of the table that both halves share, the top pairs of their last bytes. Its index has two
/// bits too many, which choose no weight.
const SHARED: [[u8; TABLE]; 6] = choices([30, 31, 30, 31, 0, 0]);

/// Writes the tables of 64 weights.
///
/// ```text
/// one permutation for each sign j of a table:    lane e ← weights[choices[j][e]]
/// weights:  max(q₀, 0) … max(q₃₁, 0) | max(−q₀, 0) … max(−q₃₁, 0)       for each half of a part
/// ```
#[inline(always)]
fn fill_tables(s: Avx512, weights: &[i8; PART], tables: &mut Lut) {
    let weights = s.load_i8(weights);
    let zero = s.zero();
    let (plus, minus) = (
        s.max_i8(weights, zero),
        s.max_i8(s.sub_u8(zero, weights), zero),
    );
    let halves = [s.low_halves(plus, minus), s.high_halves(plus, minus)];
    let chosen =
        |half: usize, choices: &[u8; TABLE]| s.permute_bytes(halves[half], s.load_u8(choices));
    for half in 0..2 {
        for (table, choices) in CHOICES.iter().enumerate() {
            let mut sum = chosen(half, &choices[0]);
            for choices in &choices[1..] {
                sum = s.add_u8(sum, chosen(half, choices));
            }
            let table = if table < 4 {
                4 * half + table
            } else {
                8 + half
            };
            s.store_u8(sum, &mut tables[table]);
        }
    }
    let second = s.add_u8(chosen(1, &SHARED[0]), chosen(1, &SHARED[1]));
    let first = s.add_u8(chosen(0, &SHARED[2]), chosen(0, &SHARED[3]));
    s.store_u8(s.add_u8(first, second), &mut tables[10]);
}
