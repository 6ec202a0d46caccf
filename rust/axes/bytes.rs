//! A fit as bytes, for pickles: another process goes on as if it were the first one.
//!
//! ```text
//! "bqfit", 0, 0, 1 | d | for rows and for queries:
//!     number in the sums | number waiting | o | Σ(x − o) | Σ(x − o)(x − o)ᵀ | the waiting rows
//! ```
//!
//! Numbers are little-endian: counts of 8 bytes, float32 and float64. The last number of the first
//! eight bytes is a version. The sums are there if there are rows in them, and the matrix is its
//! tiles.

use super::check_dim;
use super::fit::Fit;
use super::moments::{BATCH, Moments, tile_count};
use crate::error::{Error, Result, counted};
use crate::kernels::moments::{Tile, WIDTH};

const START: [u8; 8] = *b"bqfit\0\0\x01";

impl Fit {
    /// The bytes of this state, from which [`Fit::from_bytes`] makes it again.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = START.to_vec();
        bytes.extend((self.dim() as u64).to_le_bytes());
        for sums in [&self.rows, &self.queries] {
            let waiting = (sums.waiting.len() / sums.dim) as u64;
            bytes.extend(sums.rows.to_le_bytes());
            bytes.extend(waiting.to_le_bytes());
            bytes.extend(sums.origin.iter().flat_map(|value| value.to_le_bytes()));
            for values in [
                sums.sums.as_flattened(),
                sums.tiles.as_flattened().as_flattened(),
            ] {
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            bytes.extend(sums.waiting.iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes
    }

    /// The state of these bytes.
    ///
    /// # Errors
    /// If [`Fit::to_bytes`] does not make such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader(bytes);
        if reader.take(START.len())? != START {
            return Err(Error::invalid("the bytes are not those of a fit"));
        }
        let dim = usize::try_from(reader.count()?).unwrap_or(usize::MAX);
        check_dim(dim)?;
        let (rows, queries) = (reader.moments(dim)?, reader.moments(dim)?);
        match reader.0.len() {
            0 => Ok(Self { rows, queries }),
            more => Err(Error::invalid(format!(
                "the bytes of a fit are too long by {more}"
            ))),
        }
    }
}

/// The bytes that are not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| {
            let missing = counted(count - self.0.len(), "byte");
            Error::invalid(format!(
                "the bytes of a fit are truncated: {missing} are missing"
            ))
        })?;
        self.0 = rest;
        Ok(taken)
    }

    fn count(&mut self) -> Result<u64> {
        let (words, _) = self.take(8)?.as_chunks::<8>();
        Ok(u64::from_le_bytes(words[0]))
    }

    fn float32(&mut self, count: usize) -> Result<Vec<f32>> {
        let (words, _) = self.take(4 * count)?.as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        check(values.iter().all(|value| value.is_finite()))?;
        Ok(values)
    }

    fn float64(&mut self, count: usize) -> Result<Vec<f64>> {
        let (words, _) = self.take(8 * count)?.as_chunks::<8>();
        let values: Vec<f64> = words.iter().map(|word| f64::from_le_bytes(*word)).collect();
        check(values.iter().all(|value| value.is_finite()))?;
        Ok(values)
    }

    fn moments(&mut self, dim: usize) -> Result<Moments> {
        let (rows, waiting) = (self.count()?, self.count()?);
        check(waiting < BATCH as u64)?;
        let mut moments = Moments::new(dim);
        if rows > 0 {
            let width = dim.div_ceil(WIDTH);
            moments.rows = rows;
            moments.origin = self.float32(dim)?;
            moments.sums = self.float64(width * WIDTH)?.as_chunks().0.to_vec();
            let tiles = self.float64(tile_count(dim) * WIDTH * WIDTH)?;
            moments.tiles = tiles.as_chunks().0.as_chunks().0.to_vec() as Vec<Tile>;
        }
        moments.waiting = self.float32(waiting as usize * dim)?;
        Ok(moments)
    }
}

fn check(is_right: bool) -> Result<()> {
    match is_right {
        true => Ok(()),
        false => Err(Error::invalid(
            "the bytes of a fit hold numbers that no fit has",
        )),
    }
}
