//! Products of packed rows with one query.

use super::look_up::{
    INDEXES, LEVEL_BITS, LEVEL_BYTES, Levels32, SHORT, WORD_BYTES, level_table, load_part,
    put_words,
};
use super::path;
use crate::kernels::code_products::field::FieldTable;
use crate::kernels::code_products::shape::{Bytes, Nibbles, Parts, Shape, TABLE};
use crate::kernels::code_products::{CodeTables, EachProduct, IntQuery, check_products};
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
    let each = EachProduct::new(tables, packed, rows, query);
    let field = &tables.fields[0];
    match &tables.shape {
        Shape::Path(_) => path::products(each, s, out),
        Shape::Bytes(bytes) => match (&bytes.parts, bytes.coordinates) {
            (Parts::Nibbles(of), 2) => nibbles::<S, 2>(each, s, bytes, of, out),
            (Parts::Nibbles(of), 4) => nibbles::<S, 4>(each, s, bytes, of, out),
            (Parts::Nibbles(of), _) => nibbles::<S, 8>(each, s, bytes, of, out),
            (Parts::Whole(_), 1) => words(each, s, field, out),
            (Parts::Whole(_), 2) => whole::<S, 2>(each, s, bytes, out),
            (Parts::Whole(_), 4) => whole::<S, 4>(each, s, bytes, out),
            (Parts::Whole(_), _) => whole::<S, 8>(each, s, bytes, out),
        },
        Shape::Levels(of) if of.width == LEVEL_BITS => {
            levels(each, s, &of.words[0].0, out);
        }
        _ if field.coordinates <= SHORT => words(each, s, field, out),
        _ => long_words(each, s, field, out),
    }
}

/// Bytes with `C` coordinates, half by half.
#[inline(always)]
fn nibbles<S: Simd, const C: usize>(
    each: EachProduct<'_>,
    s: S,
    bytes: &Bytes,
    of: &Nibbles,
    out: &mut [i32],
) {
    let mut tables = [s.splat_i16(0); 4];
    for (table, plane) in tables.iter_mut().zip(&of.planes) {
        *table = s.load_u8_twice(plane);
    }
    let (planes, _) = each.query.planes.as_chunks::<BYTES>();
    let (planes, _) = planes.as_chunks::<2>();
    let (planes, _) = planes.as_chunks::<C>();
    for i in (0..each.rows.len()).step_by(4) {
        let mut lanes = [s.splat_i32(0); 4];
        let left = each.rows.len() - i;
        for (k, lanes) in lanes.iter_mut().enumerate().take(left) {
            let row = each.row(i + k);
            let mut sum = s.splat_i32(0);
            for (i, bytes) in row[..bytes.count].chunks(BYTES).enumerate() {
                let bytes = load_part(s, bytes);
                let halves = [s.low_nibbles(bytes), s.high_nibbles(bytes)];
                let planes = &planes[i / (TABLE / BYTES)];
                for j in 0..C {
                    let words = s.shuffle_bytes(tables[j % (C / 2)], halves[j / (C / 2)]);
                    let y = &planes[j][i % (TABLE / BYTES)];
                    sum = s.add_products_u8_i8(sum, words, y);
                }
            }
            *lanes = sum;
        }
        each.put(i, bytes.indexes, s.sums_of_four_i32(lanes), out);
    }
}

/// Bytes with `C` coordinates, of which each is looked up in memory.
#[inline(always)]
fn whole<S: Simd, const C: usize>(each: EachProduct<'_>, s: S, bytes: &Bytes, out: &mut [i32]) {
    let (words, _) = bytes.words.as_chunks::<C>();
    let words = words.first_chunk::<256>();
    let words = words.expect("a word of each byte");
    let (values, _) = each.query.values.as_chunks::<BYTES>();
    let per_vector = BYTES / C;
    // The bytes of whole vectors; the others are read one by one.
    let count = bytes.count / per_vector * per_vector;
    let from = bytes.indexes / bytes.count * count;
    for i in (0..each.rows.len()).step_by(4) {
        let mut lanes = [s.splat_i32(0); 4];
        let left = each.rows.len() - i;
        for (k, lanes) in lanes.iter_mut().enumerate().take(left) {
            let row = each.row(i + k);
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
            *lanes = sum;
        }
        each.put(i, from, s.sums_of_four_i32(lanes), out);
    }
}

/// Levels of three bits.
#[inline(always)]
fn levels<S: Simd>(each: EachProduct<'_>, s: S, words: &[u8], out: &mut [i32]) {
    let field = &each.tables.fields[0];
    let bytes = (field.count * LEVEL_BITS as usize).div_ceil(8);
    let unpacked = Levels32::new(s);
    let table = level_table(s, words);
    let (values, _) = each.query.values.as_chunks::<BYTES>();
    for i in (0..each.rows.len()).step_by(4) {
        let mut lanes = [s.splat_i32(0); 4];
        let left = each.rows.len() - i;
        for (k, lanes) in lanes.iter_mut().enumerate().take(left) {
            let row = each.row(i + k);
            let mut sum = s.splat_i32(0);
            for (i, y) in values.iter().enumerate().take(bytes.div_ceil(LEVEL_BYTES)) {
                let levels = unpacked.unpack(s, &row[i * LEVEL_BYTES..]);
                sum = s.add_products_u8_i8(sum, s.shuffle_bytes(table, levels), y);
            }
            *lanes = sum;
        }
        each.put(i, field.count, s.sums_of_four_i32(lanes), out);
    }
}

/// Words of up to eight coordinates, which are first put one after the other.
#[inline(always)]
fn words<S: Simd>(each: EachProduct<'_>, s: S, field: &FieldTable, out: &mut [i32]) {
    let p = field.coordinates;
    let values = &each.query.values;
    let mut words = [0; WORD_BYTES];
    for i in (0..each.rows.len()).step_by(4) {
        let mut lanes = [s.splat_i32(0); 4];
        let left = each.rows.len() - i;
        for (k, lanes) in lanes.iter_mut().enumerate().take(left) {
            let row = each.row(i + k);
            let mut sum = s.splat_i32(0);
            for first in (0..field.count).step_by(INDEXES) {
                let coordinates = put_words(s, field, row, first, &mut words);
                let vectors = words[..coordinates.next_multiple_of(BYTES)].as_chunks().0;
                let values = values[first * p..].as_chunks().0;
                for (words, y) in vectors.iter().zip(values) {
                    sum = s.add_products_u8_i8(sum, s.load_u8(words), y);
                }
            }
            *lanes = sum;
        }
        each.put(i, field.count, s.sums_of_four_i32(lanes), out);
    }
}

/// Words of any size.
#[inline(always)]
fn long_words<S: Simd>(each: EachProduct<'_>, s: S, field: &FieldTable, out: &mut [i32]) {
    let p = field.coordinates;
    let whole = p / BYTES * BYTES;
    let values = &each.query.values[..field.count * p];
    for i in (0..each.rows.len()).step_by(4) {
        let mut lanes = [s.splat_i32(0); 4];
        let mut rests = [0i32; 4];
        let left = each.rows.len() - i;
        for (k, (lanes, rest)) in lanes.iter_mut().zip(&mut rests).enumerate().take(left) {
            let row = each.row(i + k);
            for (at, y) in values.chunks_exact(p).enumerate() {
                let word = field.word(field.index(row, at));
                for (word, y) in word.as_chunks().0.iter().zip(y.as_chunks().0) {
                    *lanes = s.add_products_u8_i8(*lanes, s.load_u8(word), y);
                }
                for (word, y) in word[whole..].iter().zip(&y[whole..]) {
                    *rest += i32::from(*word) * i32::from(*y);
                }
            }
        }
        let mut sums = s.sums_of_four_i32(lanes);
        for (sum, rest) in sums.iter_mut().zip(rests) {
            *sum = sum.wrapping_add(rest);
        }
        each.put(i, field.count, sums, out);
    }
}
