//! The container: safetensors whose header is text with one spelling. It is rendered from what it
//! says, and only that exact text is parsed.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::checksum::Checksum;
use crate::error::{Error, Result, counted};

/// Bytes of the length, which stands before the header.
const LENGTH_BYTES: usize = 8;
/// The longest header that is read; ours have one to three KiB.
const MAX_HEADER_BYTES: usize = 1 << 16;
/// The longest value in the metadata, which is short enough for errors to repeat it; ours have at
/// most about thirty characters.
const MAX_VALUE_BYTES: usize = 64;
/// The aligned tensor starts at a multiple of this many bytes.
const ALIGNMENT_BYTES: u128 = 64;
const CHECKSUM_DIGITS: usize = 16;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The value of `format` in the metadata.
    pub format: &'static str,
    /// The version of the format, which every build that writes this kind gives it.
    pub version: &'static str,
    /// What such a file is called in errors.
    pub title: &'static str,
}

/// A quantizer with its codes.
pub(super) const CODES: Kind = Kind {
    format: "blockquant",
    version: "1",
    title: "blockquant file",
};

/// A quantizer with its codes and the ids of their rows. Builds that know version 1 alone refuse
/// it by its version.
pub(super) const CODES_WITH_IDS: Kind = Kind {
    version: "2",
    ..CODES
};

/// A quantizer with fitted axes and its codes, with ids or without.
pub(super) const CODES_WITH_AXES: Kind = Kind {
    version: "3",
    ..CODES
};

/// A key-value cache.
pub(crate) const CACHE: Kind = Kind {
    format: "blockquant-cache",
    version: "1",
    title: "file of a key-value cache",
};

/// Fitted axes.
pub(super) const AXES: Kind = Kind {
    format: "blockquant-axes",
    version: "1",
    title: "file of fitted axes",
};

/// All kinds, each with what reads it.
const READERS: [(Kind, &str); 3] = [
    (CODES, "codes, which `load` reads"),
    (AXES, "fitted axes, which `Axes.load` reads"),
    (CACHE, "a key-value cache, which `KeyValueCache.load` reads"),
];

/// A tensor. Its place follows from the tensors before it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub name: &'static str,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub checksum: u64,
}

impl Entry {
    /// The size of the tensor. Sums of sizes cannot overflow.
    pub(crate) fn bytes(&self) -> u128 {
        let width = width(self.dtype).unwrap_or(0) as u128;
        self.shape
            .iter()
            .fold(width, |size, &n| size.saturating_mul(n as u128))
    }
}

/// Bytes per number of a type.
pub(crate) fn width(dtype: &str) -> Option<usize> {
    Some(match dtype {
        "U8" => 1,
        "I16" | "F16" | "BF16" => 2,
        "U32" | "F32" => 4,
        "I64" | "F64" => 8,
        _ => return None,
    })
}

impl Kind {
    /// The header up to the digits of its checksum.
    fn before_checksum(self) -> String {
        format!(
            "{{\"__metadata__\":{{\"format\":\"{}\",\"version\":\"{}\",\
             \"header_checksum\":\"",
            self.format, self.version
        )
    }

    /// The position of the digits of the header's checksum.
    fn digits_at(self) -> usize {
        LENGTH_BYTES + self.before_checksum().len()
    }

    /// The length and the header, as bytes of a file. The tensor at place `aligned` starts at a
    /// multiple of [`ALIGNMENT_BYTES`].
    pub(crate) fn render<'a>(
        self,
        pairs: &[(&str, String)],
        tensors: impl Iterator<Item = &'a Entry> + Clone,
        aligned: usize,
    ) -> Vec<u8> {
        let mut text = self.before_checksum();
        text += &"0".repeat(CHECKSUM_DIGITS);
        text.push('"');
        let mut pair = |key: &str, value: &str| {
            text += &format!(",\"{key}\":\"{value}\"");
        };
        for (key, value) in pairs {
            pair(key, value);
        }
        for tensor in tensors.clone() {
            pair(&checksum_key(tensor.name), &hexadecimal(tensor.checksum));
        }
        text.push('}');
        let (mut from, mut aligned_from) = (0, 0);
        for (place, tensor) in tensors.enumerate() {
            if place == aligned {
                aligned_from = from;
            }
            let shape: Vec<_> = tensor.shape.iter().map(usize::to_string).collect();
            let to = from + tensor.bytes();
            text += &format!(
                ",\"{}\":{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{from},{to}]}}",
                tensor.name,
                tensor.dtype,
                shape.join(",")
            );
            from = to;
        }
        text.push('}');
        while !(aligned_from + (LENGTH_BYTES + text.len()) as u128).is_multiple_of(ALIGNMENT_BYTES)
        {
            text.push(' ');
        }
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.into_bytes());
        let digits = hexadecimal(self.header_checksum(&bytes));
        bytes[self.digits_at()..][..CHECKSUM_DIGITS].copy_from_slice(digits.as_bytes());
        bytes
    }

    /// The length and the header of a file as bytes, and the header as JSON. The kind, the version
    /// and the checksum of the header are checked.
    pub(crate) fn open(self, file: &[u8]) -> Result<(&[u8], Value)> {
        let (_, bytes, json) = self.open_this_or(&[], file)?;
        Ok((bytes, json))
    }

    /// As [`Kind::open`], with the kind of the file: this one, or one of the other versions.
    pub(super) fn open_this_or<'a>(
        self,
        others: &[Self],
        file: &'a [u8],
    ) -> Result<(Self, &'a [u8], Value)> {
        let (bytes, json) = self.frame(file)?;
        let kind = self.check_format(others, &json)?;
        kind.check_checksum(bytes)?;
        Ok((kind, bytes, json))
    }

    fn frame(self, file: &[u8]) -> Result<(&[u8], Value)> {
        let length = file.first_chunk::<LENGTH_BYTES>().ok_or_else(|| {
            Error::invalid(format!(
                "the file is truncated: it has {}, expected at least the {LENGTH_BYTES} of the \
                 header's length",
                counted(file.len(), "byte")
            ))
        })?;
        let length = u64::from_le_bytes(*length);
        let end = usize::try_from(length)
            .ok()
            .filter(|&length| length <= MAX_HEADER_BYTES)
            .map(|length| LENGTH_BYTES + length)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "this is not a {}: the first {LENGTH_BYTES} bytes give a header of {length} \
                     bytes, expected at most {MAX_HEADER_BYTES}",
                    self.title
                ))
            })?;
        let bytes = file.get(..end).ok_or_else(|| {
            Error::invalid(format!(
                "the file is truncated: it has {}, expected at least {end}, where its header ends",
                counted(file.len(), "byte")
            ))
        })?;
        let json = serde_json::from_slice(&bytes[LENGTH_BYTES..]).map_err(|error| {
            Error::invalid(format!(
                "the header, bytes {LENGTH_BYTES} to {end} of the file, is not JSON: {error}"
            ))
        })?;
        Ok((bytes, json))
    }

    /// Checks that the file is of this kind, and returns that of its version.
    fn check_format(self, others: &[Self], json: &Value) -> Result<Self> {
        let found = json["__metadata__"]["format"].as_str();
        if found != Some(self.format) {
            let other = READERS.iter().find(|(kind, _)| found == Some(kind.format));
            return Err(Error::invalid(match other {
                Some((_, reader)) => {
                    format!("this is not a {}: it holds {reader}", self.title)
                }
                None => format!(
                    "this is not a {}: the metadata has no format {:?}",
                    self.title, self.format
                ),
            }));
        }
        let version = text(metadata(json)?, "version")?;
        let kinds = || std::iter::once(self).chain(others.iter().copied());
        kinds().find(|kind| kind.version == version).ok_or_else(|| {
            let known: Vec<_> = kinds().map(|kind| format!("{:?}", kind.version)).collect();
            Error::invalid(format!(
                "the file has version {version:?} of the format, this build reads {}",
                known.join(" and ")
            ))
        })
    }

    /// The checksum of length and header, with zeros in the place of its digits.
    fn header_checksum(self, bytes: &[u8]) -> u64 {
        let (before, rest) = bytes.split_at(bytes.len().min(self.digits_at()));
        let mut sum = Checksum::default();
        sum.write(before);
        sum.write(&[b'0'; CHECKSUM_DIGITS]);
        sum.write(rest.get(CHECKSUM_DIGITS..).unwrap_or_default());
        sum.value()
    }

    fn check_checksum(self, bytes: &[u8]) -> Result<()> {
        let before = self.before_checksum();
        let start = &bytes[LENGTH_BYTES..];
        let start = &start[..start.len().min(before.len())];
        compare(start, before.as_bytes())?;
        let digits = bytes.get(self.digits_at()..).unwrap_or_default();
        let found = String::from_utf8_lossy(&digits[..digits.len().min(CHECKSUM_DIGITS)]);
        let expected = hexadecimal(self.header_checksum(bytes));
        if found != expected {
            return Err(Error::invalid(format!(
                "the header, bytes 0 to {} of the file, is damaged: checksum {expected}, it names \
                 {found:?}",
                bytes.len()
            )));
        }
        Ok(())
    }

    /// Refuses a header whose checksum is right and that differs from the one that would be written
    /// for the same content.
    pub(crate) fn check_header(self, found: &[u8], mut expected: Vec<u8>) -> Result<()> {
        // If something besides the checksum differs, the error must name that.
        let digits = self.digits_at()..self.digits_at() + CHECKSUM_DIGITS;
        expected[digits.clone()].copy_from_slice(&found[digits]);
        compare(&found[LENGTH_BYTES..], &expected[LENGTH_BYTES..])
    }
}

/// Checks that a file ends where its tensors end. `content` says what makes it as long.
pub(crate) fn check_length(file: &[u8], expected: u128, content: &str) -> Result<()> {
    if file.len() as u128 == expected {
        return Ok(());
    }
    let state = if (file.len() as u128) < expected {
        "truncated"
    } else {
        "too long"
    };
    Err(Error::invalid(format!(
        "the file is {state}: it has {}, expected {expected} for {content}",
        counted(file.len(), "byte"),
    )))
}

/// The metadata of a header.
pub(crate) fn metadata(json: &Value) -> Result<&Map<String, Value>> {
    let metadata = json["__metadata__"].as_object();
    metadata.ok_or_else(|| Error::invalid("the header has no metadata"))
}

/// The key of the checksum of a tensor.
pub(crate) fn checksum_key(tensor: &str) -> String {
    format!("{tensor}_checksum")
}

/// The text of a key.
pub(crate) fn text<'a>(metadata: &'a Map<String, Value>, key: &str) -> Result<&'a str> {
    let value = metadata.get(key).and_then(Value::as_str);
    let value =
        value.ok_or_else(|| Error::invalid(format!("the metadata has no text for {key}")))?;
    if value.len() > MAX_VALUE_BYTES {
        return Err(Error::invalid(format!(
            "the metadata has {} bytes of text for {key}, expected at most {MAX_VALUE_BYTES}",
            value.len()
        )));
    }
    Ok(value)
}

/// The value that `read` parses from the text of a key. [`Kind::check_header`] refuses other
/// spellings of it.
pub(crate) fn number<T>(
    metadata: &Map<String, Value>,
    key: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T> {
    let text = text(metadata, key)?;
    read(text).ok_or_else(|| Error::invalid(format!("{key} is {text:?} in the metadata")))
}

/// A number in Rust's notation.
pub(crate) fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// A checksum in the notation of a file.
pub(crate) fn digits(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// A checksum in the notation of a file.
pub(crate) fn hexadecimal(checksum: u64) -> String {
    format!("{checksum:0CHECKSUM_DIGITS$x}")
}

/// The values of a tensor of float32.
pub(crate) fn float32(bytes: &[u8]) -> impl Iterator<Item = f32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| f32::from_le_bytes(*word))
}

/// The values of a tensor of int64.
pub(super) fn int64(bytes: &[u8]) -> impl Iterator<Item = i64> {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|word| i64::from_le_bytes(*word))
}

/// The values of a tensor of float64.
pub(super) fn float64(bytes: &[u8]) -> impl Iterator<Item = f64> {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|word| f64::from_le_bytes(*word))
}

/// Refuses a header that differs from the one that would be written for the same content.
fn compare(found: &[u8], expected: &[u8]) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let pairs = found.iter().zip(expected);
    let at = pairs.take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let from = at.saturating_sub(12).min(bytes.len());
        let to = (at + 24).min(bytes.len());
        String::from_utf8_lossy(&bytes[from..to]).replace(char::is_control, "�")
    };
    Err(Error::invalid(format!(
        "byte {} of the file: the header has `{}`, expected `{}`",
        LENGTH_BYTES + at,
        around(found),
        around(expected)
    )))
}
