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

use std::sync::Arc;

use crate::aligned::Aligned;
use crate::axes::Axes;
use crate::codes::{Layout, Scalars};
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::kernels::{dense, reduce};
use crate::methods::{self, Entry, Method, Parameters, ScaleRule, Scales, Shape, Workspace};
use crate::rng::SeedStream;
use crate::rotation::{Rotation, RotationKind};
use crate::scan::bounds::Tables;
use crate::threads::forked::ForkCell;

use allocation::Allocation;
use fitted::GroupScalars;
use part::Part;

mod allocation;
mod decode;
mod encode;
mod fitted;
mod interval;
mod interval_groups;
mod load;
mod part;
mod query;
mod scale_search;
mod search;

pub use allocation::{EXTRA_BYTES, Group};
pub use fitted::{Criterion, MAX_GROUPS};
pub use scale_search::MAX_SCALES;
pub use search::Request;

/// Rows that a thread takes at a time if they go through the steps one by one.
const ROWS_PER_CHUNK: usize = 48;

/// The most coordinates of a row: memory is O(d), at most 400 MiB.
pub const MAX_DIM: usize = 1 << 24;
/// The most bits per coordinate with fitted axes.
pub const MAX_FITTED_BITS: u32 = 8;
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
    /// The center μ, which is subtracted from each row first: `dim` finite values. Fitted axes have
    /// a center of their own.
    pub center: Option<Vec<f32>>,
    /// Fitted axes, with which rows are coded along axes of their own, groups of which have rates
    /// of their own. `bits` then says what a row takes: at most ⌊dim·bits/8⌋ + [`EXTRA_BYTES`]
    /// bytes, with all its scalars.
    pub axes: Option<Arc<Axes>>,
    /// What the bits of fitted axes are given for; [`Criterion::Recall`] if it is not given.
    pub criterion: Option<Criterion>,
    /// The groups of the axes by falling variance, in place of those that follow from the
    /// criterion.
    pub groups: Option<Vec<Group>>,
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
            axes: None,
            criterion: None,
            groups: None,
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
        let mut spec = self.clone();
        spec.fill()
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

    /// The shape of codes along fitted axes. Fills in the criterion and the groups, and leaves out
    /// the axes without bits.
    fn fill_axes(&mut self, axes: &Axes) -> Result<(Shape, ScaleRule)> {
        if axes.dim() != self.dim {
            return Err(Error::invalid(format!(
                "axes of rows of {}, expected dim={}",
                counted(axes.dim(), "coordinate"),
                self.dim
            )));
        }
        for (name, is_given) in [
            ("center", self.center.is_some()),
            ("block", self.block.is_some()),
            ("scale_search", self.scale_search.is_some()),
        ] {
            if is_given {
                return Err(Error::invalid(format!(
                    "{name} is not an option beside fitted axes"
                )));
            }
        }
        let entry = methods::find(&self.method)?;
        if entry.has_gamma {
            return Err(Error::invalid(format!(
                "{} has no codes along fitted axes, because it keeps γ of each row",
                entry.name
            )));
        }
        if !(self.bits > 0.0 && self.bits <= f64::from(MAX_FITTED_BITS)) {
            return Err(Error::invalid(format!(
                "bits={} with fitted axes, expected a number above 0, at most {MAX_FITTED_BITS}",
                self.bits
            )));
        }
        let scale = choose_scale(entry, self.scale.as_deref())?;
        let criterion = *self.criterion.get_or_insert(Criterion::Recall);
        if entry.has_states {
            let states = self.states;
            let parameters = Parameters {
                bits: 1.0,
                states,
                ..self.parameters()
            };
            self.states = entry.shape(parameters)?.states;
        } else if self.states.is_some() {
            return Err(Error::invalid(format!(
                "states is not an option of {}",
                entry.name
            )));
        }
        if self.groups.is_none() {
            let allocation = Allocation {
                axes,
                entry,
                scale,
                states: self.states,
                criterion,
                bits: self.bits,
                has_errors: self.store_norm,
            };
            self.groups = Some(allocation.groups()?);
        }
        let groups = self.groups.as_deref().unwrap_or_default();
        let layouts = allocation::layouts(groups, axes.kept(), self.states)?;
        let bytes: usize = layouts.iter().map(Layout::row_bytes).sum();
        let kept = groups.iter().map(|group| group.axes).sum();
        if kept < axes.kept() {
            self.axes = Some(Arc::new(axes.first(kept)));
        }
        let shape = Shape {
            layout: layouts.into_iter().next().unwrap_or_default(),
            row_bytes: bytes + GroupScalars::bytes_of(groups.len(), self.store_norm),
            block: None,
            states: self.states,
            has_gamma: false,
            scalars: Scalars::default(),
        };
        Ok((shape, scale))
    }

    /// [`Spec::shape`], which also fills in the defaults.
    pub(crate) fn fill(&mut self) -> Result<(Shape, ScaleRule)> {
        if let Some(axes) = self.axes.clone() {
            let (shape, scale) = self.fill_axes(&axes)?;
            self.fill_scale(scale)?;
            return Ok((shape, scale));
        }
        for (name, is_given) in [
            ("criterion", self.criterion.is_some()),
            ("groups", self.groups.is_some()),
        ] {
            if is_given {
                return Err(Error::invalid(format!(
                    "{name} is an option of fitted axes"
                )));
            }
        }
        let (shape, scale) = self.shape_of(self.center.is_some())?;
        check_center(self.center.as_deref(), self.dim)?;
        self.block = shape.block;
        self.states = shape.states;
        self.scale_search = self.scale_search.filter(|&count| count != 1);
        self.fill_scale(scale)?;
        Ok((shape, scale))
    }

    fn fill_scale(&mut self, scale: ScaleRule) -> Result<()> {
        self.scale = match methods::find(&self.method)?.scales {
            Scales::Choice(_) => Some(scale.name().to_owned()),
            Scales::Own(_) => None,
        };
        Ok(())
    }
}

/// A method with its rotation and scale rule.
#[derive(Debug)]
pub struct Quantizer {
    spec: Spec,
    entry: &'static Entry,
    scale: ScaleRule,
    shape: Shape,
    /// The whole row, or the groups of its axes.
    parts: Vec<Part>,
    /// What a row with fitted axes stores besides the codes of its groups.
    scalars: Option<GroupScalars>,
    /// ‖μ‖², 0 without a center.
    center_square: f64,
    /// What searches need of the codebook, made by the first of them.
    tables: ForkCell<Option<Tables>>,
}

/// What decoding a part of a row depends on.
pub(crate) struct PartRef<'a> {
    pub method: &'a dyn Method,
    pub rotation: &'a Rotation,
    pub layout: &'a Layout,
}

/// Buffers for a batch of rows, of which each thread has its own.
#[derive(Default)]
struct Buffers {
    /// The rotated rows, in the units of u, part by part.
    u: Aligned<f32>,
    /// The norms of what is quantized.
    norms: Vec<f64>,
    /// Fitted axes: rows, and their coordinates along the axes.
    rows: Aligned<f32>,
    coordinates: Aligned<f32>,
    /// ‖z_g‖/N of each row, group by group, h, and the errors.
    shares: Vec<f64>,
    gains: Vec<f64>,
    errors: Vec<f64>,
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
        let mut parts: Vec<Part> = Vec::new();
        for (place, group) in spec.groups.iter().flatten().enumerate() {
            let entry = methods::find(&group.method)?;
            // Groups have rotations of their own, which are independent.
            let seed = SeedStream::new(spec.seed, LABEL_GROUPS + place as u64).next_u64();
            let parameters = allocation::parameters(group, spec.states, entry, seed);
            let rule = (scale, None);
            parts.push(Part::new(
                entry,
                parameters,
                spec.rotation,
                rule,
                parts.last(),
            )?);
        }
        let mut scalars = None;
        match parts.last() {
            Some(last) => {
                let groups = parts.len();
                scalars = Some(GroupScalars::new(last.bytes.end, groups, spec.store_norm));
            }
            None => {
                let rule = (scale, spec.scale_search);
                parts.push(Part::new(
                    entry,
                    spec.parameters(),
                    spec.rotation,
                    rule,
                    None,
                )?);
            }
        }
        let mut quantizer = Self {
            spec,
            entry,
            scale,
            shape,
            parts,
            scalars,
            center_square: 0.0,
            tables: ForkCell::new(),
        };
        // Every instruction set gives the same bits.
        let square = |center: &[f32]| reduce::squared_norm(Isa::Scalar, center);
        quantizer.center_square = quantizer.center().map_or(0.0, square);
        Ok(quantizer)
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

    /// The method; with fitted axes that of the first group.
    pub fn method(&self) -> &dyn Method {
        &*self.first().method
    }

    /// The rotation; with fitted axes that of the first group.
    pub fn rotation(&self) -> &Rotation {
        &self.first().rotation
    }

    /// The center μ: the one that was given, or the mean of fitted axes.
    pub fn center(&self) -> Option<&[f32]> {
        let fitted = self.spec.axes.as_deref().map(Axes::mean);
        self.spec.center.as_deref().or(fitted)
    }

    /// The whole row, or the groups of its axes.
    pub(crate) fn parts(&self) -> impl Iterator<Item = PartRef<'_>> {
        self.parts.iter().map(|part| PartRef {
            method: &*part.method,
            rotation: &part.rotation,
            layout: &part.layout,
        })
    }

    fn first(&self) -> &Part {
        &self.parts[0]
    }

    /// The number of coordinates that are quantized: d, or the number of axes with bits.
    fn coded(&self) -> usize {
        self.parts.last().map_or(0, |part| part.place.end)
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
        let together = self.parts.iter().map(|part| part.method.rows());
        together.fold(self.dense_batch(), usize::max)
    }

    /// Rows that are multiplied with a dense matrix together; 1 without one.
    fn dense_batch(&self) -> usize {
        let is_dense = self.shape.has_gamma || self.spec.axes.is_some();
        let least = if is_dense {
            dense::VECTORS_PER_BATCH
        } else {
            1
        };
        let rotations = self.parts.iter().map(|part| part.rotation.batch());
        rotations.fold(least, usize::max)
    }
}

/// The label of the seeds of groups, the first of one for each.
const LABEL_GROUPS: u64 = 0x6772_6f75_7000;

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
