//! Signs and sums of up to 64 rows.
//!
//! The signs of each row are found in parts of 64 bytes, which are then transposed into the group.

use std::arch::x86_64::__m512i;

use super::look_up::{Index256, Indexes16, Levels64, look_up_levels, nibbles};
use crate::isa::Avx512;
use crate::kernels::code_products::shape::{Bytes, Levels, Nibbles, Parts, Shape, Whole};
use crate::kernels::code_products::tables::FieldTable;
use crate::kernels::code_products::{
    CodeTables, ROWS_PER_GROUP, check_group, rest_of_group, row_of, scalar,
};

/// Bytes of signs of a part, and the coordinates that they are of.
const PART: usize = 64;
const PART_COORDINATES: usize = 8 * PART;

/// The signs of 64 rows.
type Signs = [[u8; PART]; ROWS_PER_GROUP];

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
    let each = Each {
        tables,
        packed,
        rows,
    };
    let field = &tables.fields[0];
    match &tables.shape {
        Shape::Bytes(bytes) => match (&bytes.parts, bytes.coordinates) {
            (Parts::Nibbles(of), 2) => each.nibbles::<2>(s, bytes, of, group, sums),
            (Parts::Nibbles(of), 4) => each.nibbles::<4>(s, bytes, of, group, sums),
            (Parts::Nibbles(of), _) => each.nibbles::<8>(s, bytes, of, group, sums),
            (Parts::Whole(of), 1) => each.whole::<1>(s, bytes, of, group, sums),
            (Parts::Whole(of), 2) => each.whole::<2>(s, bytes, of, group, sums),
            (Parts::Whole(of), 4) => each.whole::<4>(s, bytes, of, group, sums),
            (Parts::Whole(of), _) => each.whole::<8>(s, bytes, of, group, sums),
        },
        Shape::Levels(levels) if levels.width == 7 => each.levels::<true>(s, levels, group, sums),
        Shape::Levels(levels) => each.levels::<false>(s, levels, group, sums),
        Shape::Words if matches!(field.coordinates, 1 | 2 | 4 | 8) => {
            each.words(s, field, group, sums);
        }
        Shape::Words => scalar::signs_and_sums(tables, packed, rows, group, sums),
    }
}

/// What all rows share.
#[derive(Clone, Copy)]
struct Each<'a> {
    tables: &'a CodeTables,
    packed: &'a [u8],
    rows: &'a [u32],
}

impl Each<'_> {
    /// The signs and sums of each row, of which `part` finds a part of the signs, and the magnitudes
    /// and squares of this part in lanes. The indexes from `from` on are added one by one.
    #[inline(always)]
    fn row(
        self,
        s: Avx512,
        from: usize,
        group: &mut [u8],
        sums: &mut [[u32; 2]; ROWS_PER_GROUP],
        part: impl Fn(&[u8], usize, &mut [u8; PART]) -> [__m512i; 2],
    ) {
        let Self {
            tables,
            packed,
            rows,
        } = self;
        sums.fill([0; 2]);
        let mut signs: Signs = [[0; PART]; ROWS_PER_GROUP];
        let mut columns: Signs = [[0; ROWS_PER_GROUP]; PART];
        for (i, group) in group.chunks_mut(PART * ROWS_PER_GROUP).enumerate() {
            for (j, rows) in rows.chunks(2).enumerate() {
                let mut sizes = [s.zero(); 4];
                for (k, &row) in rows.iter().enumerate() {
                    let row = row_of(tables, packed, row);
                    let of_row = part(row, i, &mut signs[2 * j + k]);
                    sizes[2 * k..][..2].copy_from_slice(&of_row);
                }
                let sizes = s.sums_of_four_i32(sizes);
                for (sums, sizes) in sums[2 * j..].iter_mut().zip(sizes.as_chunks::<2>().0) {
                    sums[0] += sizes[0] as u32;
                    sums[1] += sizes[1] as u32;
                }
            }
            transpose(s, &signs, &mut columns);
            let positions = group.as_chunks_mut::<ROWS_PER_GROUP>().0;
            for (position, column) in positions.iter_mut().zip(&columns) {
                *position = *column;
            }
        }
        if tables.has_rest(from) {
            rest_of_group(tables, from, packed, rows, group, sums);
        }
    }

    /// Rows whose bytes have `C` coordinates. `look_up` finds the signs, the magnitudes and the
    /// squares of 64 bytes, 0 where they are not valid.
    #[inline(always)]
    fn bytes<const C: usize>(
        self,
        s: Avx512,
        bytes: &Bytes,
        group: &mut [u8],
        sums: &mut [[u32; 2]; ROWS_PER_GROUP],
        look_up: impl Fn(__m512i, u64) -> [__m512i; 3],
    ) {
        let ones = s.splat_u8(1);
        self.row(s, bytes.indexes, group, sums, |row, i, signs| {
            let row = row[..bytes.count].chunks(PART_COORDINATES / C).nth(i);
            let mut chunks = row.unwrap_or(&[]).chunks(PART);
            let mut sizes = [s.zero(); 2];
            for signs in signs.chunks_exact_mut(8 * C) {
                let Some(bytes) = chunks.next() else {
                    signs.fill(0);
                    continue;
                };
                let found = look_up(s.load_part_u8(bytes), s.first_u8(bytes.len()));
                put_signs::<C>(s, found[0], signs);
                sizes[0] = s.dot_u8_i8(sizes[0], found[1], ones);
                sizes[1] = s.dot_u8_i8(sizes[1], found[2], ones);
            }
            sizes
        });
    }

    #[inline(always)]
    fn nibbles<const C: usize>(
        self,
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
        self.bytes::<C>(s, bytes, group, sums, |bytes, valid| {
            let [low, high] = nibbles(s, bytes);
            let mut found = [s.zero(); 3];
            for (found, [of_low, of_high]) in found.iter_mut().zip(tables) {
                let low = s.shuffle_bytes_where(valid, of_low, low);
                *found = s.add_u8(low, s.shuffle_bytes_where(valid, of_high, high));
            }
            found
        });
    }

    #[inline(always)]
    fn whole<const C: usize>(
        self,
        s: Avx512,
        bytes: &Bytes,
        of: &Whole,
        group: &mut [u8],
        sums: &mut [[u32; 2]; ROWS_PER_GROUP],
    ) {
        self.bytes::<C>(s, bytes, group, sums, |bytes, valid| {
            let index = Index256::new(s, bytes, valid);
            let mut found = [s.zero(); 3];
            for (found, table) in found
                .iter_mut()
                .zip([&of.signs, &of.sizes[0], &of.sizes[1]])
            {
                *found = index.look_up(s, table);
            }
            found
        });
    }

    #[inline(always)]
    fn levels<const SEVEN: bool>(
        self,
        s: Avx512,
        of: &Levels,
        group: &mut [u8],
        sums: &mut [[u32; 2]; ROWS_PER_GROUP],
    ) {
        let count = self.tables.fields[0].count;
        let unpacked = Levels64::new(s, of.width);
        let of_vector = 8 * of.width as usize;
        let ones = s.splat_u8(1);
        self.row(s, count, group, sums, |row, i, signs| {
            let mut sizes = [s.zero(); 2];
            let mut left = count - (i * PART_COORDINATES).min(count);
            let from = (i * 8 * of_vector).min(row.len());
            let mut chunks = row[from..].chunks(of_vector);
            for signs in signs.as_chunks_mut::<8>().0 {
                let valid = s.first_u8(left.min(64));
                let Some(bytes) = chunks.next() else {
                    *signs = [0; 8];
                    continue;
                };
                left -= left.min(64);
                let levels = unpacked.unpack(s, bytes);
                let look_up = |table| look_up_levels::<SEVEN>(s, levels, valid, table);
                *signs = s.top_bits_u8(look_up(&of.signs)).to_le_bytes();
                sizes[0] = s.dot_u8_i8(sizes[0], look_up(&of.sizes[0]), ones);
                sizes[1] = s.dot_u8_i8(sizes[1], look_up(&of.sizes[1]), ones);
            }
            sizes
        });
    }

    /// Words of 1, 2, 4 or 8 coordinates.
    #[inline(always)]
    fn words(
        self,
        s: Avx512,
        field: &FieldTable,
        group: &mut [u8],
        sums: &mut [[u32; 2]; ROWS_PER_GROUP],
    ) {
        let p = field.coordinates;
        let indexes = Indexes16::new(s, field.width);
        let table = field.sizes.as_flattened();
        let (magnitude, square) = (s.splat_i32(1), s.splat_i32(0x100));
        let stride = s.splat_i32(4);
        self.row(s, field.count, group, sums, |row, i, signs| {
            let mut sizes = [s.zero(); 2];
            let first = i * PART_COORDINATES / p;
            for (k, signs) in signs.chunks_exact_mut(2 * p).enumerate() {
                let at = first + 16 * k;
                let left = field.count.saturating_sub(at).min(16);
                if left == 0 {
                    signs.fill(0);
                    continue;
                }
                let offset = s.mul_i32(indexes.unpack(s, row, at / 16), stride);
                let found = s.gather_u32(table, offset);
                let found = s.bytes_where(s.first_u8(4 * left), found);
                sizes[0] = s.dot_u8_i8(sizes[0], found, magnitude);
                sizes[1] = s.dot_u8_i8(sizes[1], found, square);
                put_word_signs(s, s.shift_right_u32::<16>(found), p, signs);
            }
            sizes
        });
    }
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
