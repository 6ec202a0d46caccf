//! One file for a quantizer and its codes: safetensors with metadata. Any safetensors reader opens
//! it, and this module checks every byte.
//!
//! ```text
//! N: 8 bytes, little-endian | header: N bytes of JSON, spaces to its end | tensors, without gaps
//! ```
//!
//! | tensor | type and shape | present |
//! |---|---|---|
//! | `center` | F32 (d) | if there is one |
//! | `variances`, `query_variances` | F64 (d) | with fitted axes; the second if queries were given |
//! | `mean` | F32 (d) | with fitted axes |
//! | `axes` | F32 (axes with bits, d) | with fitted axes |
//! | `norm` | F32 (n) | if [`Spec::shape`] says so, like the next two |
//! | `residual_norm` | F32 (n) | |
//! | `center_product` | F32 (n) | |
//! | `scale` | F32 (n) | always |
//! | `ids` | I64 (n) | if rows have numbers as ids |
//! | `id_offsets` | I64 (n + 1) | if rows have texts as ids |
//! | `packed` | U8 (n, row bytes) | always |
//! | `id_bytes` | U8 (bytes of all texts) | if rows have texts as ids |
//!
//! | key of `__metadata__` | value, a string |
//! |---|---|
//! | `format`, `version` | `blockquant`, and `1` without ids, `2` with ids, or `3` with fitted axes |
//! | `header_checksum` | of N and the header, with zeros in the place of this checksum |
//! | `digest` | of what decoding depends on besides the file: codebook, rotation, projection of `prod` ([`digest`]) |
//! | `method`, `dim`, `bits`, `rotation`, `seed`, `store_norm` | as in [`Spec`] |
//! | `scale`, `block`, `states` | as in [`Spec`], if the method has a choice |
//! | `scale_search` | as in [`Spec`], if several scales are searched; versions without this option refuse such a file |
//! | `group_0` to `group_3` | axes, method and bits per axis of each group, with spaces between, with fitted axes |
//! | `criterion`, `sample_rows`, `shrinkage` | with fitted axes: what the bits are given for, the rows of the sample and the part of the way to their mean that its variances were moved |
//! | `ids` | `int64` or `utf-8`, if rows have ids |
//! | `next_id` | a number above every id that a row has or had, at most 2⁶³, if ids are numbers |
//! | *tensor*`_checksum` | of the tensor's bytes |
//!
//! Keys and tensors stand in this order, metadata first, without white space. The `data_offsets` of
//! the tensors are in this order too. The header ends with the fewest spaces that make `packed`
//! start at a multiple of 64 bytes in the file. The int64 tensors then start at multiples of 8 and
//! the float32 tensors at multiples of 4.
//! (safetensors forbids gaps between tensors, so not every tensor can start at a multiple of 64.)
//! Numbers are written as Rust prints them, and checksums as 16 lower-case hexadecimal digits.
//!
//! **Ids** name the rows of an index. Numbers are any int64 but −1, which stands for no row. Text i
//! is the bytes from `id_offsets`\[i\] to `id_offsets`\[i + 1\] of `id_bytes`, in UTF-8; the first
//! offset is 0. No id stands twice. All numbers are little-endian.
//!
//! **Checksums** are CRC-64/XZ. They find *every* damage within 64 successive bits, so every
//! flipped byte. Other damage is missed with probability 2⁻⁶⁴. They do not protect against a
//! forger, who can compute them too.
//!
//! **One file for one content.** The bytes of a quantizer and its codes are fully determined. A
//! reader takes the parameters from the header, renders the header that belongs to them, and
//! refuses a file whose header differs. So unknown or repeated keys, gaps, overlaps and other
//! types, shapes or orders need no rules of their own. The length of the file follows from the
//! header too. All this is checked before anything is built. `center` and fitted axes are verified
//! as well, even if the other tensors are not.
//!
//! A forged header can still name a quantizer that takes long to build: two minutes for 65,536
//! words, or hours and 8 GiB for `haar` at d = 2¹⁵.
//!
//! FROZEN: every later version reads files of versions 1, 2 and 3; `tests/golden` pins them. A file
//! without ids and axes has version 1, byte for byte as before there were ids.

use std::ops::Range;
use std::path::Path;

use crate::codes::{Codes, CodesRef};
use crate::error::{Error, Result};
use crate::quantizer::{Quantizer, Spec};

pub(crate) mod atomic;
mod axes;
pub(crate) mod checksum;
pub(crate) mod container;
mod header;
mod ids;
pub(crate) mod tensors;
mod write;

pub use checksum::{checksum, digest};
pub use ids::Ids;
pub use write::write;

use container::{float32, hexadecimal, int64};
use header::Header;

/// The tensors that the quantizer is made of, which are always verified.
const MODEL: [&str; 5] = ["center", "variances", "query_variances", "mean", "axes"];

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The name, as in the table of this module.
    pub name: &'static str,
    /// Where its bytes are in the file.
    pub bytes: Range<usize>,
}

/// The contents of a file. Everything but the digest is checked, and nothing is built yet.
#[derive(Debug, Clone)]
pub struct Contents<'a> {
    /// The parameters of the quantizer, including the center.
    pub spec: Spec,
    /// Number of rows.
    pub rows: usize,
    /// Bytes of a row of `packed`.
    pub row_bytes: usize,
    /// The tensors, in the order of the file.
    pub tensors: Vec<Tensor>,
    digest: u64,
    ids: Option<ids::Shape>,
    file: &'a [u8],
}

impl<'a> Contents<'a> {
    /// Reads the bytes of a file. The header, the center, the sizes and the offsets of ids are
    /// checked. With `verify` the checksums of the tensors are checked too, that all float32 values
    /// are finite, and that all ids are valid and no two are the same.
    ///
    /// # Errors
    /// If any checked byte differs from what [`write()`] writes.
    pub fn new(file: &'a [u8], verify: bool) -> Result<Self> {
        let (header, start) = Header::parse(file)?;
        let mut tensors = Vec::new();
        let mut from = start;
        for tensor in &header.tensors {
            // The sum is the length of the file.
            let bytes = from..from + tensor.bytes() as usize;
            from = bytes.end;
            if verify || MODEL.contains(&tensor.name) {
                check_tensor(tensor.name, tensor.checksum, file, &bytes)?;
                if tensor.dtype == "F32" {
                    check_finite(tensor.name, float32(&file[bytes.clone()]))?;
                }
            }
            let name = tensor.name;
            tensors.push(Tensor { name, bytes });
        }
        let contents = Self {
            spec: header.spec,
            rows: header.rows,
            row_bytes: header.row_bytes,
            tensors,
            digest: header.digest,
            ids: header.ids,
            file,
        };
        if let Some(ids::Shape::Texts { bytes }) = header.ids {
            let offsets = contents.bytes("id_offsets").unwrap_or_default();
            ids::check_offsets(int64(offsets), bytes)?;
        }
        if let Some(ids) = contents.ids().filter(|_| verify) {
            ids.check(contents.rows)?;
        }
        Ok(contents)
    }

    /// The ids of the rows, if the file has them. Without verification they can be wrong.
    pub fn ids(&self) -> Option<Ids<'a>> {
        let tensor = |name: &str| self.bytes(name).unwrap_or_default();
        Some(ids::read(self.ids?, tensor))
    }

    /// The number above all ids that rows have or had, if ids are numbers.
    pub fn next_id(&self) -> Option<u64> {
        match self.ids? {
            ids::Shape::Numbers { next } => Some(next),
            ids::Shape::Texts { .. } => None,
        }
    }

    /// The bytes of a tensor.
    fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        let tensor = self.tensors.iter().find(|tensor| tensor.name == name)?;
        Some(&self.file[tensor.bytes.clone()])
    }

    /// Builds the quantizer.
    ///
    /// # Errors
    /// If its digest differs from the one in the file.
    pub fn quantizer(&self) -> Result<Quantizer> {
        let quantizer = Quantizer::new(self.spec.clone())?;
        check_digest(&quantizer, self.digest)?;
        Ok(quantizer)
    }

    /// A copy of the codes.
    pub fn codes(&self) -> Codes {
        let floats = |name| Some(float32(self.bytes(name)?).collect());
        let packed = self.bytes("packed").unwrap_or_default().to_vec();
        Codes {
            row_bytes: self.row_bytes,
            packed,
            scale: floats("scale").unwrap_or_default(),
            norm: floats("norm"),
            residual_norm: floats("residual_norm"),
            center_product: floats("center_product"),
        }
    }
}

/// Refuses codes that were made by a build with another codebook or rotation.
pub(crate) fn check_digest(quantizer: &Quantizer, found: u64) -> Result<()> {
    let (own, spec) = (digest(quantizer)?, quantizer.spec());
    if own == found {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the codes were made with another codebook or rotation than this build has for {} at \
         dim={}, bits={}: digest {}, expected {}",
        spec.method,
        spec.dim,
        spec.bits,
        hexadecimal(found),
        hexadecimal(own),
    )))
}

/// Compares a tensor with its checksum.
pub(crate) fn check_tensor(
    name: &str,
    expected: u64,
    file: &[u8],
    range: &Range<usize>,
) -> Result<()> {
    let bytes = &file[range.clone()];
    let found = checksum(bytes);
    if found != expected {
        return Err(Error::invalid(format!(
            "tensor {name}, bytes {} to {} of the file, is damaged: checksum {}, expected {}",
            range.start,
            range.end,
            hexadecimal(found),
            hexadecimal(expected),
        )));
    }
    Ok(())
}

/// Refuses floats of a tensor that are not finite.
pub(crate) fn check_finite(name: &str, mut values: impl Iterator<Item = f32>) -> Result<()> {
    let mut row = 0;
    match values.find(|value| {
        row += 1;
        !value.is_finite()
    }) {
        None => Ok(()),
        Some(value) => Err(Error::invalid(format!(
            "{name} of row {} is {value}, expected a finite number",
            row - 1
        ))),
    }
}

/// Writes a quantizer, its codes and the ids of the rows, if they are given, to a path with
/// [`write()`]. The file is replaced atomically: a
/// new file in the same folder is written first and then renamed.
///
/// # Errors
/// The errors of [`write()`], and an error if the folder cannot be written to. An existing file is
/// then unchanged, and no other file is left.
///
/// ```
/// use blockquant::{Quantizer, Spec, file};
///
/// let quantizer = Quantizer::new(Spec::new("eden", 64, 2.0))?;
/// let codes = quantizer.encode(&[1.0; 128])?;
/// let path = std::env::temp_dir().join(format!("blockquant-{}.safetensors", std::process::id()));
/// file::save(&path, &quantizer, codes.view(), None)?;
/// let (same, back) = file::load(&path, true)?;
/// assert_eq!((same.spec(), back), (quantizer.spec(), codes));
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), blockquant::Error>(())
/// ```
pub fn save(
    path: &Path,
    quantizer: &Quantizer,
    codes: CodesRef<'_>,
    ids: Option<&Ids<'_>>,
) -> Result<()> {
    atomic::replace(path, |out| write(out, quantizer, codes, ids))
}

/// Reads the bytes of a file. The ids of the rows are checked, but not returned:
/// [`Contents::ids`] gives them.
///
/// # Errors
/// The errors of [`Contents::new`] and [`Contents::quantizer`].
pub fn read(file: &[u8], verify: bool) -> Result<(Quantizer, Codes)> {
    let contents = Contents::new(file, verify)?;
    Ok((contents.quantizer()?, contents.codes()))
}

/// Reads the file at a path with [`read`]. To map the file instead, pass the mapped bytes to
/// [`Contents::new`].
///
/// # Errors
/// The errors of [`read`], which then name the path, and an error if the file cannot be read.
pub fn load(path: &Path, verify: bool) -> Result<(Quantizer, Codes)> {
    read(&read_file(path)?, verify).map_err(|error| error.at(path))
}

/// The bytes of the file at a path.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io(path.display().to_string(), &error))
}
