//! Products of packed rows with one query.

use super::look_up::{
    INDEXES, LEVEL_BITS, LEVEL_BYTES, Levels32, SHORT, WORD_BYTES, level_table, put_words,
};
use crate::kernels::code_products::shape::{Bytes, Nibbles, Parts, Shape, TABLE};
use crate::kernels::code_products::tables::FieldTable;
use crate::kernels::code_products::{
    CodeTables, IntQuery, ROWS_AHEAD, check_products, fetch_row, rest_product, row_of,
};
use crate::kernels::simd::{BYTES, Simd};

/// The body of [`products`](super::super::products).
#[inline(always)]
pub fn products<S: Simd>(
    s: S,
    tables: &CodeTables,
    packed: &[u8],
    rows: &[u32],
    query: &IntQuery,
    out: &mut [i32],
) {
    check_products(tables, rows, query, out);
    let each = Each {
        tables,
        packed,
        rows,
        query,
    };
    let field = &tables.fields[0];
    match &tables.shape {
        Shape::Bytes(bytes) => match (&bytes.parts, bytes.coordinates) {
            (Parts::Nibbles(of), 2) => each.nibbles::<S, 2>(s, bytes, of, out),
            (Parts::Nibbles(of), 4) => each.nibbles::<S, 4>(s, bytes, of, out),
            (Parts::Nibbles(of), _) => each.nibbles::<S, 8>(s, bytes, of, out),
            (Parts::Whole(_), 1) => each.whole::<S, 1>(s, bytes, out),
            (Parts::Whole(_), 2) => each.whole::<S, 2>(s, bytes, out),
            (Parts::Whole(_), 4) => each.whole::<S, 4>(s, bytes, out),
            (Parts::Whole(_), _) => each.whole::<S, 8>(s, bytes, out),
        },
        Shape::Levels(levels) if levels.width == LEVEL_BITS => {
            each.levels(s, &levels.words[0], out);
        }
        _ if field.coordinates <= SHORT => each.words(s, field, out),
        _ => each.long_words(s, field, out),
    }
}

/// What all rows share.
#[derive(Clone, Copy)]
struct Each<'a> {
    tables: &'a CodeTables,
    packed: &'a [u8],
    rows: &'a [u32],
    query: &'a IntQuery,
}

impl Each<'_> {
    /// out\[i\] ← the sum of the lanes of `product` of row i, and what the indexes from `from` on add.
    #[inline(always)]
    fn row<S: Simd>(
        self,
        s: S,
        from: usize,
        out: &mut [i32],
        mut product: impl FnMut(&[u8]) -> S::I32x8,
    ) {
        let Self {
            tables,
            packed,
            rows,
            query,
        } = self;
        let bias = -64 * query.sum;
        let has_rest = tables.has_rest(from);
        for (i, out) in out.chunks_mut(4).enumerate() {
            let mut sums = [s.splat_i32(0); 4];
            for (j, sum) in sums.iter_mut().enumerate().take(out.len()) {
                if let Some(&ahead) = rows.get(4 * i + j + ROWS_AHEAD) {
                    fetch_row(tables, packed, ahead);
                }
                *sum = product(row_of(tables, packed, rows[4 * i + j]));
            }
            let sums = s.sums_of_four_i32(sums);
            for ((out, sum), row) in out.iter_mut().zip(sums).zip(&rows[4 * i..]) {
                *out = sum.wrapping_add(bias);
                if has_rest {
                    let rest = rest_product(tables, from, row_of(tables, packed, *row), query);
                    *out = out.wrapping_add(rest);
                }
            }
        }
    }

    /// Bytes with `C` coordinates, half by half.
    #[inline(always)]
    fn nibbles<S: Simd, const C: usize>(self, s: S, bytes: &Bytes, of: &Nibbles, out: &mut [i32]) {
        let mut tables = [s.splat_i16(0); 4];
        for (table, plane) in tables.iter_mut().zip(&of.planes) {
            *table = s.load_u8_twice(plane);
        }
        let (planes, _) = self.query.planes.as_chunks::<BYTES>();
        let (planes, _) = planes.as_chunks::<2>();
        let (planes, _) = planes.as_chunks::<C>();
        self.row(s, bytes.indexes, out, |row| {
            let mut sum = s.splat_i32(0);
            for (i, bytes) in row[..bytes.count].chunks(BYTES).enumerate() {
                let mut padded = [0; BYTES];
                let bytes = match bytes.first_chunk::<BYTES>() {
                    Some(bytes) => bytes,
                    None => {
                        padded[..bytes.len()].copy_from_slice(bytes);
                        &padded
                    }
                };
                let bytes = s.load_u8(bytes);
                let halves = [s.low_nibbles(bytes), s.high_nibbles(bytes)];
                let planes = &planes[i / (TABLE / BYTES)];
                for j in 0..C {
                    let words = s.shuffle_bytes(tables[j % (C / 2)], halves[j / (C / 2)]);
                    let y = &planes[j][i % (TABLE / BYTES)];
                    sum = s.add_products_u8_i8(sum, words, y);
                }
            }
            sum
        });
    }

    /// Bytes with `C` coordinates, of which each is looked up in memory.
    #[inline(always)]
    fn whole<S: Simd, const C: usize>(self, s: S, bytes: &Bytes, out: &mut [i32]) {
        let (words, _) = bytes.words.as_chunks::<C>();
        let words = words.first_chunk::<256>();
        let words = words.expect("a word of each byte");
        let (values, _) = self.query.values.as_chunks::<BYTES>();
        let per_vector = BYTES / C;
        // The bytes of whole vectors; the others are read one by one.
        let count = bytes.count / per_vector * per_vector;
        let from = bytes.indexes / bytes.count * count;
        self.row(s, from, out, |row| {
            let mut sum = s.splat_i32(0);
            for (bytes, y) in row[..count].chunks_exact(per_vector).zip(values) {
                let mut found = [0u32; 8];
                for (i, &byte) in bytes.iter().enumerate() {
                    let word = &words[usize::from(byte)];
                    let mut four = [0; 4];
                    if C >= 4 {
                        for (k, four) in word.as_chunks::<4>().0.iter().enumerate() {
                            found[i * (C / 4) + k] = u32::from_le_bytes(*four);
                        }
                    } else {
                        four[..C].copy_from_slice(word);
                        found[i * C / 4] |= u32::from_le_bytes(four) << (8 * (i * C % 4));
                    }
                }
                sum = s.add_products_u8_i8(sum, s.words_u8(found), y);
            }
            sum
        });
    }

    /// Levels of three bits.
    #[inline(always)]
    fn levels<S: Simd>(self, s: S, words: &[u8], out: &mut [i32]) {
        let field = &self.tables.fields[0];
        let bytes = (field.count * LEVEL_BITS as usize).div_ceil(8);
        let unpacked = Levels32::new(s);
        let table = level_table(s, words);
        let (values, _) = self.query.values.as_chunks::<BYTES>();
        self.row(s, field.count, out, |row| {
            let mut sum = s.splat_i32(0);
            for (i, y) in values.iter().enumerate().take(bytes.div_ceil(LEVEL_BYTES)) {
                let levels = unpacked.unpack(s, &row[i * LEVEL_BYTES..]);
                sum = s.add_products_u8_i8(sum, s.shuffle_bytes(table, levels), y);
            }
            sum
        });
    }

    /// Words of up to eight coordinates, which are first put one after the other.
    #[inline(always)]
    fn words<S: Simd>(self, s: S, field: &FieldTable, out: &mut [i32]) {
        let p = field.coordinates;
        let values = &self.query.values;
        let mut words = [0; WORD_BYTES];
        self.row(s, field.count, out, |row| {
            let mut sum = s.splat_i32(0);
            for first in (0..field.count).step_by(INDEXES) {
                let coordinates = put_words(s, field, row, first, &mut words);
                let vectors = words[..coordinates.next_multiple_of(BYTES)].as_chunks().0;
                let values = values[first * p..].as_chunks().0;
                for (words, y) in vectors.iter().zip(values) {
                    sum = s.add_products_u8_i8(sum, s.load_u8(words), y);
                }
            }
            sum
        });
    }

    /// Words of any size.
    #[inline(always)]
    fn long_words<S: Simd>(self, s: S, field: &FieldTable, out: &mut [i32]) {
        let p = field.coordinates;
        let whole = p / BYTES * BYTES;
        let values = &self.query.values[..field.count * p];
        let mut rests = vec![0; self.rows.len()];
        let mut rest_of_row = rests.iter_mut();
        self.row(s, field.count, out, |row| {
            let mut sum = s.splat_i32(0);
            let mut rest = 0;
            for (at, y) in values.chunks_exact(p).enumerate() {
                let word = field.word(field.index(row, at));
                for (word, y) in word.as_chunks().0.iter().zip(y.as_chunks().0) {
                    sum = s.add_products_u8_i8(sum, s.load_u8(word), y);
                }
                for (word, y) in word[whole..].iter().zip(&y[whole..]) {
                    rest += i32::from(*word) * i32::from(*y);
                }
            }
            if let Some(to) = rest_of_row.next() {
                *to = rest;
            }
            sum
        });
        for (out, rest) in out.iter_mut().zip(rests) {
            *out = out.wrapping_add(rest);
        }
    }
}
