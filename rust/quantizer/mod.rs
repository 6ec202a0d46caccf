//! The pipeline that is the same for every method.
//!
//! x → ‖x‖, x/‖x‖ → u = √d·R x/‖x‖ → [`Method::assign`] → c, ρ = ⟨u, c⟩/d, ‖c‖²/d → s = ‖x‖·S → packed bits (`encode.rs`).
//! Back: x̂ = s·Rᵀ c/√d, and inner products without going back (`decode.rs`). With a center μ the
//! residual r = x − μ takes the place of x in all of this, and μ is added to what is decoded; the
//! queries are centered too (`query.rs`). Rows are independent of each other, so the bytes are the
//! same for any number of threads and any batch. Memory besides the result is a few rows per
//! thread: each row goes through all steps while it is in the first-level cache, or
//! [`VECTORS_PER_BATCH`](crate::kernels::dense::VECTORS_PER_BATCH) rows together where a dense matrix is read once for all.

use crate::codes::Scalars;
use crate::error::{Error, Result, counted};
use crate::kernels::dense;
use crate::methods::{
    self, BlockQuant, Eden, Method, RaBitQ, ScaleRule, Shape, TurboMse, TurboProd, Workspace,
};
use crate::rotation::{Rotation, RotationKind};

mod decode;
mod encode;
mod interval;
mod load;
mod query;
mod search;

/// Rows that a thread takes at a time where they go through the steps one by one.
const CHUNK: usize = 48;

/// Most coordinates of a row: memory is O(d), 400 MiB at the most.
pub const MOST_DIM: usize = 1 << 24;
/// Most coordinates with a dense matrix (`haar`, `prod`): memory is O(d²), 4 GiB.
pub const MOST_DENSE: usize = 1 << 15;

/// What names a quantizer: with these values it is the same for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// `blockquant`, `eden`, `turboquant/mse`, `turboquant/prod` or `rabitq`.
    pub method: String,
    /// Coordinates of a row.
    pub dim: usize,
    /// Bits a coordinate.
    pub bits: f64,
    /// `none`, `mse` or `unbiased`; the method's default where none is named.
    pub scale: Option<String>,
    /// Block size of BlockQuant; the default where none is named.
    pub block: Option<usize>,
    /// Which rotation.
    pub rotation: RotationKind,
    /// Seed of everything random.
    pub seed: u64,
    /// Whether codes keep the norms of the rows.
    pub store_norm: bool,
    /// μ, which is subtracted from each row before all else, `dim` finite values; none is the origin.
    pub center: Option<Vec<f32>>,
}

impl Spec {
    /// What the codes will look like, and the scale rule; every parameter is checked, nothing is built.
    ///
    /// # Errors
    /// If one is out of range: [`Quantizer::new`] then gives the same error.
    pub fn shape(&self) -> Result<(Shape, ScaleRule)> {
        let shape = self.shape_of(self.center.is_some())?;
        check_center(self.center.as_deref(), self.dim)?;
        Ok(shape)
    }

    /// [`Spec::shape`] as if there were a center, or none.
    pub(crate) fn shape_of(&self, centered: bool) -> Result<(Shape, ScaleRule)> {
        let dim = self.dim;
        if dim == 0 {
            return Err(Error::invalid("dim is 0, expected at least 1"));
        }
        if dim > MOST_DIM {
            return Err(Error::invalid(format!(
                "dim={dim}, expected 1 to {MOST_DIM}"
            )));
        }
        let mut shape = methods::shape(&self.method, dim, self.bits, self.block)?;
        let has_gamma = shape.scalars.residual_norm;
        let dense = self.rotation == RotationKind::Haar || has_gamma;
        if dense && dim > MOST_DENSE {
            return Err(Error::invalid(format!(
                "dim={dim} with a dense matrix, expected 1 to {MOST_DENSE}"
            )));
        }
        let scale = choose_scale(&self.method, shape.scales, self.scale.as_deref())?;
        let unbiased = has_gamma || scale == ScaleRule::Unbiased;
        shape.scalars = Scalars {
            norm: self.store_norm && !centered,
            residual_norm: has_gamma || (self.store_norm && centered),
            center_product: centered && (self.store_norm || unbiased),
        };
        Ok((shape, scale))
    }

    /// [`Spec::shape`], and the defaults filled in.
    pub(crate) fn fill(&mut self) -> Result<(Shape, ScaleRule)> {
        let (shape, scale) = self.shape()?;
        self.block = shape.block;
        self.scale = (!shape.scales.is_empty()).then(|| scale.name().to_owned());
        Ok((shape, scale))
    }
}

/// A method with its rotation and scale rule.
#[derive(Debug)]
pub struct Quantizer {
    spec: Spec,
    scale: ScaleRule,
    scalars: Scalars,
    rotation: Rotation,
    method: Box<dyn Method>,
}

/// Buffers of one thread, for a batch of rows.
#[derive(Default)]
struct Buffers {
    /// Rows in u's units.
    u: Vec<f32>,
    /// Norms of what is quantized.
    norms: Vec<f64>,
    /// ⟨μ, x − μ⟩ of rows, ⟨μ, y⟩ of queries, where there is a center μ.
    center_products: Vec<f64>,
    index: Vec<u16>,
    /// A codeword vector.
    c: Vec<f32>,
    scratch: Vec<f32>,
    work: Workspace,
}

impl Quantizer {
    /// Builds codebook and rotation.
    pub fn new(mut spec: Spec) -> Result<Self> {
        let (shape, scale) = spec.fill()?;
        let Spec {
            dim,
            bits,
            block,
            seed,
            ..
        } = spec;
        let method: Box<dyn Method> = match spec.method.as_str() {
            "blockquant" => Box::new(BlockQuant::new(dim, bits, block)?),
            "eden" => Box::new(Eden::new(dim, bits)?),
            "turboquant/mse" => Box::new(TurboMse::new(dim, bits)?),
            "turboquant/prod" => Box::new(TurboProd::new(dim, bits, seed)?),
            "rabitq" => Box::new(RaBitQ::new(dim, bits)?),
            other => return Err(methods::unknown(other)),
        };
        let rotation = Rotation::new(spec.rotation, dim, seed)?;
        Ok(Self {
            spec,
            scale,
            scalars: shape.scalars,
            rotation,
            method,
        })
    }

    /// What it was built from, with the defaults filled in.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The scale rule.
    pub fn scale(&self) -> ScaleRule {
        self.scale
    }

    /// The method.
    pub fn method(&self) -> &dyn Method {
        &*self.method
    }

    /// The rotation.
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// The scalars that a row has besides its scale.
    pub fn scalars(&self) -> Scalars {
        self.scalars
    }

    /// Rows that a thread takes at a time: fewer where each costs a product with a dense matrix.
    fn chunk(&self) -> usize {
        if self.batch() > 1 {
            self.batch()
        } else {
            CHUNK
        }
    }

    /// Rows that go through each step together.
    fn batch(&self) -> usize {
        let residual = if self.method.has_residual_norm() {
            dense::VECTORS_PER_BATCH
        } else {
            1
        };
        self.rotation.batch().max(residual)
    }
}

fn choose_scale(method: &str, allowed: &[ScaleRule], name: Option<&str>) -> Result<ScaleRule> {
    let Some(name) = name else {
        return Ok(allowed.first().copied().unwrap_or(ScaleRule::None));
    };
    let found = allowed.iter().copied().find(|rule| rule.name() == name);
    found.ok_or_else(|| {
        let names: Vec<_> = allowed.iter().map(|rule| rule.name()).collect();
        Error::invalid(match names.as_slice() {
            [] => format!("{method} has a fixed scale, scale={name:?} is not an option"),
            _ => format!("scale={name:?} for {method}, expected {}", names.join(", ")),
        })
    })
}

fn check_center(center: Option<&[f32]>, dim: usize) -> Result<()> {
    let Some(center) = center else { return Ok(()) };
    if center.len() != dim {
        return Err(Error::invalid(format!(
            "center has {}, expected dim={dim}",
            counted(center.len(), "value")
        )));
    }
    match center.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(column) => Err(Error::invalid(format!(
            "center: column {column} is {}, expected a finite float32 value",
            center[column]
        ))),
    }
}

fn check_dim(found: usize, expected: usize) -> Result<()> {
    if found != expected {
        return Err(Error::invalid(format!(
            "rows have {}, expected dim={expected}",
            counted(found, "column")
        )));
    }
    Ok(())
}
