//! Signs and sums of up to 64 rows.
//!
//! The signs of each row are found in parts of 64 bytes, which are then transposed into the group.

use std::arch::x86_64::__m512i;

use super::look_up::{Index256, Indexes16, Levels64, halves, look_up_levels};
use crate::isa::Avx512;
use crate::kernels::code_products::field::FieldTable;
use crate::kernels::code_products::shape::{Bytes, Levels, Nibbles, Parts, Shape, Whole};
use crate::kernels::code_products::{
    CodeTables, EachSigns, PART, PART_COORDINATES, ROWS_PER_GROUP, Signs, check_group, vector,
};

/// The body of [`signs_and_sums`](super::super::signs_and_sums).
#[inline(always)]
pub fn signs_and_sums(
    s: Avx512,
    tables: &CodeTables,
    packed: &[u8],
    rows: &[u32],
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    check_group(tables, rows, group);
    let each = EachSigns {
        tables,
        packed,
        rows,
    };
    let field = &tables.fields[0];
    match &tables.shape {
        Shape::Bytes(bytes) => match (&bytes.parts, bytes.coordinates) {
            (Parts::Nibbles(of), 2) => nibbles::<2>(each, s, bytes, of, group, sums),
            (Parts::Nibbles(of), 4) => nibbles::<4>(each, s, bytes, of, group, sums),
            (Parts::Nibbles(of), _) => nibbles::<8>(each, s, bytes, of, group, sums),
            (Parts::Whole(of), 1) => bytes_of::<1>(each, s, bytes, &**of, group, sums),
            (Parts::Whole(of), 2) => bytes_of::<2>(each, s, bytes, &**of, group, sums),
            (Parts::Whole(of), 4) => bytes_of::<4>(each, s, bytes, &**of, group, sums),
            (Parts::Whole(of), _) => bytes_of::<8>(each, s, bytes, &**of, group, sums),
        },
        Shape::Levels(of) if of.width == 7 => levels::<true>(each, s, of, group, sums),
        Shape::Levels(of) => levels::<false>(each, s, of, group, sums),
        Shape::Words if matches!(field.coordinates, 1 | 2 | 4 | 8) => {
            words(each, s, field, group, sums);
        }
        Shape::Words | Shape::Path(_) => {
            vector::signs_and_sums(s.avx2(), tables, packed, rows, group, sums)
        }
    }
}

/// Finds the signs, the magnitudes and the squares of bytes.
trait SizesOfBytes {
    /// Those of 64 bytes, 0 where they are not valid.
    fn look_up(&self, s: Avx512, bytes: __m512i, valid: u64) -> [__m512i; 3];
}

/// The tables of the low and of the high half of a byte.
struct SizesOfNibbles([[__m512i; 2]; 3]);

impl SizesOfBytes for SizesOfNibbles {
    #[inline(always)]
    fn look_up(&self, s: Avx512, bytes: __m512i, valid: u64) -> [__m512i; 3] {
        let [low, high] = halves(s, bytes);
        let mut found = [s.zero(); 3];
        for (found, [of_low, of_high]) in found.iter_mut().zip(self.0) {
            let low = s.shuffle_bytes_where(valid, of_low, low);
            *found = s.add_u8(low, s.shuffle_bytes_where(valid, of_high, high));
        }
        found
    }
}

impl SizesOfBytes for &Whole {
    #[inline(always)]
    fn look_up(&self, s: Avx512, bytes: __m512i, valid: u64) -> [__m512i; 3] {
        let index = Index256::new(s, bytes, valid);
        let mut found = [s.zero(); 3];
        let tables = [&self.signs, &self.sizes[0], &self.sizes[1]];
        for (found, table) in found.iter_mut().zip(tables) {
            *found = index.look_up(s, table);
        }
        found
    }
}

/// Rows whose bytes have `C` coordinates.
#[inline(always)]
fn bytes_of<const C: usize>(
    each: EachSigns<'_>,
    s: Avx512,
    bytes: &Bytes,
    of: impl SizesOfBytes,
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    let ones = s.splat_u8(1);
    let mut all = [[0; PART]; ROWS_PER_GROUP];
    sums.fill([0; 2]);
    for (part, group) in group.chunks_mut(PART * ROWS_PER_GROUP).enumerate() {
        for i in (0..each.rows.len()).step_by(2) {
            let mut lanes = [[s.zero(); 2]; 2];
            for (k, lanes) in lanes.iter_mut().enumerate().take(each.rows.len() - i) {
                let row = each.row(i + k);
                let signs = &mut all[i + k];
                let row = row[..bytes.count].chunks(PART_COORDINATES / C).nth(part);
                let mut chunks = row.unwrap_or(&[]).chunks(PART);
                let mut sizes = [s.zero(); 2];
                for signs in signs.chunks_exact_mut(8 * C) {
                    let Some(bytes) = chunks.next() else {
                        signs.fill(0);
                        continue;
                    };
                    let valid = s.first_u8(bytes.len());
                    let found = of.look_up(s, s.load_part_u8(bytes), valid);
                    put_signs::<C>(s, found[0], signs);
                    sizes[0] = s.dot_u8_i8(sizes[0], found[1], ones);
                    sizes[1] = s.dot_u8_i8(sizes[1], found[2], ones);
                }
                *lanes = sizes;
            }
            add_lanes(s, &lanes, &mut sums[i..]);
        }
        put_group(s, &all, group);
    }
    each.put_rest(bytes.indexes, group, sums);
}

#[inline(always)]
fn nibbles<const C: usize>(
    each: EachSigns<'_>,
    s: Avx512,
    bytes: &Bytes,
    of: &Nibbles,
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    let mut tables = [[s.zero(); 2]; 3];
    let [magnitudes, squares] = &of.sizes;
    let of_halves = [&of.signs, &[*magnitudes; 2], &[*squares; 2]];
    for (to, tables) in tables
        .as_flattened_mut()
        .iter_mut()
        .zip(of_halves.into_iter().flatten())
    {
        *to = s.broadcast_u8x16(tables);
    }
    bytes_of::<C>(each, s, bytes, SizesOfNibbles(tables), group, sums);
}

#[inline(always)]
fn levels<const SEVEN: bool>(
    each: EachSigns<'_>,
    s: Avx512,
    of: &Levels,
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    let count = each.tables.fields[0].count;
    let unpacked = Levels64::new(s, of.width);
    let of_vector = 8 * of.width as usize;
    let ones = s.splat_u8(1);
    let mut all = [[0; PART]; ROWS_PER_GROUP];
    sums.fill([0; 2]);
    for (part, group) in group.chunks_mut(PART * ROWS_PER_GROUP).enumerate() {
        for i in (0..each.rows.len()).step_by(2) {
            let mut lanes = [[s.zero(); 2]; 2];
            for (k, lanes) in lanes.iter_mut().enumerate().take(each.rows.len() - i) {
                let row = each.row(i + k);
                let signs = &mut all[i + k];
                let mut sizes = [s.zero(); 2];
                let mut left = count - (part * PART_COORDINATES).min(count);
                let from = (part * 8 * of_vector).min(row.len());
                let mut chunks = row[from..].chunks(of_vector);
                for signs in signs.as_chunks_mut::<8>().0 {
                    let valid = s.first_u8(left.min(64));
                    let Some(bytes) = chunks.next() else {
                        *signs = [0; 8];
                        continue;
                    };
                    left -= left.min(64);
                    let levels = unpacked.unpack(s, bytes);
                    let found = look_up_levels::<SEVEN>(s, levels, valid, &of.signs);
                    *signs = s.top_bits_u8(found).to_le_bytes();
                    for (sizes, table) in sizes.iter_mut().zip(&of.sizes) {
                        let found = look_up_levels::<SEVEN>(s, levels, valid, table);
                        *sizes = s.dot_u8_i8(*sizes, found, ones);
                    }
                }
                *lanes = sizes;
            }
            add_lanes(s, &lanes, &mut sums[i..]);
        }
        put_group(s, &all, group);
    }
    each.put_rest(count, group, sums);
}

/// Words of 1, 2, 4 or 8 coordinates.
#[inline(always)]
fn words(
    each: EachSigns<'_>,
    s: Avx512,
    field: &FieldTable,
    group: &mut [u8],
    sums: &mut [[u32; 2]; ROWS_PER_GROUP],
) {
    let p = field.coordinates;
    let indexes = Indexes16::new(s, field.width);
    let low = s.splat_i32(0xff);
    let mut all = [[0; PART]; ROWS_PER_GROUP];
    sums.fill([0; 2]);
    for (part, group) in group.chunks_mut(PART * ROWS_PER_GROUP).enumerate() {
        for i in (0..each.rows.len()).step_by(2) {
            let mut lanes = [[s.zero(); 2]; 2];
            for (k, lanes) in lanes.iter_mut().enumerate().take(each.rows.len() - i) {
                let row = each.row(i + k);
                let signs = &mut all[i + k];
                let mut sizes = [s.zero(); 2];
                let left = field.count.saturating_sub(part * PART_COORDINATES / p);
                let vectors = left.min(PART_COORDINATES / p).div_ceil(16);
                let (signs, others) = signs.split_at_mut(2 * p * vectors);
                others.fill(0);
                for (k, signs) in signs.chunks_exact_mut(2 * p).enumerate() {
                    let index = indexes.unpack(s, row, part * (PART_COORDINATES / 16) / p + k);
                    let found = s.look_up_u32(&field.sizes, index);
                    let found = s.lanes_where(s.first((left - 16 * k).min(16)), found);
                    sizes[0] = s.add_i32(sizes[0], s.and(found, low));
                    let squares = s.and(s.shift_right_u32::<12>(found), low);
                    sizes[1] = s.add_i32(sizes[1], squares);
                    put_word_signs(s, s.shift_right_u32::<24>(found), p, signs);
                }
                *lanes = sizes;
            }
            add_lanes(s, &lanes, &mut sums[i..]);
        }
        put_group(s, &all, group);
    }
    each.put_rest(field.count, group, sums);
}

/// Writes the signs of 64 bytes with `C` coordinates each, which are the low bits of each byte, or
/// for a single coordinate its highest bit.
#[inline(always)]
fn put_signs<const C: usize>(s: Avx512, bits: __m512i, signs: &mut [u8]) {
    match C {
        8 => s.store_u8(bits, signs.first_chunk_mut().expect("64 bytes")),
        4 => {
            let pairs = s.madd_u8_i8(bits, s.splat_i16(0x1001));
            s.store_low_of_u16(pairs, signs.first_chunk_mut().expect("32 bytes"));
        }
        2 => {
            let pairs = s.madd_u8_i8(bits, s.splat_i16(0x0401));
            let fours = s.madd_i16(pairs, s.splat_i32(0x0010_0001));
            s.store_low_of_u32(fours, signs.first_chunk_mut().expect("16 bytes"));
        }
        _ => signs.copy_from_slice(&s.top_bits_u8(bits).to_le_bytes()),
    }
}

/// Writes the signs of 16 words of p coordinates, which are the low bits of each lane.
#[inline(always)]
fn put_word_signs(s: Avx512, bits: __m512i, p: usize, signs: &mut [u8]) {
    if p == 8 {
        return s.store_low_of_u32(bits, signs.first_chunk_mut().expect("16 bytes"));
    }
    if p == 4 {
        let pairs = s.or(bits, s.shift_right_u64::<28>(bits));
        return s.store_low_of_u64(pairs, signs.first_chunk_mut().expect("8 bytes"));
    }
    let mut words = [0; 16];
    s.store_low_of_u32(bits, &mut words);
    for (sign, words) in signs.iter_mut().zip(words.chunks_exact(8 / p)) {
        *sign = words.iter().rev().fold(0, |all, word| all << p | word);
    }
}

/// Adds the sums of the lanes of two rows to their sums.
#[inline(always)]
fn add_lanes(s: Avx512, lanes: &[[__m512i; 2]; 2], sums: &mut [[u32; 2]]) {
    let [a, b] = *lanes;
    let of_lanes = s.sums_of_four_i32([a[0], a[1], b[0], b[1]]);
    for (sums, of_lanes) in sums.iter_mut().zip(of_lanes.as_chunks::<2>().0) {
        sums[0] += of_lanes[0] as u32;
        sums[1] += of_lanes[1] as u32;
    }
}

/// Writes a part of the signs to the group.
#[inline(always)]
fn put_group(s: Avx512, signs: &Signs, group: &mut [u8]) {
    let mut columns: Signs = [[0; ROWS_PER_GROUP]; PART];
    transpose(s, signs, &mut columns);
    // Column by column: a call would cost as much as the copy.
    for (to, column) in group.as_chunks_mut().0.iter_mut().zip(&columns) {
        s.store_u8(s.load_u8(column), to);
    }
}

/// columns\[position\]\[slot\] ← the bytes of the rows.
#[inline(always)]
fn transpose(s: Avx512, signs: &Signs, columns: &mut Signs) {
    const HALF: usize = ROWS_PER_GROUP / 2;
    let [a, b, c, d] = columns.as_chunks_mut::<16>().0 else {
        unreachable!("64 columns");
    };
    for slots in 0..4 {
        // Even slots are rows of the first half, odd ones rows of the second one.
        let mut x = [s.zero(); 16];
        for (i, x) in x.iter_mut().enumerate() {
            *x = s.load_u8(&signs[8 * slots + i / 2 + i % 2 * HALF]);
        }
        // Each step puts the bytes of rows that are 8 apart side by side:
        //
        //   one step:    row 0, row 8      of position 0, then of position 1, …
        //   four steps:  rows 0 to 15      of a single position in each quarter
        for _ in 0..4 {
            let mut y = x;
            for i in 0..8 {
                [y[2 * i], y[2 * i + 1]] = s.interleave_u8(x[i], x[i + 8]);
            }
            x = y;
        }
        for (i, x) in x.into_iter().enumerate() {
            let [a, b, c, d] = [&mut a[i], &mut b[i], &mut c[i], &mut d[i]];
            s.store_quarters(
                x,
                [a, b, c, d].map(|column| &mut column.as_chunks_mut::<16>().0[slots]),
            );
        }
    }
}
