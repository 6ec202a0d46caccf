//! The header of a file: text is rendered from parameters, and only that exact text is parsed.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::checksum::Checksum;
use crate::error::{Error, Result, counted};
use crate::quantizer::Spec;
use crate::rotation::RotationKind;

/// Bytes of the length, which stands before the header.
const LENGTH_BYTES: usize = 8;
/// The longest header that is read; ours have about 1 KiB.
const MAX_HEADER_BYTES: usize = 1 << 16;
/// The longest value in the metadata, which is short enough for errors to repeat it; ours have at
/// most about thirty characters.
const MAX_VALUE_BYTES: usize = 64;
/// `packed` starts at a multiple of this many bytes.
const ALIGNMENT_BYTES: u128 = 64;
const FORMAT: &str = "blockquant";
const VERSION: &str = "1";
/// The header up to the digits of its checksum.
const BEFORE_CHECKSUM: &str =
    "{\"__metadata__\":{\"format\":\"blockquant\",\"version\":\"1\",\"header_checksum\":\"";
const CHECKSUM_DIGITS: usize = 16;

/// A tensor. Its place follows from the tensors before it.
#[derive(Debug)]
pub(super) struct Entry {
    pub name: &'static str,
    dtype: &'static str,
    pub shape: Vec<usize>,
    pub checksum: u64,
}

impl Entry {
    /// The size of the tensor. Sums of sizes cannot overflow.
    pub(super) fn bytes(&self) -> u128 {
        let width = if self.dtype == "U8" { 1 } else { 4 };
        self.shape.iter().fold(width, |size, &n| size * n as u128)
    }
}

/// Everything that the header says.
#[derive(Debug)]
pub(super) struct Header {
    pub spec: Spec,
    pub rows: usize,
    pub row_bytes: usize,
    pub digest: u64,
    pub tensors: Vec<Entry>,
}

impl Header {
    /// The header of these codes. The checksums of the tensors are still 0.
    pub(super) fn new(spec: &Spec, rows: usize, digest: u64) -> Result<Self> {
        let mut spec = spec.clone();
        let (shape, _) = spec.fill()?;
        let row = [rows];
        let row_bytes = shape.layout.row_bytes();
        let packed = [rows, row_bytes];
        // This is the only list of tensors, and it gives their order.
        let scalars = shape.scalars;
        let tensors: [(&str, &str, &[usize], bool); 6] = [
            ("center", "F32", &[spec.dim], spec.center.is_some()),
            ("norm", "F32", &row, scalars.norm),
            ("residual_norm", "F32", &row, scalars.residual_norm),
            ("center_product", "F32", &row, scalars.center_product),
            ("scale", "F32", &row, true),
            ("packed", "U8", &packed, true),
        ];
        let entry = |(name, dtype, shape, is_stored): (_, _, &[usize], bool)| {
            let (shape, checksum) = (shape.to_vec(), 0);
            is_stored.then_some(Entry {
                name,
                dtype,
                shape,
                checksum,
            })
        };
        Ok(Self {
            rows,
            row_bytes,
            digest,
            tensors: tensors.into_iter().filter_map(entry).collect(),
            spec,
        })
    }

    /// The length and the header, as bytes of the file.
    pub(super) fn render(&self) -> Vec<u8> {
        let spec = &self.spec;
        let mut text = format!(
            "{BEFORE_CHECKSUM}{}\",\"digest\":\"{}\"",
            "0".repeat(CHECKSUM_DIGITS),
            hexadecimal(self.digest),
        );
        let mut pair = |key: &str, value: &str| {
            text += &format!(",\"{key}\":\"{value}\"");
        };
        pair("method", &spec.method);
        pair("dim", &spec.dim.to_string());
        pair("bits", &spec.bits.to_string());
        if let Some(scale) = &spec.scale {
            pair("scale", scale);
        }
        if let Some(block) = spec.block {
            pair("block", &block.to_string());
        }
        pair("rotation", spec.rotation.name());
        pair("seed", &spec.seed.to_string());
        pair("store_norm", &spec.store_norm.to_string());
        for tensor in &self.tensors {
            pair(
                &format!("{}_checksum", tensor.name),
                &hexadecimal(tensor.checksum),
            );
        }
        text.push('}');
        let (mut from, mut packed_from) = (0, 0);
        for tensor in &self.tensors {
            packed_from = from;
            from += tensor.bytes();
            let shape: Vec<_> = tensor.shape.iter().map(usize::to_string).collect();
            text += &format!(
                ",\"{}\":{{\"dtype\":\"{}\",\"shape\":[{}],\
                 \"data_offsets\":[{packed_from},{from}]}}",
                tensor.name,
                tensor.dtype,
                shape.join(",")
            );
        }
        text.push('}');
        while !(packed_from + (LENGTH_BYTES + text.len()) as u128).is_multiple_of(ALIGNMENT_BYTES) {
            text.push(' ');
        }
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.into_bytes());
        let digits = hexadecimal(header_checksum(&bytes));
        bytes[digits_at()..][..CHECKSUM_DIGITS].copy_from_slice(digits.as_bytes());
        bytes
    }

    /// Reads the header of a file, and checks it and the length of the file. The second value is
    /// where the tensors start.
    pub(super) fn parse(file: &[u8]) -> Result<(Self, usize)> {
        let (bytes, json) = frame(file)?;
        let metadata = metadata(&json)?;
        check_checksum(bytes)?;
        let rows = json["scale"]["shape"][0].as_u64();
        let rows = rows
            .and_then(|rows| usize::try_from(rows).ok())
            .ok_or_else(|| Error::invalid("the header does not give a number of rows for scale"))?;
        let mut spec = spec(metadata)?;
        spec.center = center(metadata, &spec, &file[bytes.len()..])?;
        let mut header = Self::new(&spec, rows, number(metadata, "digest", digits)?)?;
        for tensor in &mut header.tensors {
            tensor.checksum = number(metadata, &format!("{}_checksum", tensor.name), digits)?;
        }
        let tensors: u128 = header.tensors.iter().map(Entry::bytes).sum();
        let expected = bytes.len() as u128 + tensors;
        if file.len() as u128 != expected {
            let state = if (file.len() as u128) < expected {
                "truncated"
            } else {
                "too long"
            };
            return Err(Error::invalid(format!(
                "the file is {state}: it has {}, expected {expected} for {}",
                counted(file.len(), "byte"),
                counted(rows, "row"),
            )));
        }
        let mut expected = header.render();
        // The checksum was verified above. If something else differs, the error must name that.
        let digits = digits_at()..digits_at() + CHECKSUM_DIGITS;
        expected[digits.clone()].copy_from_slice(&bytes[digits]);
        compare(&bytes[LENGTH_BYTES..], &expected[LENGTH_BYTES..])?;
        Ok((header, bytes.len()))
    }
}

/// The length and the header of a file as bytes, and the header as JSON.
fn frame(file: &[u8]) -> Result<(&[u8], Value)> {
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
                "this is not a blockquant file: the first {LENGTH_BYTES} bytes give a header of \
                 {length} bytes, expected at most {MAX_HEADER_BYTES}"
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

/// The metadata of a file, if it is a blockquant file.
fn metadata(json: &Value) -> Result<&Map<String, Value>> {
    let metadata = json["__metadata__"].as_object();
    let metadata = metadata
        .filter(|pairs| pairs.get("format").and_then(Value::as_str) == Some(FORMAT))
        .ok_or_else(|| {
            Error::invalid(format!(
                "this is not a blockquant file: the metadata has no format {FORMAT:?}"
            ))
        })?;
    let version = text(metadata, "version")?;
    if version != VERSION {
        return Err(Error::invalid(format!(
            "the file has version {version:?} of the format, this build reads {VERSION:?}"
        )));
    }
    Ok(metadata)
}

fn text<'a>(metadata: &'a Map<String, Value>, key: &str) -> Result<&'a str> {
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

/// The value that `read` parses from the text of a key. [`compare`] refuses other spellings of it.
fn number<T>(
    metadata: &Map<String, Value>,
    key: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T> {
    let text = text(metadata, key)?;
    read(text).ok_or_else(|| Error::invalid(format!("{key} is {text:?} in the metadata")))
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn digits(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// A checksum in the notation of a file.
pub(super) fn hexadecimal(checksum: u64) -> String {
    format!("{checksum:0CHECKSUM_DIGITS$x}")
}

fn spec(metadata: &Map<String, Value>) -> Result<Spec> {
    let optional = |key| metadata.contains_key(key);
    let scale = optional("scale").then(|| text(metadata, "scale").map(str::to_owned));
    let block = optional("block").then(|| number(metadata, "block", parsed));
    Ok(Spec {
        scale: scale.transpose()?,
        block: block.transpose()?,
        rotation: RotationKind::from_name(text(metadata, "rotation")?)?,
        seed: number(metadata, "seed", parsed)?,
        store_norm: number(metadata, "store_norm", parsed)?,
        ..Spec::new(
            text(metadata, "method")?,
            number(metadata, "dim", parsed)?,
            number(metadata, "bits", parsed)?,
        )
    })
}

/// The center, if there is one. It is the first of the tensors.
fn center(metadata: &Map<String, Value>, spec: &Spec, tensors: &[u8]) -> Result<Option<Vec<f32>>> {
    if !metadata.contains_key("center_checksum") {
        return Ok(None);
    }
    spec.shape()?; // limits dim
    let bytes = tensors.get(..4 * spec.dim).ok_or_else(|| {
        Error::invalid(format!(
            "the file is truncated: it has {} of tensors, expected at least the {} of center",
            counted(tensors.len(), "byte"),
            4 * spec.dim
        ))
    })?;
    Ok(Some(float32(bytes).collect()))
}

/// The values of a tensor of float32.
pub(super) fn float32(bytes: &[u8]) -> impl Iterator<Item = f32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| f32::from_le_bytes(*word))
}

/// The position of the digits of the header's checksum.
fn digits_at() -> usize {
    LENGTH_BYTES + BEFORE_CHECKSUM.len()
}

/// The checksum of length and header, with zeros in the place of its digits.
fn header_checksum(bytes: &[u8]) -> u64 {
    let (before, rest) = bytes.split_at(bytes.len().min(digits_at()));
    let mut sum = Checksum::default();
    sum.write(before);
    sum.write(&[b'0'; CHECKSUM_DIGITS]);
    sum.write(rest.get(CHECKSUM_DIGITS..).unwrap_or_default());
    sum.value()
}

fn check_checksum(bytes: &[u8]) -> Result<()> {
    let start = &bytes[LENGTH_BYTES..];
    let start = &start[..start.len().min(BEFORE_CHECKSUM.len())];
    compare(start, BEFORE_CHECKSUM.as_bytes())?;
    let digits = bytes.get(digits_at()..).unwrap_or_default();
    let found = String::from_utf8_lossy(&digits[..digits.len().min(CHECKSUM_DIGITS)]);
    let expected = hexadecimal(header_checksum(bytes));
    if found != expected {
        return Err(Error::invalid(format!(
            "the header, bytes 0 to {} of the file, is damaged: checksum {expected}, it names \
             {found:?}",
            bytes.len()
        )));
    }
    Ok(())
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
