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
//! [`VECTORS_PER_BATCH`](crate::kernels::dense::VECTORS_PER_BATCH) rows go together, or
//! [`ROWS_PER_CALL`](crate::kernels::fixed::ROWS_PER_CALL) with fitted axes, so that the matrix is
//! read once for all of them.

use crate::aligned::Aligned;
use crate::axes::Axes;
use crate::codes::{Layout, Scalars};
use crate::error::{Error, Result, counted};
use crate::isa::Isa;
use crate::kernels::fixed::{self, Panels};
use crate::kernels::{dense, reduce};
use crate::methods::{self, Entry, Method, ScaleRule, Scales, Shape, Workspace};
use crate::rng::SeedStream;
use crate::rotation::Rotation;
use crate::scan::bounds::Tables;
use crate::threads::forked::ForkCell;

use fitted::GroupScalars;
use part::Part;

mod allocation;
mod decode;
mod distortion;
mod encode;
mod fitted;
mod groups;
mod interval;
mod interval_groups;
mod load;
mod part;
mod predicted;
mod query;
mod scale_search;
mod search;
mod spec;

pub use allocation::EXTRA_BYTES;
pub use fitted::{Criterion, MAX_GROUPS};
pub use groups::Group;
pub use predicted::{Losses, Predicted, PredictedGroup};
pub use scale_search::MAX_SCALES;
pub use search::Request;
pub use spec::{MAX_DENSE_DIM, MAX_DIM, MAX_FITTED_BITS, Spec};

/// Rows that a thread takes at a time if they go through the steps one by one.
const ROWS_PER_CHUNK: usize = 48;

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
    /// The axes that rows to encode are multiplied with, made when the first are encoded.
    fixed: ForkCell<Panels>,
    /// What searches need of the codebook, made by the first of them.
    tables: ForkCell<Option<Tables>>,
    /// What the model of fitted axes predicts, made when it is first asked for.
    expected: ForkCell<predicted::Expectation>,
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
    /// Fitted axes: rows, exact or in fixed point, and their coordinates along the axes.
    rows: Aligned<f32>,
    fixed: Aligned<i16>,
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
            let parameters = groups::parameters(group, spec.states, entry, seed);
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
            fixed: ForkCell::new(),
            tables: ForkCell::new(),
            expected: ForkCell::new(),
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
        let least = if self.spec.axes.is_some() {
            fixed::ROWS_PER_CALL
        } else if self.shape.has_gamma {
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

fn check_dim(found: usize, expected: usize) -> Result<()> {
    if found != expected {
        return Err(Error::invalid(format!(
            "rows have {}, expected dim={expected}",
            counted(found, "column")
        )));
    }
    Ok(())
}
