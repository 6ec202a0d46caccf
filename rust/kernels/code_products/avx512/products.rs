//! Products of packed rows with one query.

use std::arch::x86_64::__m512i;

use super::look_up::{Indexes16, Levels64, OfNibbles, OfWhole, WordsOfBytes, look_up_levels};
use crate::isa::Avx512;
use crate::kernels::code_products::field::FieldTable;
use crate::kernels::code_products::shape::{Bytes, Levels, Parts, Shape, TABLE};
use crate::kernels::code_products::{CodeTables, EachProduct, IntQuery, check_products, vector};

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
    if matches!(tables.shape, Shape::Path(_)) {
        return vector::products(s.avx2(), tables, packed, rows, query, out);
    }
    check_products(tables, rows, query, out);
    let each = EachProduct::new(tables, packed, rows, query);
    let field = &tables.fields[0];
    match &tables.shape {
        Shape::Bytes(bytes) => match (&bytes.parts, bytes.coordinates) {
            (Parts::Nibbles(of), 2) => bytes_of::<2>(each, s, bytes, OfNibbles::new(s, of), out),
            (Parts::Nibbles(of), 4) => bytes_of::<4>(each, s, bytes, OfNibbles::new(s, of), out),
            (Parts::Nibbles(of), _) => bytes_of::<8>(each, s, bytes, OfNibbles::new(s, of), out),
            (Parts::Whole(of), 1) => bytes_of::<1>(each, s, bytes, OfWhole::new(of), out),
            (Parts::Whole(of), 2) => bytes_of::<2>(each, s, bytes, OfWhole::new(of), out),
            (Parts::Whole(of), 4) => bytes_of::<4>(each, s, bytes, OfWhole::new(of), out),
            (Parts::Whole(of), _) => bytes_of::<8>(each, s, bytes, OfWhole::new(of), out),
        },
        Shape::Levels(of) if of.width == 7 => levels::<true>(each, s, of, out),
        Shape::Levels(of) => levels::<false>(each, s, of, out),
        Shape::Words if field.coordinates <= 4 => short_words(each, s, field, out),
        Shape::Words if field.coordinates <= 8 => words(each, s, field, out),
        Shape::Words | Shape::Path(_) => long_words(each, s, field, out),
    }
}

/// Rows whose bytes have `C` coordinates.
#[inline(always)]
fn bytes_of<const C: usize>(
    each: EachProduct<'_>,
    s: Avx512,
    bytes: &Bytes,
    words: impl WordsOfBytes<C>,
    out: &mut [i32],
) {
    let (planes, _) = each.query.planes.as_chunks::<TABLE>();
    let (planes, _) = planes.as_chunks::<C>();
    let (whole_planes, part_planes) = planes.split_at(bytes.count / TABLE);
    for i in (0..each.rows.len()).step_by(4) {
        let mut lanes = [s.zero(); 4];
        let left = each.rows.len() - i;
        for (k, lanes) in lanes.iter_mut().enumerate().take(left) {
            let row = each.row(i + k);
            let mut sums = [s.zero(); 2];
            let (whole, part) = row[..bytes.count].as_chunks::<TABLE>();
            for (bytes, planes) in whole.iter().zip(whole_planes) {
                add_words(s, words.look_up(s, s.load_u8(bytes)), planes, &mut sums);
            }
            if let [planes] = part_planes {
                add_words(s, words.look_up(s, s.load_part_u8(part)), planes, &mut sums);
            }
            *lanes = s.add_i32(sums[0], sums[1]);
        }
        each.put(i, bytes.indexes, s.sums_of_four_i32(lanes), out);
    }
}

#[inline(always)]
fn levels<const SEVEN: bool>(each: EachProduct<'_>, s: Avx512, of: &Levels, out: &mut [i32]) {
    let count = each.tables.fields[0].count;
    let unpacked = Levels64::new(s, of.width);
    let of_vector = 8 * of.width as usize;
    let (values, _) = each.query.values.as_chunks::<TABLE>();
    for i in (0..each.rows.len()).step_by(4) {
        let mut lanes = [s.zero(); 4];
        let left = each.rows.len() - i;
        for (k, lanes) in lanes.iter_mut().enumerate().take(left) {
            let row = each.row(i + k);
            let mut sum = s.zero();
            for (bytes, y) in row.chunks(of_vector).zip(values) {
                let levels = unpacked.unpack(s, bytes);
                let word = look_up_levels::<SEVEN>(s, levels, u64::MAX, &of.words);
                sum = s.dot_u8_i8(sum, word, s.load_i8(y));
            }
            *lanes = sum;
        }
        each.put(i, count, s.sums_of_four_i32(lanes), out);
    }
}

/// Words of up to four coordinates.
#[inline(always)]
fn short_words(each: EachProduct<'_>, s: Avx512, field: &FieldTable, out: &mut [i32]) {
    let p = field.coordinates;
    let indexes = Indexes16::new(s, field.width);
    let together = put_together(s, p, 4);
    let stride = s.splat_i32(p as i32);
    let values = &each.query.values[..field.count * p];
    for i in (0..each.rows.len()).step_by(4) {
        let mut lanes = [s.zero(); 4];
        let left = each.rows.len() - i;
        for (k, lanes) in lanes.iter_mut().enumerate().take(left) {
            let row = each.row(i + k);
            let mut sum = s.zero();
            for (i, y) in values.chunks(16 * p).enumerate() {
                let offset = s.mul_i32(indexes.unpack(s, row, i), stride);
                let words = s.permute_bytes(s.gather_u32(&field.words, offset), together);
                sum = s.dot_u8_i8(sum, words, s.load_part_i8(y));
            }
            *lanes = sum;
        }
        each.put(i, field.count, s.sums_of_four_i32(lanes), out);
    }
}

/// Words of up to eight coordinates.
#[inline(always)]
fn words(each: EachProduct<'_>, s: Avx512, field: &FieldTable, out: &mut [i32]) {
    let p = field.coordinates;
    let indexes = Indexes16::new(s, field.width);
    let together = put_together(s, p, 8);
    let stride = s.splat_i32(p as i32);
    let values = &each.query.values[..field.count * p];
    for i in (0..each.rows.len()).step_by(4) {
        let mut lanes = [s.zero(); 4];
        let left = each.rows.len() - i;
        for (k, lanes) in lanes.iter_mut().enumerate().take(left) {
            let row = each.row(i + k);
            let mut sum = s.zero();
            for (i, y) in values.chunks(16 * p).enumerate() {
                let offset = s.mul_i32(indexes.unpack(s, row, i), stride);
                let words = s.gather_u64(&field.words, offset);
                for (words, y) in words.into_iter().zip(y.chunks(8 * p)) {
                    let words = s.permute_bytes(words, together);
                    sum = s.dot_u8_i8(sum, words, s.load_part_i8(y));
                }
            }
            *lanes = sum;
        }
        each.put(i, field.count, s.sums_of_four_i32(lanes), out);
    }
}

/// Words of any size.
#[inline(always)]
fn long_words(each: EachProduct<'_>, s: Avx512, field: &FieldTable, out: &mut [i32]) {
    let p = field.coordinates;
    let values = &each.query.values[..field.count * p];
    for i in (0..each.rows.len()).step_by(4) {
        let mut lanes = [s.zero(); 4];
        let left = each.rows.len() - i;
        for (k, lanes) in lanes.iter_mut().enumerate().take(left) {
            let row = each.row(i + k);
            let mut sum = s.zero();
            for (at, y) in values.chunks_exact(p).enumerate() {
                let word = field.word(field.index(row, at));
                for (word, y) in word.chunks(TABLE).zip(y.chunks(TABLE)) {
                    sum = s.dot_u8_i8(sum, s.load_part_u8(word), s.load_part_i8(y));
                }
            }
            *lanes = sum;
        }
        each.put(i, field.count, s.sums_of_four_i32(lanes), out);
    }
}

/// Adds the products of 64 bytes with `C` coordinates to the sums.
#[inline(always)]
fn add_words<const C: usize>(
    s: Avx512,
    words: [__m512i; C],
    planes: &[[i8; TABLE]; C],
    sums: &mut [__m512i; 2],
) {
    for j in 0..C {
        sums[j % 2] = s.dot_u8_i8(sums[j % 2], words[j], s.load_i8(&planes[j]));
    }
}

/// The bytes to take so that the first p bytes of each `from` bytes lie one after the other. The
/// bytes after them mean nothing.
#[inline(always)]
fn put_together(s: Avx512, p: usize, from: usize) -> __m512i {
    s.load_u8(&std::array::from_fn(|i| (i / p * from + i % p) as u8))
}
