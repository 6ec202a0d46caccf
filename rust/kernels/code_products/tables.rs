//! The words of a codebook as integers.

use super::shape::Shape;
use crate::aligned::Aligned;

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

/// The integers of all words of the fields of a row, and the units that they are in.
///
/// They take 1.125 bytes per number of the codebook and 4 per word.
#[derive(Debug)]
pub struct CodeTables {
    /// The value of one unit of word7 − 64.
    pub word_unit: f32,
    /// The largest root mean square of the differences between the numbers of a word and what
    /// word7 says of them.
    pub word_error: f32,
    /// The value of one unit of a sum of magnitudes.
    pub magnitude_unit: f32,
    /// The value of one unit of a sum of squares.
    pub square_unit: f32,
    pub(super) fields: Vec<FieldTable>,
    pub(super) shape: Shape,
    dim: usize,
    row_bytes: usize,
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
    /// \[index\]: the magnitude from bit 0 on, the square from bit 12 on, and the signs of the first
    /// eight coordinates from bit 24 on. The sums of 16 indexes do not run into each other.
    pub sizes: Aligned<u32>,
}

impl CodeTables {
    /// The tables of these fields, of which the first begins at bit 0 of a row and every other one
    /// where the one before it ends.
    ///
    /// None if there are no words, if all are 0, if one is not finite, or if they are so large or
    /// so small that float32 has no number for a unit.
    ///
    /// # Panics
    /// If a field does not have the shape that [`FieldWords`] says.
    pub fn new(fields: &[FieldWords<'_>]) -> Option<Self> {
        for field in fields {
            assert!(
                (1..=16).contains(&field.width) && field.count > 0 && field.coordinates > 0,
                "the shape of a field"
            );
            assert_eq!(
                field.words.len(),
                field.coordinates << field.width,
                "2^width words"
            );
        }
        let numbers = || fields.iter().flat_map(|field| field.words);
        if !numbers().all(|word| word.is_finite()) {
            return None;
        }
        let widest = numbers().fold(0f32, |widest, word| widest.max(word.abs()));
        let word_unit = normal(f64::from(widest) / 63.0)?;

        let most = fields
            .first()
            .map_or(0, |field| most_per_index(field.width));
        let sums = |size: fn(f64) -> f64| -> Vec<f64> {
            let words = fields
                .iter()
                .flat_map(|field| field.words.chunks_exact(field.coordinates));
            words
                .map(|word| word.iter().map(|&w| size(f64::from(w))).sum())
                .collect()
        };
        let (magnitudes, squares) = (sums(f64::abs), sums(|w| w * w));
        let magnitude_unit = normal(best_unit(&magnitudes, most))?;
        let square_unit = normal(best_unit(&squares, most))?;
        let in_units =
            |sum: f64, unit: f32| (sum / f64::from(unit)).round().min(f64::from(most)) as u32;
        let mut sizes = magnitudes
            .iter()
            .zip(&squares)
            .map(|(&magnitude, &square)| {
                in_units(magnitude, magnitude_unit) | in_units(square, square_unit) << 12
            });

        let (mut first_bit, mut dim) = (0, 0);
        let mut word_error = 0f64;
        let mut tables = Vec::new();
        for field in fields {
            let sizes: Vec<_> = sizes.by_ref().take(1 << field.width).collect();
            let sizes = Aligned::from(&*sizes);
            let table = FieldTable::new(field, first_bit, dim, word_unit, sizes);
            word_error = table.squared_error(field, word_unit).max(word_error);
            first_bit += field.count * field.width as usize;
            dim += field.count * field.coordinates;
            tables.push(table);
        }
        Some(Self {
            word_unit,
            word_error: word_error.sqrt() as f32,
            magnitude_unit,
            square_unit,
            shape: Shape::new(&tables),
            fields: tables,
            dim,
            row_bytes: first_bit.div_ceil(8),
        })
    }

    /// d, the coordinates of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The packed bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Whether a row has anything beyond the first `indexes` of its first field.
    pub(super) fn has_rest(&self, indexes: usize) -> bool {
        self.fields.len() > 1 || indexes < self.fields[0].count
    }
}

/// The float32 next to `unit`, if it is one that has all its digits and a reciprocal.
fn normal(unit: f64) -> Option<f32> {
    let unit = unit as f32;
    (unit.is_normal() && unit.recip().is_normal()).then_some(unit)
}

/// The largest magnitude or square of an index: the sum over a byte of indexes is at most 255.
fn most_per_index(width: u32) -> u32 {
    if 8 % width == 0 { 255 * width / 8 } else { 255 }
}

/// The unit in which the rounded sums are closest to the sums, and at most `most`.
///
/// Few words have few sums, whose rounding errors do not average out over a row: 2-bit levels have
/// two magnitudes, and there is a unit near to `most` in which both are almost whole.
fn best_unit(sums: &[f64], most: u32) -> f64 {
    const FEW_WORDS: usize = 512;
    let widest = sums.iter().fold(0f64, |widest, &sum| widest.max(sum));
    let unit = |steps: u32| widest / f64::from(steps);
    if sums.len() > FEW_WORDS {
        return unit(most);
    }
    let error = |unit: f64| -> f64 {
        sums.iter()
            .map(|sum| (sum - (sum / unit).round() * unit).powi(2))
            .sum()
    };
    let units = (most / 2 + 1..=most).rev().map(unit);
    let best = units.min_by(|&a, &b| error(a).total_cmp(&error(b)));
    best.unwrap_or(0.0)
}

impl FieldTable {
    fn new(
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
        }
    }

    /// The largest mean of the squared differences between a word and its word7.
    fn squared_error(&self, field: &FieldWords<'_>, word_unit: f32) -> f64 {
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
        [sizes & 0xff, sizes >> 12 & 0xff]
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
