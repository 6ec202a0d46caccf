//! The tensors of a file of a cache: their types, shapes and checksums are checked.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::PAGE_TOKENS;
use super::scales::Scales;
use crate::error::{Error, Result, counted};
use crate::file::container::{self, check_length, checksum_key, digits, float32, number, width};
use crate::file::{check_finite, check_tensor};

/// The tensors of a file by name, with their types and shapes.
pub(super) struct Tensors<'a> {
    file: &'a [u8],
    found: BTreeMap<&'a str, Found<'a>>,
}

/// A tensor as the header describes it.
struct Found<'a> {
    dtype: &'a str,
    shape: Vec<usize>,
    /// Its bytes in the file.
    range: Range<usize>,
}

/// An error with this text.
pub(super) fn wrong<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::invalid(text))
}

/// Reads the entry of a tensor in the header. Its range counts from `start` on.
fn entry<'a>(name: &str, value: &'a Value, start: usize) -> Result<Found<'a>> {
    let unreadable = || Error::invalid(format!("the header does not describe the tensor {name}"));
    let numbers = |value: &Value| -> Option<Vec<usize>> {
        let numbers = value.as_array()?.iter();
        numbers.map(|n| usize::try_from(n.as_u64()?).ok()).collect()
    };
    let dtype = value["dtype"].as_str().ok_or_else(unreadable)?;
    let shape = numbers(&value["shape"]).ok_or_else(unreadable)?;
    let offsets = numbers(&value["data_offsets"]).ok_or_else(unreadable)?;
    let &[from, to] = &*offsets else {
        return Err(unreadable());
    };
    let size = width(dtype).map(|width| {
        let sizes = shape.iter().map(|&n| n as u128);
        sizes.fold(width as u128, u128::saturating_mul)
    });
    let bytes = to.checked_sub(from).map(|bytes| bytes as u128);
    let Some(range) = start.checked_add(to).map(|end| start + from..end) else {
        return Err(unreadable());
    };
    if bytes.is_none() || size != bytes {
        return wrong(format!(
            "the tensor {name} is {dtype} of shape {shape:?} in the bytes {from} to {to} after \
             the header"
        ));
    }
    Ok(Found {
        dtype,
        shape,
        range,
    })
}

impl<'a> Tensors<'a> {
    /// Checks the length of the file and the checksum of each tensor.
    pub(super) fn new(file: &'a [u8], start: usize, json: &'a Value) -> Result<Self> {
        let metadata = container::metadata(json)?;
        let header = json.as_object().into_iter().flatten();
        let mut found = BTreeMap::new();
        let mut end = start;
        for (name, value) in header.filter(|(name, _)| *name != "__metadata__") {
            let tensor = entry(name, value, start)?;
            end = end.max(tensor.range.end);
            found.insert(name.as_str(), tensor);
        }
        check_length(file, end as u128, "its tensors")?;
        for (name, tensor) in &found {
            let expected = number(metadata, &checksum_key(name), digits)?;
            check_tensor(name, expected, file, &tensor.range)?;
        }
        Ok(Self { file, found })
    }

    /// The bytes of a tensor of this type and shape.
    pub(super) fn bytes(&self, name: &str, dtype: &str, shape: &[usize]) -> Result<&'a [u8]> {
        let Some(found) = self.found.get(name) else {
            return wrong(format!("the tensor {name} is missing"));
        };
        if found.dtype != dtype || found.shape != shape {
            return wrong(format!(
                "the tensor {name} is {} of shape {:?}, expected {dtype} of shape {shape:?}",
                found.dtype, found.shape
            ));
        }
        Ok(&self.file[found.range.clone()])
    }

    /// The size of the first axis of a tensor.
    pub(super) fn rows(&self, name: &str) -> Result<usize> {
        match self.found.get(name) {
            Some(found) if !found.shape.is_empty() => Ok(found.shape[0]),
            _ => wrong(format!("the tensor {name} is missing")),
        }
    }

    /// The numbers of a tensor of U32.
    pub(super) fn words(&self, name: &str, shape: &[usize]) -> Result<Vec<usize>> {
        let (words, _) = self.bytes(name, "U32", shape)?.as_chunks::<4>();
        let word = |word: &[u8; 4]| u32::from_le_bytes(*word) as usize;
        Ok(words.iter().map(word).collect())
    }

    /// The finite numbers of a tensor of F32.
    pub(super) fn floats(&self, name: &'static str, shape: &[usize]) -> Result<Vec<f32>> {
        let bytes = self.bytes(name, "F32", shape)?;
        check_finite(name, float32(bytes))?;
        Ok(float32(bytes).collect())
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
