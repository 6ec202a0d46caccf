//! Writing a file: the tensors are read twice, for their checksums and for the file.

use std::io::Write;

use super::check_finite;
use super::checksum::{BYTES_PER_CHECK, Checksum, digest, little_endian};
use super::header::Header;
use super::ids::{self, Ids};
use crate::axes::Axes;
use crate::codes::CodesRef;
use crate::error::{Error, Result, counted};
use crate::quantizer::Quantizer;
use crate::threads;

/// The values of a tensor.
#[derive(Clone, Copy)]
enum Values<'a> {
    Floats(&'a [f32]),
    Doubles(&'a [f64]),
    Numbers(&'a [i64]),
    Bytes(&'a [u8]),
}

impl Values<'_> {
    /// Refuses values that do not fill a tensor of so many values.
    fn check(self, name: &str, length: usize) -> Result<()> {
        match self {
            Self::Floats(values) if values.len() != length => Err(Error::invalid(format!(
                "{name} has {}, expected {length}",
                counted(values.len(), "value"),
            ))),
            Self::Floats(values) => check_finite(name, values.iter().copied()),
            // Checked when the axes were made.
            Self::Doubles(_) => Ok(()),
            // Checked as codes and as ids.
            Self::Numbers(_) | Self::Bytes(_) => Ok(()),
        }
    }

    /// Passes the bytes to `give`, piece by piece, in the byte order of a file.
    fn give(self, mut give: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self {
            Self::Floats(values) => little_endian(values, give),
            Self::Doubles(values) => {
                let bits: Vec<i64> = values.iter().map(|value| value.to_bits() as i64).collect();
                ids::little_endian(&bits, give)
            }
            Self::Numbers(values) => ids::little_endian(values, give),
            Self::Bytes(bytes) => bytes.chunks(BYTES_PER_CHECK).try_for_each(|some| {
                threads::check();
                give(some)
            }),
        }
    }
}

/// Writes a quantizer and its codes, and the ids of the rows if they are given.
///
/// # Errors
/// If the codes do not belong to the quantizer, a scale or norm is not finite, the ids are not as
/// [`Ids`] says, or writing fails.
pub fn write(
    out: &mut dyn Write,
    quantizer: &Quantizer,
    codes: CodesRef<'_>,
    ids: Option<&Ids<'_>>,
) -> Result<()> {
    let (spec, rows) = (quantizer.spec(), codes.len());
    codes.check(quantizer.shape().row_bytes, quantizer.scalars())?;
    if let Some(ids) = ids {
        ids.check(rows)?;
    }
    let axes = spec.axes.as_deref();
    let values = |name: &str| match name {
        "center" => spec.center.as_deref().map(Values::Floats),
        "variances" => axes.map(|axes| Values::Doubles(axes.variances())),
        "query_variances" => axes.and_then(Axes::query_variances).map(Values::Doubles),
        "mean" => axes.map(|axes| Values::Floats(axes.mean())),
        "axes" => axes.map(|axes| Values::Floats(axes.axes())),
        "scale" => Some(Values::Floats(codes.scale)),
        "norm" => codes.norm.map(Values::Floats),
        "residual_norm" => codes.residual_norm.map(Values::Floats),
        "center_product" => codes.center_product.map(Values::Floats),
        "packed" => Some(Values::Bytes(codes.packed)),
        _ => match (name, ids?) {
            ("ids", Ids::Numbers { ids, .. }) => Some(Values::Numbers(ids)),
            ("id_offsets", Ids::Texts { offsets, .. }) => Some(Values::Numbers(offsets)),
            ("id_bytes", Ids::Texts { bytes, .. }) => Some(Values::Bytes(bytes)),
            _ => None,
        },
    };
    let mut header = Header::new(spec, rows, digest(quantizer)?, ids.map(Ids::shape))?;
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for tensor in &mut header.tensors {
        let name = tensor.name;
        let values = values(name).ok_or_else(|| Error::invalid(format!("{name} is missing")))?;
        values.check(name, tensor.shape.iter().product())?;
        let mut sum = Checksum::default();
        values.give(|bytes| {
            sum.write(bytes);
            Ok(())
        })?;
        tensor.checksum = sum.value();
        tensors.push(values);
    }
    if codes.norm.is_some() && !quantizer.scalars().norm {
        return Err(Error::invalid(
            "norm is given for a quantizer that stores none",
        ));
    }
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(|error| Error::io("", &error));
    put(&header.render())?;
    tensors
        .into_iter()
        .try_for_each(|values| values.give(&mut put))
}
