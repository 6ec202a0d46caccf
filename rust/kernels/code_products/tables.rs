//! The words of a codebook as integers.

use super::field::{FieldTable, FieldWords};
use super::shape::Shape;
use crate::aligned::Aligned;
use crate::kernels::trellis::Code;

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
    /// Where these bytes begin in a row, and the bytes from row to row.
    first_byte: usize,
    stride: usize,
}

impl CodeTables {
    /// The tables of these fields, of which the first begins at bit 0 of a row and every other one
    /// where the one before it ends.
    ///
    /// None without words, if all are 0, if one is not finite, or if they are so large or
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
            first_byte: 0,
            stride: first_bit.div_ceil(8),
        })
    }

    /// The tables of rows of `dim` coordinates that are paths of this code. A coordinate has the
    /// magnitude |word7 − 64| and the square of that, in the units in which the sums over all words
    /// are right.
    ///
    /// None as by [`CodeTables::new`].
    ///
    /// # Panics
    /// If `dim` is 0.
    pub fn of_path(code: &Code, dim: usize) -> Option<Self> {
        assert!(dim > 0, "coordinates of a row");
        let words = code.words();
        let sizes = || words.iter().map(|word| f64::from(word.abs()));
        let widest = sizes().fold(0.0, f64::max);
        let word_unit = normal(widest / 63.0)?;
        let steps: Vec<u32> = sizes()
            .map(|size| (size / f64::from(word_unit)).round_ties_even().min(63.0) as u32)
            .collect();
        let sum =
            |size: fn(u32) -> u32| f64::from(steps.iter().map(|&steps| size(steps)).sum::<u32>());
        let magnitude_unit = normal(sizes().sum::<f64>() / sum(|steps| steps))?;
        let square_unit =
            normal(sizes().map(|size| size * size).sum::<f64>() / sum(|steps| steps * steps))?;
        let field = FieldWords {
            count: dim,
            width: words.len().ilog2(),
            words,
            coordinates: 1,
        };
        let sizes: Vec<u32> = steps
            .iter()
            .map(|&steps| steps | (steps * steps) << 12)
            .collect();
        let mut table = FieldTable::new(&field, 0, 0, word_unit, Aligned::from(&*sizes));
        table.path = Some(code.clone());
        Some(Self {
            word_unit,
            word_error: table.squared_error(&field, word_unit).sqrt() as f32,
            magnitude_unit,
            square_unit,
            shape: Shape::of_path(&table),
            fields: vec![table],
            dim,
            row_bytes: code.row_bytes(dim),
            first_byte: 0,
            stride: code.row_bytes(dim),
        })
    }

    /// d, the coordinates of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The packed bytes of a row, or those that are read of it.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// The tables of codes that are bytes of rows: those from `first_byte` on of each `stride`
    /// bytes.
    ///
    /// # Panics
    /// If they do not lie within the row.
    pub fn within(mut self, first_byte: usize, stride: usize) -> Self {
        assert!(first_byte + self.row_bytes <= stride, "bytes of a row");
        (self.first_byte, self.stride) = (first_byte, stride);
        self
    }

    /// The bytes of a row that are read.
    #[inline(always)]
    pub(super) fn bytes_of<'a>(&self, packed: &'a [u8], row: u32) -> &'a [u8] {
        &packed[row as usize * self.stride + self.first_byte..][..self.row_bytes]
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
