//! Products of packed rows with one query.

use std::arch::x86_64::__m512i;

use super::look_up::{Index256, Indexes16, Levels64, look_up_levels, nibbles};
use crate::isa::Avx512;
use crate::kernels::code_products::shape::{Bytes, Levels, Nibbles, Parts, Shape, TABLE, Whole};
use crate::kernels::code_products::tables::FieldTable;
use crate::kernels::code_products::{
    CodeTables, IntQuery, ROWS_AHEAD, check_products, fetch_row, rest_product, row_of,
};

/// The body of [`products`](super::super::products).
#[inline(always)]
pub fn products(
    s: Avx512,
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
            (Parts::Nibbles(of), 2) => each.nibbles::<2>(s, bytes, of, out),
            (Parts::Nibbles(of), 4) => each.nibbles::<4>(s, bytes, of, out),
            (Parts::Nibbles(of), _) => each.nibbles::<8>(s, bytes, of, out),
            (Parts::Whole(of), 1) => each.whole::<1>(s, bytes, of, out),
            (Parts::Whole(of), 2) => each.whole::<2>(s, bytes, of, out),
            (Parts::Whole(of), 4) => each.whole::<4>(s, bytes, of, out),
            (Parts::Whole(of), _) => each.whole::<8>(s, bytes, of, out),
        },
        Shape::Levels(levels) if levels.width == 7 => each.levels::<true>(s, levels, out),
        Shape::Levels(levels) => each.levels::<false>(s, levels, out),
        Shape::Words if field.coordinates <= 4 => each.short_words(s, field, out),
        Shape::Words if field.coordinates <= 8 => each.words(s, field, out),
        Shape::Words => each.long_words(s, field, out),
    }
}

/// Finds the words of bytes with `C` coordinates. (A closure might not be inlined.)
trait WordsOfBytes<const C: usize> {
    /// word7 of each coordinate of 64 bytes.
    fn look_up(&self, s: Avx512, bytes: __m512i) -> [__m512i; C];
}

/// The planes of a half of a byte.
struct OfNibbles([__m512i; 4]);

impl<const C: usize> WordsOfBytes<C> for OfNibbles {
    #[inline(always)]
    fn look_up(&self, s: Avx512, bytes: __m512i) -> [__m512i; C] {
        let halves = nibbles(s, bytes);
        let mut words = [s.zero(); C];
        for (j, word) in words.iter_mut().enumerate() {
            *word = s.shuffle_bytes(self.0[j % (C / 2)], halves[j / (C / 2)]);
        }
        words
    }
}

/// The planes of whole bytes.
struct OfWhole<'a, const C: usize>(&'a [[[u8; TABLE]; 4]; C]);

impl<const C: usize> WordsOfBytes<C> for OfWhole<'_, C> {
    #[inline(always)]
    fn look_up(&self, s: Avx512, bytes: __m512i) -> [__m512i; C] {
        let index = Index256::new(s, bytes, u64::MAX);
        let mut words = [s.zero(); C];
        for (word, plane) in words.iter_mut().zip(self.0) {
            *word = index.look_up_all(s, plane);
        }
        words
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
    fn row(self, s: Avx512, from: usize, out: &mut [i32], product: impl Fn(&[u8]) -> __m512i) {
        let Self {
            tables,
            packed,
            rows,
            query,
        } = self;
        let bias = -64 * query.sum;
        let has_rest = tables.has_rest(from);
        for (i, out) in out.chunks_mut(4).enumerate() {
            let mut sums = [s.zero(); 4];
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

    /// Rows whose bytes have `C` coordinates.
    #[inline(always)]
    fn bytes<const C: usize>(
        self,
        s: Avx512,
        bytes: &Bytes,
        words: impl WordsOfBytes<C>,
        out: &mut [i32],
    ) {
        let (planes, _) = self.query.planes.as_chunks::<TABLE>();
        let (planes, _) = planes.as_chunks::<C>();
        self.row(s, bytes.indexes, out, |row| {
            let mut sums = [s.zero(); 2];
            for (bytes, planes) in row[..bytes.count].chunks(TABLE).zip(planes) {
                let bytes = match bytes.first_chunk::<TABLE>() {
                    Some(bytes) => s.load_u8(bytes),
                    None => s.load_part_u8(bytes),
                };
                let words = words.look_up(s, bytes);
                for j in 0..C {
                    sums[j % 2] = s.dot_u8_i8(sums[j % 2], words[j], s.load_i8(&planes[j]));
                }
            }
            s.add_i32(sums[0], sums[1])
        });
    }

    #[inline(always)]
    fn nibbles<const C: usize>(self, s: Avx512, bytes: &Bytes, of: &Nibbles, out: &mut [i32]) {
        let mut planes = [s.zero(); 4];
        for (to, plane) in planes.iter_mut().zip(&of.planes) {
            *to = s.broadcast_u8x16(plane);
        }
        self.bytes::<C>(s, bytes, OfNibbles(planes), out);
    }

    #[inline(always)]
    fn whole<const C: usize>(self, s: Avx512, bytes: &Bytes, of: &Whole, out: &mut [i32]) {
        let (planes, _) = of.planes.as_chunks::<TABLE>();
        let planes = planes.as_chunks::<4>().0.first_chunk::<C>();
        let planes = planes.expect("a plane of each coordinate");
        self.bytes::<C>(s, bytes, OfWhole(planes), out);
    }

    #[inline(always)]
    fn levels<const SEVEN: bool>(self, s: Avx512, of: &Levels, out: &mut [i32]) {
        let count = self.tables.fields[0].count;
        let unpacked = Levels64::new(s, of.width);
        let of_vector = 8 * of.width as usize;
        let (values, _) = self.query.values.as_chunks::<TABLE>();
        self.row(s, count, out, |row| {
            let mut sum = s.zero();
            for (bytes, y) in row.chunks(of_vector).zip(values) {
                let levels = unpacked.unpack(s, bytes);
                let word = look_up_levels::<SEVEN>(s, levels, u64::MAX, &of.words);
                sum = s.dot_u8_i8(sum, word, s.load_i8(y));
            }
            sum
        });
    }

    /// Words of up to four coordinates.
    #[inline(always)]
    fn short_words(self, s: Avx512, field: &FieldTable, out: &mut [i32]) {
        let p = field.coordinates;
        let indexes = Indexes16::new(s, field.width);
        let together = put_together(s, p, 4);
        let stride = s.splat_i32(p as i32);
        let values = &self.query.values[..field.count * p];
        self.row(s, field.count, out, |row| {
            let mut sum = s.zero();
            for (i, y) in values.chunks(16 * p).enumerate() {
                let offset = s.mul_i32(indexes.unpack(s, row, i), stride);
                let words = s.permute_bytes(s.gather_u32(&field.words, offset), together);
                sum = s.dot_u8_i8(sum, words, s.load_part_i8(y));
            }
            sum
        });
    }

    /// Words of up to eight coordinates.
    #[inline(always)]
    fn words(self, s: Avx512, field: &FieldTable, out: &mut [i32]) {
        let p = field.coordinates;
        let indexes = Indexes16::new(s, field.width);
        let together = put_together(s, p, 8);
        let stride = s.splat_i32(p as i32);
        let values = &self.query.values[..field.count * p];
        self.row(s, field.count, out, |row| {
            let mut sum = s.zero();
            for (i, y) in values.chunks(16 * p).enumerate() {
                let offset = s.mul_i32(indexes.unpack(s, row, i), stride);
                let words = s.gather_u64(&field.words, offset);
                for (words, y) in words.into_iter().zip(y.chunks(8 * p)) {
                    let words = s.permute_bytes(words, together);
                    sum = s.dot_u8_i8(sum, words, s.load_part_i8(y));
                }
            }
            sum
        });
    }

    /// Words of any size.
    #[inline(always)]
    fn long_words(self, s: Avx512, field: &FieldTable, out: &mut [i32]) {
        let p = field.coordinates;
        let values = &self.query.values[..field.count * p];
        self.row(s, field.count, out, |row| {
            let mut sum = s.zero();
            for (at, y) in values.chunks_exact(p).enumerate() {
                let word = field.word(field.index(row, at));
                for (word, y) in word.chunks(TABLE).zip(y.chunks(TABLE)) {
                    sum = s.dot_u8_i8(sum, s.load_part_u8(word), s.load_part_i8(y));
                }
            }
            sum
        });
    }
}

/// The bytes to take so that the first p bytes of each `from` bytes lie one after the other. The
/// bytes after them mean nothing.
#[inline(always)]
fn put_together(s: Avx512, p: usize, from: usize) -> __m512i {
    s.load_u8(&std::array::from_fn(|i| (i / p * from + i % p) as u8))
}
