//! The tensors of a file that a header describes: their types, shapes and checksums are checked.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::container::{self, check_length, checksum_key, digits, float32, float64, number, width};
use super::{check_finite, check_tensor};
use crate::error::{Error, Result};

/// The tensors of a file by name, with their types and shapes.
pub(crate) struct Tensors<'a> {
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
fn wrong<T>(text: impl Into<String>) -> Result<T> {
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
    pub(crate) fn new(file: &'a [u8], start: usize, json: &'a Value) -> Result<Self> {
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
    pub(crate) fn bytes(&self, name: &str, dtype: &str, shape: &[usize]) -> Result<&'a [u8]> {
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
    pub(crate) fn rows(&self, name: &str) -> Result<usize> {
        match self.found.get(name) {
            Some(found) if !found.shape.is_empty() => Ok(found.shape[0]),
            _ => wrong(format!("the tensor {name} is missing")),
        }
    }

    /// The finite numbers of a tensor of F32.
    pub(crate) fn floats(&self, name: &'static str, shape: &[usize]) -> Result<Vec<f32>> {
        let bytes = self.bytes(name, "F32", shape)?;
        check_finite(name, float32(bytes))?;
        Ok(float32(bytes).collect())
    }

    /// The numbers of a tensor of F64.
    pub(crate) fn doubles(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
        Ok(float64(self.bytes(name, "F64", shape)?).collect())
    }
}
