//! The ids of rows in a file of version 2: numbers or texts, one for each row and none twice.

use std::borrow::Cow;

use super::container::int64;
use crate::error::{Error, Result, counted};

/// The number that no row has: where a search finds fewer rows than it shall, faces of other
/// languages give it in the place of an id.
const NO_ROW: i64 = -1;
/// The number after the greatest id.
const END: u64 = 1 << 63;

/// The ids of the rows of a file, in the order of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids<'a> {
    /// Numbers. None of them is −1, and none stands twice.
    Numbers {
        /// The id of each row.
        ids: Cow<'a, [i64]>,
        /// Greater than every id that a row has or had, at most 2⁶³.
        next: u64,
    },
    /// Texts in UTF-8, of which none stands twice.
    Texts {
        /// Where the text of each row begins in `bytes`, and where the last one ends.
        offsets: Cow<'a, [i64]>,
        /// The texts, one after the other.
        bytes: Cow<'a, [u8]>,
    },
}

/// What the header says of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Numbers { next: u64 },
    Texts { bytes: usize },
}

impl Ids<'_> {
    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::Numbers { next, .. } => Shape::Numbers { next: *next },
            Self::Texts { bytes, .. } => Shape::Texts { bytes: bytes.len() },
        }
    }

    /// Refuses ids that a file of so many rows cannot hold.
    pub(super) fn check(&self, rows: usize) -> Result<()> {
        match self {
            Self::Numbers { ids, next } => {
                check_count("ids", ids.len(), rows)?;
                check_numbers(ids, *next)
            }
            Self::Texts { offsets, bytes } => {
                check_count("id_offsets", offsets.len(), rows + 1)?;
                check_offsets(offsets.iter().copied(), bytes.len())?;
                check_texts(offsets, bytes)
            }
        }
    }
}

fn check_count(name: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name} has {}, expected {expected}",
        counted(found, "value")
    )))
}

fn check_numbers(ids: &[i64], next: u64) -> Result<()> {
    if let Some(row) = ids.iter().position(|&id| id == NO_ROW) {
        return Err(Error::invalid(format!(
            "the id of row {row} is {NO_ROW}, which stands for no row"
        )));
    }
    if next > END {
        return Err(Error::invalid(format!(
            "next_id is {next}, expected at most {END}"
        )));
    }
    let late = |&id: &i64| u64::try_from(id).is_ok_and(|id| id >= next);
    if let Some(row) = ids.iter().position(late) {
        return Err(Error::invalid(format!(
            "the id of row {row} is {}, expected less than next_id, {next}",
            ids[row]
        )));
    }
    if ids.is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    let mut order: Vec<(i64, usize)> = ids.iter().copied().zip(0..).collect();
    order.sort_unstable();
    match order.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(()),
        Some(pair) => Err(twice(pair[0].1, pair[1].1, pair[0].0)),
    }
}

/// Refuses offsets that do not divide so many bytes into texts.
pub(super) fn check_offsets(offsets: impl Iterator<Item = i64>, bytes: usize) -> Result<()> {
    let mut before = 0;
    for (place, offset) in offsets.enumerate() {
        if offset < before || (place == 0 && offset != 0) {
            return Err(Error::invalid(format!(
                "id_offsets: value {place} is {offset}, expected {}{before}",
                if place == 0 { "" } else { "at least " }
            )));
        }
        before = offset;
    }
    if before as u64 != bytes as u64 {
        return Err(Error::invalid(format!(
            "id_offsets: the last value is {before}, expected {bytes}, the end of id_bytes"
        )));
    }
    Ok(())
}

/// Offsets are checked before.
fn check_texts(offsets: &[i64], bytes: &[u8]) -> Result<()> {
    let texts = (offsets.windows(2)).map(|ends| &bytes[ends[0] as usize..ends[1] as usize]);
    let mut order: Vec<(&[u8], usize)> = Vec::with_capacity(offsets.len() - 1);
    for (row, text) in texts.enumerate() {
        if let Err(error) = str::from_utf8(text) {
            return Err(Error::invalid(format!(
                "the id of row {row} is not UTF-8: {error}"
            )));
        }
        order.push((text, row));
    }
    order.sort_unstable();
    match order.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(()),
        Some(pair) => {
            let text = String::from_utf8_lossy(pair[0].0);
            let start: String = text.chars().take(40).collect();
            Err(twice(pair[0].1, pair[1].1, format!("{start:?}")))
        }
    }
}

fn twice(first: usize, second: usize, id: impl std::fmt::Display) -> Error {
    Error::invalid(format!("rows {first} and {second} have the same id {id}"))
}

/// The bytes of numbers in a file, piece by piece.
pub(super) fn little_endian(
    values: &[i64],
    mut give: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    for values in values.chunks(1 << 11) {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        give(&bytes)?;
    }
    Ok(())
}

/// The ids in the tensors of a file that was checked.
pub(super) fn read<'a>(shape: Shape, tensor: impl Fn(&str) -> &'a [u8]) -> Ids<'a> {
    match shape {
        Shape::Numbers { next } => Ids::Numbers {
            ids: int64(tensor("ids")).collect(),
            next,
        },
        Shape::Texts { .. } => Ids::Texts {
            offsets: int64(tensor("id_offsets")).collect(),
            bytes: Cow::Borrowed(tensor("id_bytes")),
        },
    }
}
