//! The pipeline, which is the same for every method: rows become codes, and codes become rows,
//! inner products and hits.
//!
//! ```text
//! encode:  x → ‖x‖, x/‖x‖ → u = √d·R x/‖x‖ → assign → c, ρ = ⟨u, c⟩/d, ‖c‖²/d → s = ‖x‖·S → bytes
//! decode:  x̂ = s·Rᵀ c/√d
//! ```
//!
//! [`Method::assign`] chooses the codewords c (`encode.rs`, `load.rs`), if it is asked for of
//! several multiples of u (`scale_search.rs`). Inner products and search work on the codes and do
//! not decode them (`query.rs`, `search.rs`, `interval.rs`). With a center μ the residual r = x − μ
//! takes the place of x, μ is added to what is decoded, and the queries are centered too.
//!
//! **Contract.** Rows are independent of each other, so the bytes are the same for any number of
//! threads and any batch.
//!
//! **Cost.** Besides the result, each thread has the memory of a few rows. Each row goes through
//! all steps while it is in the first-level cache. Only if a dense matrix is needed do
//! [`VECTORS_PER_BATCH`](crate::kernels::dense::VECTORS_PER_BATCH) rows go together, so that the
//! matrix is read once for all of them.

use crate::aligned::Aligned;
use crate::codes::Scalars;
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::kernels::{dense, reduce};
use crate::methods::{self, Entry, Method, Parameters, ScaleRule, Scales, Shape, Workspace};
use crate::rotation::{Rotation, RotationKind};
use crate::scan::bounds::Tables;
use crate::threads::forked::ForkCell;

mod decode;
mod encode;
mod interval;
mod load;
mod query;
mod scale_search;
mod search;

pub use scale_search::MAX_SCALES;
pub use search::Request;

/// Rows that a thread takes at a time if they go through the steps one by one.
const ROWS_PER_CHUNK: usize = 48;

/// The most coordinates of a row: memory is O(d), at most 400 MiB.
pub const MAX_DIM: usize = 1 << 24;
/// The most coordinates with a dense matrix (`haar`, `prod`): memory is O(d²), at most 4 GiB.
pub const MAX_DENSE_DIM: usize = 1 << 15;

/// The parameters of a quantizer. Equal parameters always give the same quantizer, in every
/// version.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// A name of [`METHODS`](methods::METHODS).
    pub method: String,
    /// Coordinates of a row.
    pub dim: usize,
    /// Bits per coordinate.
    pub bits: f64,
    /// `none`, `mse` or `unbiased`; the default of the method if it is not given.
    pub scale: Option<String>,
    /// The block size of BlockQuant; the default if it is not given.
    pub block: Option<usize>,
    /// The number of states of a trellis; the default if it is not given.
    pub states: Option<usize>,
    /// How many scales of each row are searched for the best codewords, an odd number up to
    /// [`MAX_SCALES`]; only its own scale if it is 1 or not given. More take time when encoding
    /// and lower the error from 3 bits per coordinate on, most in few dimensions. Codes are read
    /// alike whatever it is.
    pub scale_search: Option<usize>,
    /// The kind of rotation.
    pub rotation: RotationKind,
    /// The seed of everything random.
    pub seed: u64,
    /// Whether codes keep the norms of the rows.
    pub store_norm: bool,
    /// The center μ, which is subtracted from each row first: `dim` finite values.
    pub center: Option<Vec<f32>>,
}

impl Spec {
    /// A method for `dim` coordinates per row at `bits` bits per coordinate. All else is the
    /// default: the scale rule and the block size of the method, no search over scales, the
    /// Hadamard rotation, seed 0, no stored norms and no center.
    ///
    /// ```
    /// use blockquant::Spec;
    ///
    /// let spec = Spec {
    ///     scale: Some("mse".into()),
    ///     ..Spec::new("eden", 64, 2.0)
    /// };
    /// assert_eq!((spec.dim, spec.seed), (64, 0));
    /// ```
    pub fn new(method: impl Into<String>, dim: usize, bits: f64) -> Self {
        Self {
            method: method.into(),
            dim,
            bits,
            scale: None,
            block: None,
            states: None,
            scale_search: None,
            rotation: RotationKind::Hadamard,
            seed: 0,
            store_norm: false,
            center: None,
        }
    }

    fn parameters(&self) -> Parameters {
        Parameters {
            dim: self.dim,
            bits: self.bits,
            block: self.block,
            states: self.states,
            seed: self.seed,
        }
    }

    /// The shape of the codes and the scale rule. Every parameter is checked, and nothing is built.
    ///
    /// # Errors
    /// If a parameter is out of range. [`Quantizer::new`] then gives the same error.
    pub fn shape(&self) -> Result<(Shape, ScaleRule)> {
        let shape = self.shape_of(self.center.is_some())?;
        check_center(self.center.as_deref(), self.dim)?;
        Ok(shape)
    }

    /// [`Spec::shape`] with or without a center, whatever `center` is.
    pub(crate) fn shape_of(&self, centered: bool) -> Result<(Shape, ScaleRule)> {
        let dim = self.dim;
        if dim == 0 {
            return Err(Error::invalid("dim is 0, expected at least 1"));
        }
        if dim > MAX_DIM {
            return Err(Error::invalid(format!(
                "dim={dim}, expected 1 to {MAX_DIM}"
            )));
        }
        let entry = methods::find(&self.method)?;
        let mut shape = entry.shape(self.parameters())?;
        let has_gamma = shape.has_gamma;
        let dense = self.rotation == RotationKind::Haar || has_gamma;
        if dense && dim > MAX_DENSE_DIM {
            return Err(Error::invalid(format!(
                "dim={dim} with a dense matrix, expected 1 to {MAX_DENSE_DIM}"
            )));
        }
        let scale = choose_scale(entry, self.scale.as_deref())?;
        scale_search::check(entry, scale, self.bits, self.scale_search)?;
        shape.scalars = Scalars {
            norm: self.store_norm && !centered,
            residual_norm: has_gamma || (self.store_norm && centered),
            center_product: centered && (self.store_norm || is_unbiased(has_gamma, scale)),
        };
        Ok((shape, scale))
    }

    /// [`Spec::shape`], which also fills in the defaults.
    pub(crate) fn fill(&mut self) -> Result<(Shape, ScaleRule)> {
        let (shape, scale) = self.shape()?;
        self.block = shape.block;
        self.states = shape.states;
        self.scale_search = self.scale_search.filter(|&count| count != 1);
        self.scale = match methods::find(&self.method)?.scales {
            Scales::Choice(_) => Some(scale.name().to_owned()),
            Scales::Own(_) => None,
        };
        Ok((shape, scale))
    }
}

/// A method with its rotation and scale rule.
#[derive(Debug)]
pub struct Quantizer {
    spec: Spec,
    entry: &'static Entry,
    scale: ScaleRule,
    shape: Shape,
    rotation: Rotation,
    method: Box<dyn Method>,
    /// ‖μ‖², 0 without a center.
    center_square: f64,
    /// What searches need of the codebook, made by the first of them.
    tables: ForkCell<Option<Tables>>,
}

/// Buffers for a batch of rows, of which each thread has its own.
#[derive(Default)]
struct Buffers {
    /// The rotated rows, in the units of u.
    u: Aligned<f32>,
    /// The norms of what is quantized.
    norms: Vec<f64>,
    /// ⟨μ, x − μ⟩ of rows or ⟨μ, y⟩ of queries, if there is a center μ.
    center_products: Vec<f64>,
    index: Vec<u16>,
    /// A codeword vector.
    c: Vec<f32>,
    scratch: Vec<f32>,
    work: Workspace,
    trial: scale_search::Trial,
}

impl Quantizer {
    /// Builds the codebook and the rotation.
    pub fn new(mut spec: Spec) -> Result<Self> {
        let (shape, scale) = spec.fill()?;
        let entry = methods::find(&spec.method)?;
        let method = entry.build(spec.parameters())?;
        let rotation = Rotation::new(spec.rotation, spec.dim, spec.seed)?;
        // Every instruction set gives the same bits.
        let square = |center: &[f32]| reduce::squared_norm(Isa::Scalar, center);
        let center_square = spec.center.as_deref().map_or(0.0, square);
        Ok(Self {
            spec,
            entry,
            scale,
            shape,
            rotation,
            method,
            center_square,
            tables: ForkCell::new(),
        })
    }

    /// The parameters, with the defaults filled in.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The scale rule.
    pub fn scale(&self) -> ScaleRule {
        self.scale
    }

    /// The name of the scale rule, also of one that only this method has.
    pub fn scale_name(&self) -> &'static str {
        match self.entry.scales {
            Scales::Choice(_) => self.scale.name(),
            Scales::Own(name) => name,
        }
    }

    /// What the codes look like.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The method.
    pub fn method(&self) -> &dyn Method {
        &*self.method
    }

    /// The rotation.
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// The scalars of a row besides its scale.
    pub fn scalars(&self) -> Scalars {
        self.shape.scalars
    }

    /// Rows that a thread takes at a time: fewer if each needs a product with a dense matrix.
    fn chunk(&self) -> usize {
        match self.dense_batch() {
            1 => ROWS_PER_CHUNK,
            batch => batch,
        }
    }

    /// Rows that go through each step together.
    fn batch(&self) -> usize {
        self.dense_batch().max(self.method.rows())
    }

    /// Rows that are multiplied with a dense matrix together; 1 without one.
    fn dense_batch(&self) -> usize {
        let residual = if self.shape.has_gamma {
            dense::VECTORS_PER_BATCH
        } else {
            1
        };
        self.rotation.batch().max(residual)
    }
}

/// Whether ⟨x̂, y⟩ is unbiased over rotations.
fn is_unbiased(has_gamma: bool, scale: ScaleRule) -> bool {
    has_gamma || scale == ScaleRule::Unbiased
}

fn choose_scale(entry: &Entry, name: Option<&str>) -> Result<ScaleRule> {
    let (method, allowed) = (entry.name, entry.scales.choice());
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
