//! The four methods: the middle step of the pipeline.
//!
//! A [`Method`] takes u, the rotated row in unit-variance coordinates, to indexes and back to the codeword vector c. All else (norm,
//! rotation, scale rule, packing, threads) is the [`Quantizer`](crate::Quantizer)'s, the same for all. Methods never import each other.

use std::fmt::Debug;

use crate::codes::{Field, Layout, Scalars};
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::asymmetric::{self, MAX_LEVEL_BITS, ROWS_PER_CALL};
use crate::kernels::quantize::Levels;
use crate::kernels::rescale;

mod blockquant;
mod eden;
mod rabitq;
mod turboquant;

pub use blockquant::{BlockQuant, default_block};
pub use eden::Eden;
pub use rabitq::RaBitQ;
pub use turboquant::{TurboMse, TurboProd};

/// The scalar S by which the codeword vector is multiplied, with ρ = ⟨u, c⟩/d and ‖c‖² divided by d.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleRule {
    /// S = 1.
    None,
    /// S = ρ/‖c‖²: least squares.
    Mse,
    /// S = 1/ρ: the inner product with the row itself is exact, with every other vector unbiased.
    Unbiased,
}

impl ScaleRule {
    /// `none`, `mse` or `unbiased`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mse => "mse",
            Self::Unbiased => "unbiased",
        }
    }

    /// S; 0 where c is 0 or points away from u, so that such a row decodes to zeros.
    pub fn scale(self, rho: f64, squared_norm: f64) -> f64 {
        match self {
            Self::None => 1.0,
            _ if rho <= 0.0 || squared_norm <= 0.0 => 0.0,
            Self::Mse => rho / squared_norm,
            Self::Unbiased => 1.0 / rho,
        }
    }
}

/// What the parameters of a method say of its codes, before anything is built.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The fields of a row.
    pub layout: Layout,
    /// The scale rules it can have, as [`Method::scales`].
    pub scales: &'static [ScaleRule],
    /// The block size, the default filled in, where the method has blocks.
    pub block: Option<usize>,
    /// The scalars of a row besides its scale; a method itself asks for γ at most.
    pub scalars: Scalars,
}

/// The shape of a method's codes: every error that its construction could give, at no cost.
pub fn shape(method: &str, dim: usize, bits: f64, block: Option<usize>) -> Result<Shape> {
    let shape = match method {
        "blockquant" => BlockQuant::shape(dim, bits, block)?,
        "eden" => Eden::shape(dim, bits)?,
        "turboquant/mse" => TurboMse::shape(dim, bits)?,
        "turboquant/prod" => TurboProd::shape(dim, bits)?,
        "rabitq" => RaBitQ::shape(dim, bits)?,
        other => return Err(unknown(other)),
    };
    if block.is_some() && shape.block.is_none() {
        return Err(Error::invalid(format!(
            "block is not an option of {method}"
        )));
    }
    Ok(shape)
}

/// The error for a name that is no method's.
pub(crate) fn unknown(method: &str) -> Error {
    Error::invalid(format!(
        "unknown method {method:?}, expected blockquant, eden, turboquant/mse, turboquant/prod or rabitq"
    ))
}

/// Buffers of [`Method::assign`], kept from row to row.
#[derive(Debug, Default, Clone)]
pub struct Workspace {
    /// Buffers of RaBitQ's search.
    pub rescale: rescale::Workspace,
    /// Vectors of d values.
    pub vectors: Vec<f32>,
}

/// The middle step of the pipeline.
pub trait Method: Debug + Send + Sync {
    /// The name in the registry, without the scale rule.
    fn name(&self) -> &'static str;

    /// The fields of a row.
    fn layout(&self) -> &Layout;

    /// The scale rules it can have, the default first; none where the method has a rule of its own (S = 1).
    fn scales(&self) -> &'static [ScaleRule];

    /// Whether a row also stores γ, the norm of the residual.
    fn has_residual_norm(&self) -> bool {
        false
    }

    /// Chooses the indexes for u.
    fn assign(&self, isa: Isa, u: &[f32], work: &mut Workspace, index: &mut [u16]);

    /// Chooses what belongs to the residual of several rows, after [`Method::assign`] of each, and writes their γ; changes u.
    fn assign_residual(
        &self,
        _isa: Isa,
        _u: &mut [f32],
        _work: &mut Workspace,
        _index: &mut [u16],
        _gamma: &mut [f32],
    ) {
    }

    /// The codeword vector c of these indexes, in a fixed multiple of u's units, without the part that γ belongs to.
    fn codewords(&self, isa: Isa, index: &[u16], c: &mut [f32]);

    /// Adds the part that γ belongs to to the codeword vectors of several rows, in u's units.
    fn add_residual(
        &self,
        _isa: Isa,
        _index: &[u16],
        _gamma: &[f32],
        _work: &mut Workspace,
        _c: &mut [f32],
    ) {
    }

    /// Length of the vectors of [`Method::expand`].
    fn expanded_len(&self, dim: usize) -> usize {
        dim
    }

    /// A vector whose inner product with [`Method::prepare`]d y is ⟨û, y⟩, û the codeword vector with its residual part.
    fn expand(&self, isa: Isa, index: &[u16], _gamma: f32, out: &mut [f32]) {
        self.codewords(isa, index, out);
    }

    /// The levels, of a method whose one field is an index a coordinate and whose expansions are its codeword vectors.
    fn levels(&self) -> Option<&Levels> {
        None
    }

    /// The products of the expansions of some packed rows with a vector, if the method has a way to them without expanding, as those with
    /// [levels](Method::levels) do: the same bits as [`dot`](crate::kernels::reduce::dot).
    fn products(
        &self,
        isa: Isa,
        rows: [&[u8]; ROWS_PER_CALL],
        y: &[f32],
        _index: &mut Vec<u16>,
    ) -> Option<[f32; ROWS_PER_CALL]> {
        let levels = self.levels()?;
        let width = self
            .layout()
            .fields()
            .first()
            .map_or(0, |field| field.width);
        if !(1..=MAX_LEVEL_BITS).contains(&width) {
            return None;
        }
        let mut out = [0.0; ROWS_PER_CALL];
        asymmetric::level_products(isa, rows, width, levels, y, &mut out);
        Some(out)
    }

    /// The query's side of [`Method::expand`]: `y` rotated, in `out`'s first d places; fills the others.
    fn prepare(&self, _isa: Isa, _dim: usize, _out: &mut [f32]) {}

    /// The block's codebook, K × p, or the levels, K × 1.
    fn codebook(&self) -> (Vec<f32>, usize);

    /// The tail's codebook, K × t, where there is a tail.
    fn tail_codebook(&self) -> Option<(Vec<f32>, usize)> {
        None
    }
}

/// Whole bits a coordinate, for the methods that need them.
fn whole_bits(method: &str, bits: f64, most: u32) -> Result<u32> {
    if bits.fract() == 0.0 && (1.0..=f64::from(most)).contains(&bits) {
        Ok(bits as u32)
    } else {
        Err(Error::invalid(format!(
            "bits={bits} for {method}, expected a whole number from 1 to {most}"
        )))
    }
}

/// The shape of a method of one index a coordinate.
fn scalar_shape(dim: usize, width: u32, scales: &'static [ScaleRule]) -> Shape {
    Shape {
        layout: Layout::new([Field { count: dim, width }]),
        scales,
        block: None,
        scalars: Scalars::default(),
    }
}
