//! Quantizer and codes in one file: safetensors with metadata.
//!
//! ```text
//! N: 8 bytes, little-endian | header: N bytes of JSON, spaces to its end | tensors, without gaps
//! ```
//!
//! | tensor | type and shape | present |
//! |---|---|---|
//! | `center` | F32 (d) | where there is one |
//! | `norm` | F32 (n) | where [`Spec::shape`] says so, as the next two |
//! | `residual_norm` | F32 (n) | |
//! | `center_product` | F32 (n) | |
//! | `scale` | F32 (n) | always |
//! | `packed` | U8 (n, row bytes) | always |
//!
//! | key of `__metadata__` | value, a string |
//! |---|---|
//! | `format`, `version` | `blockquant`, `1` |
//! | `header_checksum` | of N and the header, with zeros in the place of this checksum |
//! | `digest` | of what decoding depends on besides the file: codebook, rotation, projection of `prod` ([`digest`]) |
//! | `method`, `dim`, `bits`, `rotation`, `seed`, `store_norm` | as in [`Spec`] |
//! | `scale`, `block` | likewise, where the method has a choice |
//! | *tensor*`_checksum` | of the tensor's bytes |
//!
//! Keys and tensors stand in this order, metadata first, without white space; tensors have their `data_offsets` in this order too. The spaces after
//! the header are the fewest that start `packed` at a multiple of 64 bytes in the file; what is float32 then starts at a multiple of 4. (safetensors
//! forbids gaps between tensors, so not every tensor can start at a multiple of 64.) Numbers are as Rust prints them, checksums 16 lower-case
//! hexadecimal digits.
//!
//! **Checksums** are CRC-64/XZ: it finds *every* damage within 64 successive bits, so every flipped byte, and other damage but for 2⁻⁶⁴.
//! It is no protection against a forger, who can compute it too.
//!
//! **One file for one content.** What a quantizer and its codes are written as is fixed to the byte. A reader takes the parameters from the
//! header, writes the header that belongs to them, and refuses a file whose header differs: unknown or doubled keys, gaps, overlaps, other
//! types, shapes and order need no rule of their own. The length of the file follows from the header too. All this is done, and `center` verified,
//! whether or not the other tensors are, before anything is built.
//!
//! A forged header can still name a quantizer that takes long to build: two minutes for 65,536 words, hours and 8 GiB for `haar` at d = 2¹⁵.
//!
//! FROZEN: files of version 1 are read for ever; `tests/golden` pins them.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use crate::codes::{Codes, CodesRef};
use crate::error::{Error, Result, counted};
use crate::quantizer::{Quantizer, Spec};
use crate::threads;

mod atomic;
mod checksum;
mod header;

pub use checksum::{checksum, digest};

use checksum::{Checksum, PIECE, little_endian};
use header::{Header, float32, hexadecimal};

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// As in the table of this module.
    pub name: &'static str,
    /// Where its bytes are in the file.
    pub bytes: Range<usize>,
}

/// What stands in a file, checked but for the digest: nothing is built yet.
#[derive(Debug, Clone)]
pub struct Contents<'a> {
    /// What the quantizer is built from, the center included.
    pub spec: Spec,
    /// Number of rows.
    pub rows: usize,
    /// Bytes of a row of `packed`.
    pub row_bytes: usize,
    /// In the order of the file.
    pub tensors: Vec<Tensor>,
    digest: u64,
    file: &'a [u8],
}

impl<'a> Contents<'a> {
    /// Reads the bytes of a file: every check of the header, the center and the sizes, and with `verify` also the tensors' checksums and that
    /// what is float32 is finite.
    ///
    /// # Errors
    /// If any byte is not what [`write()`] writes.
    pub fn new(file: &'a [u8], verify: bool) -> Result<Self> {
        let (header, start) = Header::parse(file)?;
        let mut tensors = Vec::new();
        let mut from = start;
        for tensor in &header.tensors {
            // The sum is the length of the file.
            let bytes = from..from + tensor.bytes() as usize;
            from = bytes.end;
            if verify || tensor.name == "center" {
                verify_tensor(tensor.name, tensor.checksum, file, &bytes)?;
            }
            let name = tensor.name;
            tensors.push(Tensor { name, bytes });
        }
        Ok(Self {
            spec: header.spec,
            rows: header.rows,
            row_bytes: header.row_bytes,
            tensors,
            digest: header.digest,
            file,
        })
    }

    /// Builds the quantizer.
    ///
    /// # Errors
    /// If its digest is not the one that the file holds.
    pub fn quantizer(&self) -> Result<Quantizer> {
        let quantizer = Quantizer::new(self.spec.clone())?;
        let own = digest(&quantizer)?;
        if own != self.digest {
            return Err(Error::invalid(format!(
                "the codes were made with another codebook or rotation than this build has for {} at dim={}, bits={}: \
                 digest {}, expected {}",
                self.spec.method,
                self.spec.dim,
                self.spec.bits,
                hexadecimal(self.digest),
                hexadecimal(own),
            )));
        }
        Ok(quantizer)
    }

    /// A copy of the codes.
    pub fn codes(&self) -> Codes {
        let bytes = |name| {
            let tensor = self.tensors.iter().find(|tensor| tensor.name == name)?;
            Some(&self.file[tensor.bytes.clone()])
        };
        let floats = |name| Some(float32(bytes(name)?).collect());
        let packed = bytes("packed").unwrap_or_default().to_vec();
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

fn verify_tensor(name: &str, expected: u64, file: &[u8], range: &Range<usize>) -> Result<()> {
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
    if name != "packed" {
        check_finite(name, float32(bytes))?;
    }
    Ok(())
}

fn check_finite(name: &str, mut values: impl Iterator<Item = f32>) -> Result<()> {
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

/// Writes a quantizer and its codes.
///
/// # Errors
/// If the codes do not belong to the quantizer, a scale or norm is not finite, or writing fails.
pub fn write(out: &mut dyn Write, quantizer: &Quantizer, codes: CodesRef<'_>) -> Result<()> {
    let spec = quantizer.spec();
    codes.check(&quantizer.shape().layout, quantizer.scalars())?;
    let mut header = Header::new(spec, codes.len(), digest(quantizer)?)?;
    for tensor in &mut header.tensors {
        let mut sum = Checksum::default();
        match floats_of(tensor.name, spec, codes) {
            Some(values) if values.len() != tensor.shape[0] => {
                return Err(Error::invalid(format!(
                    "{} has {}, expected {}",
                    tensor.name,
                    counted(values.len(), "value"),
                    tensor.shape[0]
                )));
            }
            Some(values) => {
                check_finite(tensor.name, values.iter().copied())?;
                little_endian(values, |bytes| {
                    sum.write(bytes);
                    Ok(())
                })?;
            }
            None if tensor.name == "packed" => sum.write(codes.packed),
            None => return Err(Error::invalid(format!("{} is missing", tensor.name))),
        }
        tensor.checksum = sum.value();
    }
    if codes.norm.is_some() && !quantizer.scalars().norm {
        return Err(Error::invalid(
            "norm is given for a quantizer that stores none",
        ));
    }
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(|error| Error::io("", &error));
    put(&header.render())?;
    for tensor in &header.tensors {
        match floats_of(tensor.name, spec, codes) {
            Some(values) => little_endian(values, &mut put)?,
            None => {
                for some in codes.packed.chunks(PIECE) {
                    threads::check();
                    put(some)?;
                }
            }
        }
    }
    Ok(())
}

/// The values of a tensor of float32.
fn floats_of<'a>(name: &str, spec: &'a Spec, codes: CodesRef<'a>) -> Option<&'a [f32]> {
    match name {
        "center" => spec.center.as_deref(),
        "scale" => Some(codes.scale),
        "norm" => codes.norm,
        "residual_norm" => codes.residual_norm,
        "center_product" => codes.center_product,
        _ => None,
    }
}

/// [`write()`] to a path, at once or not at all: into a new file in the same folder, which then takes the name.
///
/// # Errors
/// As [`write()`], and if the folder cannot be written to; a file of that name is then as it was, and no other is left.
///
/// ```
/// use blockquant::{Quantizer, Spec, file};
///
/// let quantizer = Quantizer::new(Spec::new("eden", 64, 2.0))?;
/// let codes = quantizer.encode(&[1.0; 128])?;
/// let path = std::env::temp_dir().join(format!("blockquant-{}.safetensors", std::process::id()));
/// file::save(&path, &quantizer, codes.view())?;
/// let (same, back) = file::load(&path, true)?;
/// assert_eq!((same.spec(), back), (quantizer.spec(), codes));
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), blockquant::Error>(())
/// ```
pub fn save(path: &Path, quantizer: &Quantizer, codes: CodesRef<'_>) -> Result<()> {
    atomic::replace(path, |out| write(out, quantizer, codes))
}

/// Reads the bytes of a file.
///
/// # Errors
/// As [`Contents::new`] and [`Contents::quantizer`].
pub fn read(file: &[u8], verify: bool) -> Result<(Quantizer, Codes)> {
    let contents = Contents::new(file, verify)?;
    Ok((contents.quantizer()?, contents.codes()))
}

/// [`read`] from a path; to map the file instead, give the mapped bytes to [`Contents::new`].
///
/// # Errors
/// As [`read`], with the path named, and if the file cannot be read.
pub fn load(path: &Path, verify: bool) -> Result<(Quantizer, Codes)> {
    let name = path.display();
    let io = |error: std::io::Error| Error::io(name.to_string(), &error);
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(io)?;
    std::io::Read::read_to_end(&mut file, &mut bytes).map_err(io)?;
    read(&bytes, verify).map_err(|error| Error::invalid(format!("{name}: {error}")))
}
