//! What the tensors of the file of a cache hold: pages and their scales.

use super::PAGE_TOKENS;
use super::scales::Scales;
use crate::error::{Error, Result, counted};
pub(super) use crate::file::tensors::Tensors;

/// An error with this text.
pub(super) fn wrong<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::invalid(text))
}

impl Tensors<'_> {
    /// The numbers of a tensor of U32.
    pub(super) fn words(&self, name: &str, shape: &[usize]) -> Result<Vec<usize>> {
        let (words, _) = self.bytes(name, "U32", shape)?.as_chunks::<4>();
        let word = |word: &[u8; 4]| u32::from_le_bytes(*word) as usize;
        Ok(words.iter().map(word).collect())
    }

    /// The number of tokens of each page.
    pub(super) fn lengths(&self, name: &str) -> Result<Vec<usize>> {
        let lengths = self.words(name, &[self.rows(name)?])?;
        match lengths.iter().position(|n| !(1..=PAGE_TOKENS).contains(n)) {
            None => Ok(lengths),
            Some(page) => wrong(format!(
                "{name}: page {page} has {}, expected 1 to {PAGE_TOKENS}",
                counted(lengths[page], "token")
            )),
        }
    }

    /// Scales or γ of all pages.
    pub(super) fn scales(
        &self,
        [name, base]: [&'static str; 2],
        lengths: &[usize],
        heads: usize,
        as_bytes: bool,
    ) -> Result<Vec<Scales>> {
        let rows = heads * lengths.iter().sum::<usize>();
        let mut sizes = lengths.iter().map(|length| length * heads);
        if !as_bytes {
            let all = self.floats(name, &[rows])?;
            if let Some(row) = all.iter().position(|scale| *scale < 0.0) {
                return wrong(format!("{name} of row {row} is {}, below 0", all[row]));
            }
            let mut all = &all[..];
            return Ok(sizes
                .by_ref()
                .map(|size| Scales::Floats(first(&mut all, size).to_vec()))
                .collect());
        }
        let mut bytes = self.bytes(name, "U8", &[rows])?;
        let (words, _) = (self.bytes(base, "I16", &[lengths.len(), heads])?).as_chunks::<2>();
        let bases: Vec<i16> = words.iter().map(|word| i16::from_le_bytes(*word)).collect();
        if let Some(place) = bases.iter().position(|&base| !Scales::is_base(base)) {
            return wrong(format!("{base} {place} is {}, out of range", bases[place]));
        }
        let pages = sizes.zip(bases.chunks(heads));
        Ok(pages
            .map(|(size, bases)| Scales::Bytes {
                bases: bases.to_vec(),
                bytes: first(&mut bytes, size).to_vec(),
            })
            .collect())
    }
}

/// Takes the first values of a slice, which has as many.
pub(super) fn first<'a, T>(values: &mut &'a [T], count: usize) -> &'a [T] {
    let (first, rest) = values.split_at(count);
    *values = rest;
    first
}
