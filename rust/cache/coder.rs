//! The codes of keys or of values: a quantizer whose codewords are integers.
//!
//! Attention multiplies every coded row with every query, so codewords are rounded to multiples of
//! a step, and sums are exact in integers:
//!
//! ```text
//! c̃ = step·k    step = max|c|/127  up to 4.5 bits per coordinate: k has 8 bits
//!                step = max|c|/2047 up to 8 bits: k has 16 bits
//! ```
//!
//! The rounding adds an error of step²/12 per coordinate: 6·10⁻⁵ of the variance of a coordinate
//! where codewords reach ±3.5, when the code itself has an error of at least 5·10⁻³ at 4 bits.
//! Beyond 8 bits, and with a method that adds a residual of its own, codewords stay float32.
//!
//! The coordinates of a codeword are in the order of [`Method::expand`], and a query is
//! [prepared](crate::methods::Method::prepare) for it. [`Method::collapse`] takes a sum of
//! codewords back to the rotated coordinates.
//!
//! [`Method::expand`]: crate::methods::Method::expand
//! [`Method::collapse`]: crate::methods::Method::collapse

use crate::codes::Codes;
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::kernels::attention::{self, Codewords, Integer, Part as Words};
use crate::kernels::{convert, reduce};
use crate::methods::RowsOf;
use crate::quantizer::Quantizer;
use crate::rng::SeedStream;
use crate::rows::Dense;

/// The most bits per coordinate with codewords of 8 bits.
const MOST_BITS_I8: f64 = 4.5;
/// The most bits per coordinate with codewords of 16 bits.
const MOST_BITS_I16: f64 = 8.0;
/// The largest integer codewords of 8 and 16 bits.
pub(super) const MAX_I8: i32 = 127;
pub(super) const MAX_I16: i32 = 2047;

/// Coded rows of one head: `scale.len()` rows.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The packed indexes of each row.
    pub packed: &'a [u8],
    /// The scale s of each row.
    pub scale: &'a [f32],
    /// The γ of each row, where the method has one.
    pub gamma: Option<&'a [f32]>,
}

impl<'a> Part<'a> {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.scale.len()
    }

    /// Whether the number of rows is 0.
    pub fn is_empty(&self) -> bool {
        self.scale.is_empty()
    }

    /// Some of the rows.
    pub(super) fn rows(&self, from: usize, to: usize, row_bytes: usize) -> Self {
        Self {
            packed: &self.packed[from * row_bytes..to * row_bytes],
            scale: &self.scale[from..to],
            gamma: self.gamma.map(|gamma| &gamma[from..to]),
        }
    }
}

/// The codewords of a quantizer.
#[derive(Debug)]
pub(super) enum Form {
    /// Integers of 8 bits.
    I8(Codewords<i8>),
    /// Integers of 16 bits.
    I16(Codewords<i16>),
    /// What [`Method::expand`](crate::methods::Method::expand) gives.
    F32,
}

/// A quantizer of the rows of one head, with its codewords as integers.
#[derive(Debug)]
pub struct Coder {
    quantizer: Quantizer,
    form: Form,
    /// c̃ = step·k.
    step: f64,
}

/// Buffers for the codewords of a tile.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    pub bytes: Vec<i8>,
    pub shorts: Vec<i16>,
    pub floats: Vec<f32>,
    index: Vec<u16>,
}

impl Coder {
    /// Makes the integer codewords of a quantizer.
    ///
    /// # Errors
    /// If the quantizer has a center or stores norms: a cache has its own centers.
    pub fn new(quantizer: Quantizer) -> Result<Self> {
        let spec = quantizer.spec();
        if spec.center.is_some() || spec.store_norm {
            return Err(Error::invalid(
                "a quantizer of a cache has neither a center nor stored norms",
            ));
        }
        let bits = spec.bits;
        let (form, step) = if quantizer.shape().has_gamma || bits > MOST_BITS_I16 {
            (Form::F32, 1.0)
        } else if bits > MOST_BITS_I8 {
            let (words, step) = integers(&quantizer, MAX_I16, |k| k as i16);
            (Form::I16(words), step)
        } else {
            let (words, step) = integers(&quantizer, MAX_I8, |k| k as i8);
            (Form::I8(words), step)
        };
        Ok(Self {
            quantizer,
            form,
            step,
        })
    }

    /// The quantizer.
    pub fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    /// Coordinates per row.
    pub fn dim(&self) -> usize {
        self.quantizer.spec().dim
    }

    /// Bytes per packed row.
    pub fn row_bytes(&self) -> usize {
        self.quantizer.shape().layout.row_bytes()
    }

    /// Encodes rows, n × dim: their packed indexes, scales, and γ (`residual_norm`) where the
    /// method has one.
    ///
    /// # Errors
    /// If the length is not a multiple of dim, or a value is not finite.
    pub fn encode(&self, isa: Isa, rows: &[f32]) -> Result<Codes> {
        (self.quantizer).encode_rows(isa, &Dense::new(rows, self.dim())?)
    }

    /// Decodes rows into `out`, n × dim: r̂ = s·Rᵀ c̃/√d, with the same c̃ as attention.
    ///
    /// # Errors
    /// If the lengths do not fit together.
    pub fn decode(&self, isa: Isa, part: Part<'_>, out: &mut [f32]) -> Result<()> {
        self.check(part)?;
        let dim = self.dim();
        if out.len() != part.len() * dim {
            return Err(Error::invalid(format!(
                "room for {}, expected {} of {dim}",
                counted(out.len(), "value"),
                counted(part.len(), "row")
            )));
        }
        let (mut expanded, mut sums) = (Expanded::default(), Vec::new());
        let mut scratch = Vec::new();
        let stride = self.stride();
        for (i, out) in out.chunks_mut(attention::ROWS_PER_TILE * dim).enumerate() {
            let from = i * attention::ROWS_PER_TILE;
            let rows = out.len() / dim;
            let some = part.rows(from, from + rows, self.row_bytes());
            self.expand(isa, some, &mut expanded);
            sums.clear();
            match self.form {
                Form::I8(_) => sums.extend(expanded.bytes.iter().map(|&k| f32::from(k))),
                Form::I16(_) => sums.extend(expanded.shorts.iter().map(|&k| f32::from(k))),
                Form::F32 => sums.extend_from_slice(&expanded.floats),
            }
            attention::multiply(isa, &mut sums, self.step as f32);
            self.collapse(isa, &mut sums, stride, out, &mut scratch);
            for (x, &scale) in out.chunks_exact_mut(dim).zip(some.scale) {
                convert::scale(isa, x, f64::from(scale) / (dim as f64).sqrt());
            }
        }
        Ok(())
    }

    /// ½·ρ̄²·D/d of the rows: half the variance that the code adds to the logit of a query, divided
    /// by scale²·‖q‖²·s². D is the mean of tan²θ, and ρ̄ that of ‖r‖/s, over a fixed sample of
    /// Gaussian rows.
    ///
    /// # Errors
    /// As [`Coder::encode`].
    pub fn debias(&self, isa: Isa) -> Result<f32> {
        const SAMPLE: usize = 256;
        const LABEL_SAMPLE: u64 = 7;
        let dim = self.dim();
        let mut stream = SeedStream::new(0, LABEL_SAMPLE);
        let rows: Vec<f32> = (0..SAMPLE * dim)
            .map(|_| stream.gaussian() as f32)
            .collect();
        let codes = self.encode(isa, &rows)?;
        let mut decoded = vec![0f32; rows.len()];
        let part = Part {
            packed: &codes.packed,
            scale: &codes.scale,
            gamma: codes.residual_norm.as_deref(),
        };
        self.decode(isa, part, &mut decoded)?;
        let (mut spread, mut ratio) = (0.0, 0.0);
        for ((x, y), &scale) in rows
            .chunks_exact(dim)
            .zip(decoded.chunks_exact(dim))
            .zip(&codes.scale)
        {
            let (xx, yy) = (reduce::squared_norm(isa, x), reduce::squared_norm(isa, y));
            let xy = reduce::dot_f64(isa, x, y);
            let cosine = xy * xy / (xx * yy);
            if cosine > 0.0 && scale > 0.0 {
                spread += (1.0 / cosine - 1.0).max(0.0);
                ratio += xx.sqrt() / f64::from(scale);
            }
        }
        let (spread, ratio) = (spread / SAMPLE as f64, ratio / SAMPLE as f64);
        Ok((0.5 * ratio * ratio * spread / dim as f64) as f32)
    }

    pub(super) fn form(&self) -> &Form {
        &self.form
    }

    /// The factor from integer codewords to codewords.
    pub(super) fn step(&self) -> f64 {
        self.step
    }

    /// Values per expanded row, with padding where codewords are integers.
    pub(super) fn stride(&self) -> usize {
        match &self.form {
            Form::I8(words) => words.stride(),
            Form::I16(words) => words.stride(),
            Form::F32 => self.quantizer.method().expanded_len(self.dim()),
        }
    }

    /// Checks that rows are codes of this quantizer.
    pub(super) fn check(&self, part: Part<'_>) -> Result<()> {
        let has_gamma = self.quantizer.shape().has_gamma;
        let gamma = part.gamma.map(<[f32]>::len);
        let expected = has_gamma.then_some(part.len());
        if part.packed.len() != part.len() * self.row_bytes() || gamma != expected {
            return Err(Error::invalid(format!(
                "{} of codes and {} for {}, expected {} per row and a γ {}",
                counted(part.packed.len(), "byte"),
                counted(gamma.unwrap_or(0), "γ"),
                counted(part.len(), "row"),
                counted(self.row_bytes(), "byte"),
                if has_gamma { "per row" } else { "for none" },
            )));
        }
        Ok(())
    }

    /// Writes the codewords of some rows into the buffer of their form.
    pub(super) fn expand(&self, isa: Isa, part: Part<'_>, expanded: &mut Expanded) {
        let length = part.len() * self.stride();
        match &self.form {
            Form::I8(words) => {
                expanded.bytes.resize(length, 0);
                attention::expand_i8(isa, part.packed, words, &mut expanded.bytes);
            }
            Form::I16(words) => {
                expanded.shorts.resize(length, 0);
                attention::expand_i16(isa, part.packed, words, &mut expanded.shorts);
            }
            Form::F32 => {
                let (method, layout) = (self.quantizer.method(), &self.quantizer.shape().layout);
                expanded.floats.resize(length, 0.0);
                expanded.index.resize(layout.indices(), 0);
                let rows = part.packed.chunks_exact(layout.row_bytes());
                let out = expanded.floats.chunks_exact_mut(self.stride());
                for (i, (row, out)) in rows.zip(out).enumerate() {
                    layout.unpack(isa, row, &mut expanded.index);
                    let gamma = part.gamma.map_or(0.0, |gamma| gamma[i]);
                    method.expand(isa, &expanded.index, gamma, out);
                }
            }
        }
    }

    /// out ← Rᵀ of sums of codewords, n × stride, in the units of u: n × dim.
    pub(super) fn collapse(
        &self,
        isa: Isa,
        sums: &mut [f32],
        stride: usize,
        out: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        let dim = self.dim();
        let method = self.quantizer.method();
        let length = method.expanded_len(dim);
        for (sum, out) in sums.chunks_exact(stride).zip(out.chunks_exact_mut(dim)) {
            method.collapse(isa, &sum[..length], out);
        }
        self.quantizer.rotation().apply_inverse(isa, out, scratch);
    }
}

/// The integer codewords of a quantizer and their step, with coordinates up to `most`.
fn integers<T: Integer>(
    quantizer: &Quantizer,
    most: i32,
    convert: impl Fn(i32) -> T,
) -> (Codewords<T>, f64) {
    let method = quantizer.method();
    let layout = &quantizer.shape().layout;
    let books: Vec<_> = [Some(method.codebook()), method.tail_codebook()]
        .into_iter()
        .flatten()
        .collect();
    let max = books
        .iter()
        .flat_map(|(words, _)| words)
        .fold(0f32, |max, c| max.max(c.abs()));
    let step = if max > 0.0 {
        f64::from(max) / f64::from(most)
    } else {
        1.0
    };
    let rounded = |words: &[f32]| -> Vec<T> {
        let steps = words.iter().map(|&c| f64::from(c) / step);
        steps.map(|k| convert(k.round_ties_even() as i32)).collect()
    };
    if let RowsOf::Path(code) = method.rows_of() {
        let words = rounded(code.words());
        return (Codewords::of_path(code, quantizer.spec().dim, words), step);
    }
    let mut first = 0;
    let parts = layout.fields().iter().zip(&books).map(|(field, book)| {
        let (words, block) = book;
        let part = Words {
            first,
            width: field.width,
            count: field.count,
            block: *block,
            words: rounded(words),
        };
        first += field.count * field.width as usize;
        part
    });
    (Codewords::new(parts.collect(), layout.row_bytes()), step)
}
