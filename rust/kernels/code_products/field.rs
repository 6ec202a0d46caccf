//! The words of one field as integers.

use crate::aligned::Aligned;
use crate::kernels::trellis::{self, Code};

/// Bytes after a table, so that the last words can be read as 64 bits.
const PADDING: usize = 8;

/// `count` indexes of `width` bits, each of a word of `coordinates` numbers.
#[derive(Debug, Clone, Copy)]
pub struct FieldWords<'a> {
    /// Number of indexes, at least 1.
    pub count: usize,
    /// Bits of each, 1 to 16.
    pub width: u32,
    /// The 2^width words, one after the other.
    pub words: &'a [f32],
    /// Numbers of a word, at least 1.
    pub coordinates: usize,
}

/// The words of a field.
#[derive(Debug)]
pub(super) struct FieldTable {
    pub count: usize,
    pub width: u32,
    pub coordinates: usize,
    /// Where the field begins in the bits and in the coordinates of a row.
    pub first_bit: usize,
    pub first_coordinate: usize,
    /// \[index\]\[coordinate\]: word7.
    pub words: Aligned<u8>,
    /// \[index\]\[coordinate / 8\]: the signs, bit 0 first.
    pub signs: Vec<u8>,
    /// \[index\]: the magnitude from bit 0 on, the square from bit 12 on, and the signs of the
    /// first eight coordinates from bit 24 on. The sums of 16 indexes of bits do not run into each
    /// other.
    pub sizes: Aligned<u32>,
    /// The code of the path that the indexes come from; none if each has bits of its own.
    pub path: Option<Code>,
}

impl FieldTable {
    /// The tables of a field that begins at this bit and at this coordinate, with the sizes of its
    /// words, to which the signs are added.
    pub fn new(
        field: &FieldWords<'_>,
        first_bit: usize,
        first_coordinate: usize,
        word_unit: f32,
        mut sizes: Aligned<u32>,
    ) -> Self {
        let mut words = Aligned::new(field.words.len() + PADDING);
        for (word7, &word) in words.iter_mut().zip(field.words) {
            let steps = (f64::from(word) / f64::from(word_unit)).round_ties_even();
            *word7 = (steps.clamp(-63.0, 63.0) + 64.0) as u8;
        }
        let per_word = field.coordinates.div_ceil(8);
        let mut signs = vec![0; (per_word << field.width) + PADDING];
        let of_words = field.words.chunks_exact(field.coordinates);
        let of_indexes = signs.chunks_exact_mut(per_word).zip(&mut *sizes);
        for ((signs, size), word) in of_indexes.zip(of_words) {
            for (j, &number) in word.iter().enumerate() {
                signs[j / 8] |= u8::from(number >= 0.0) << (j % 8);
            }
            *size |= u32::from(signs[0]) << 24;
        }
        Self {
            count: field.count,
            width: field.width,
            coordinates: field.coordinates,
            first_bit,
            first_coordinate,
            words,
            signs,
            sizes,
            path: None,
        }
    }

    /// The largest mean of the squared differences between a word and its word7.
    pub fn squared_error(&self, field: &FieldWords<'_>, word_unit: f32) -> f64 {
        let p = self.coordinates;
        let words = field.words.chunks_exact(p).zip(self.words.chunks_exact(p));
        let errors = words.map(|(word, word7)| {
            let squares = word.iter().zip(word7).map(|(&word, &word7)| {
                let close = f64::from(word_unit) * f64::from(i32::from(word7) - 64);
                (f64::from(word) - close).powi(2)
            });
            squares.sum::<f64>() / p as f64
        });
        errors.fold(0.0, f64::max)
    }

    /// Index `at` of the field in a row.
    #[inline(always)]
    pub fn index(&self, row: &[u8], at: usize) -> usize {
        if let Some(code) = &self.path {
            return trellis::decode::scalar::index(code, self.count, row, at);
        }
        let bit = self.first_bit + at * self.width as usize;
        let (byte, skip) = (bit / 8, bit % 8);
        let end = skip + self.width as usize;
        let mut bits = u32::from(row[byte]);
        if end > 8 {
            bits |= u32::from(row[byte + 1]) << 8;
        }
        if end > 16 {
            bits |= u32::from(row[byte + 2]) << 16;
        }
        (bits >> skip) as usize & ((1 << self.width) - 1)
    }

    /// The magnitude and the square of an index.
    #[inline(always)]
    pub fn sizes(&self, index: usize) -> [u32; 2] {
        let sizes = self.sizes[index];
        [sizes & 0xfff, sizes >> 12 & 0xfff]
    }

    /// The word7 of an index.
    #[inline(always)]
    pub fn word(&self, index: usize) -> &[u8] {
        &self.words[index * self.coordinates..][..self.coordinates]
    }

    /// The signs of an index.
    #[inline(always)]
    pub fn signs(&self, index: usize) -> &[u8] {
        let bytes = self.coordinates.div_ceil(8);
        &self.signs[index * bytes..][..bytes]
    }
}
