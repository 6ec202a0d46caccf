//! The methods: the middle step of the pipeline, and the table of what is known of each.
//!
//! A [`Method`] replaces u, the rotated row in unit-variance coordinates, by indexes, and indexes
//! by the codeword vector c. The [`Quantizer`](crate::Quantizer) does everything else (norm,
//! rotation, scale rule, packing, threads), in the same way for all methods. Methods never import
//! each other.
//!
//! [`METHODS`] is the only place that lists the methods. All code that is not a method's own reads
//! it, and so does Python.

use std::fmt::Debug;

use crate::codes::{Field, Layout, Scalars};
use crate::error::{Error, Result, did_you_mean};
use crate::isa::Isa;
use crate::kernels::asymmetric::{self, MAX_LEVEL_BITS, ROWS_PER_CALL};
use crate::kernels::quantize::{self, Levels};
use crate::kernels::rescale;
use crate::kernels::trellis::{self as path, Code};

mod blockquant;
mod eden;
mod rabitq;
mod scales;
mod trellis;
mod turboquant;

pub use blockquant::default_block;
pub use scales::{ScaleRule, Scales};

/// All methods. The first is the default of commands.
pub static METHODS: [Entry; 6] = [
    Entry {
        name: "blockquant",
        title: "BlockQuant",
        paper: "arXiv 2605.19972",
        scales: Scales::Choice(&[ScaleRule::Unbiased, ScaleRule::Mse, ScaleRule::None]),
        bits: Bits::Any { most: 16 },
        has_blocks: true,
        has_states: false,
        has_scale_search: true,
        has_gamma: false,
        layout: blockquant::layout,
        build: blockquant::build,
    },
    Entry {
        name: "eden",
        title: "EDEN",
        paper: "arXiv 2105.08339; ICML 2022",
        scales: Scales::Choice(&[ScaleRule::Unbiased, ScaleRule::Mse]),
        bits: Bits::Whole { most: 8 },
        has_blocks: false,
        has_states: false,
        has_scale_search: true,
        has_gamma: false,
        layout: one_field,
        build: eden::build,
    },
    Entry {
        name: "turboquant/mse",
        title: "TurboQuant (Algorithm 1)",
        paper: "arXiv 2504.19874",
        scales: Scales::Own("none"),
        bits: Bits::Whole { most: 8 },
        has_blocks: false,
        has_states: false,
        has_scale_search: false,
        has_gamma: false,
        layout: one_field,
        build: turboquant::build_mse,
    },
    Entry {
        name: "turboquant/prod",
        title: "TurboQuant (Algorithm 2)",
        paper: "arXiv 2504.19874",
        scales: Scales::Own("prod"),
        bits: Bits::Whole { most: 8 },
        has_blocks: false,
        has_states: false,
        has_scale_search: false,
        has_gamma: true,
        layout: turboquant::prod_layout,
        build: turboquant::build_prod,
    },
    Entry {
        name: "rabitq",
        title: "RaBitQ",
        paper: "arXiv 2405.12497, 2409.09913",
        scales: Scales::Choice(&[ScaleRule::Unbiased, ScaleRule::Mse]),
        bits: Bits::Whole { most: 8 },
        has_blocks: false,
        has_states: false,
        has_scale_search: false,
        has_gamma: false,
        layout: one_field,
        build: rabitq::build,
    },
    Entry {
        name: "trellis",
        title: "Trellis",
        paper: "trellis-coded quantization, IEEE Trans. Commun. 38(1), 1990",
        scales: Scales::Choice(&[ScaleRule::Unbiased, ScaleRule::Mse, ScaleRule::None]),
        bits: Bits::Halves { most: 4 },
        has_blocks: false,
        has_states: true,
        has_scale_search: false,
        has_gamma: false,
        layout: trellis::layout,
        build: trellis::build,
    },
];

/// What is known of a method before it is built.
#[derive(Debug)]
pub struct Entry {
    /// The name that [`Spec`](crate::Spec) takes. A variant follows after a slash.
    pub name: &'static str,
    /// The name in text.
    pub title: &'static str,
    /// The papers that define the method.
    pub paper: &'static str,
    /// The scale rules that it can have.
    pub scales: Scales,
    /// The bits per coordinate that it can have.
    pub bits: Bits,
    /// Whether it quantizes blocks of coordinates, whose size is then a parameter.
    pub has_blocks: bool,
    /// Whether it follows a path through states, whose number is then a parameter.
    pub has_states: bool,
    /// Whether the [search over scales](crate::Spec::scale_search) is an option: its codewords are
    /// the nearest ones, and other codewords may point more nearly in the direction of u.
    pub has_scale_search: bool,
    /// Whether each row also stores γ, the norm of a residual that the method quantizes itself.
    pub has_gamma: bool,
    /// The fields of a row, with the defaults of parameters.
    layout: fn(Parameters) -> Result<Blueprint>,
    /// Builds the method.
    build: fn(Parameters) -> Result<Box<dyn Method>>,
}

/// The bits per coordinate that a method can have.
#[derive(Debug, Clone, Copy)]
pub enum Bits {
    /// Whole numbers from 1.
    Whole {
        /// The largest.
        most: u32,
    },
    /// Multiples of one half.
    Halves {
        /// The largest.
        most: u32,
    },
    /// Positive numbers, fractions included.
    Any {
        /// The largest.
        most: u32,
    },
}

/// The parameters that a method is built from.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// Coordinates per row.
    pub dim: usize,
    /// Bits per coordinate.
    pub bits: f64,
    /// The block size, or none for the default.
    pub block: Option<usize>,
    /// The number of states, or none for the default.
    pub states: Option<usize>,
    /// The seed of everything random.
    pub seed: u64,
}

impl Parameters {
    /// The bits per coordinate of a method that takes whole numbers only.
    fn width(self) -> u32 {
        self.bits as u32
    }
}

impl Entry {
    /// The numbers of states that it can have, none for a method without states.
    pub fn states(&self) -> Vec<usize> {
        match self.has_states {
            true => trellis::states(),
            false => Vec::new(),
        }
    }

    /// The shape of the codes. It follows from the parameters, so nothing is built.
    ///
    /// # Errors
    /// If a parameter is out of range for the method.
    pub fn shape(&self, parameters: Parameters) -> Result<Shape> {
        let Parameters {
            bits,
            block,
            states,
            ..
        } = parameters;
        let (step, most, kind) = match self.bits {
            Bits::Whole { most } => (1.0, most, "a whole number"),
            Bits::Halves { most } => (0.5, most, "a multiple of .5"),
            Bits::Any { .. } => (0.0, 0, ""),
        };
        if step > 0.0 && !((bits / step).fract() == 0.0 && (step..=f64::from(most)).contains(&bits))
        {
            return Err(Error::invalid(format!(
                "bits={bits} for {}, expected {kind} from {step} to {most}",
                self.name
            )));
        }
        if block.is_some() && !self.has_blocks {
            return Err(Error::invalid(format!(
                "block is not an option of {}",
                self.name
            )));
        }
        if states.is_some() && !self.has_states {
            return Err(Error::invalid(format!(
                "states is not an option of {}",
                self.name
            )));
        }
        let Blueprint {
            layout,
            block,
            states,
        } = (self.layout)(parameters)?;
        Ok(Shape {
            layout,
            block,
            states,
            has_gamma: self.has_gamma,
            scalars: Scalars {
                residual_norm: self.has_gamma,
                ..Scalars::default()
            },
        })
    }

    /// Builds the method.
    ///
    /// # Errors
    /// As [`Entry::shape`].
    pub fn build(&self, parameters: Parameters) -> Result<Box<dyn Method>> {
        self.shape(parameters)?;
        (self.build)(parameters)
    }
}

/// The method of this name.
///
/// # Errors
/// If there is none. The text suggests a name that is close.
pub fn find(name: &str) -> Result<&'static Entry> {
    let found = METHODS.iter().find(|entry| entry.name == name);
    found.ok_or_else(|| {
        let names = METHODS.each_ref().map(|entry| entry.name);
        Error::invalid(format!(
            "unknown method {name:?}, {}expected one of {}",
            did_you_mean(name, &names),
            names.join(", ")
        ))
    })
}

/// What a method makes of its parameters.
struct Blueprint {
    /// The fields of a row.
    layout: Layout,
    /// [`Shape::block`].
    block: Option<usize>,
    /// [`Shape::states`].
    states: Option<usize>,
}

impl Blueprint {
    /// A row of these fields, by a method without further parameters.
    fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        Self {
            layout: Layout::new(fields),
            block: None,
            states: None,
        }
    }
}

/// What the codes of a quantizer look like.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The fields of a row.
    pub layout: Layout,
    /// The block size, the default filled in, where the method has blocks.
    pub block: Option<usize>,
    /// The number of states, the default filled in, where the method has states.
    pub states: Option<usize>,
    /// Whether the residual norm of a row is the γ of the method ([`Entry::has_gamma`]).
    pub has_gamma: bool,
    /// The scalars of a row besides its scale.
    pub scalars: Scalars,
}

/// Buffers of [`Method::assign`], kept from row to row.
#[derive(Debug, Default, Clone)]
pub struct Workspace {
    /// Buffers of the search for the best rescaling.
    pub rescale: rescale::Workspace,
    /// Vectors of d values.
    pub vectors: Vec<f32>,
    /// Buffers of the search for a path.
    pub path: path::Workspace,
    /// Packed bytes of a few rows.
    pub bytes: Vec<u8>,
}

/// How a packed row names its codewords.
#[derive(Debug, Clone, Copy)]
pub enum RowsOf<'a> {
    /// By the indexes of its fields: those of the first field are of the codebook, and those of the
    /// second one of the codebook of the tail. A vector that γ belongs to may follow.
    Indexes,
    /// As a path through the trellis of this code. Its indexes name nothing one by one.
    Path(&'a Code),
}

/// The middle step of the pipeline.
///
/// **Assign**: u to indexes ([`assign`](Method::assign)), and for a method that quantizes its own
/// residual, residuals to indexes and γ.
///
/// **Decode**: indexes to the codeword vector c, plus the part that γ belongs to.
///
/// **Asymmetric inner products**: the query is not quantized. With û the codeword vector including
/// the part that γ belongs to,
///
/// ```text
/// ⟨û, y⟩ = ⟨expand(index, γ), prepare(y)⟩
/// ```
pub trait Method: Debug + Send + Sync {
    // Assign.

    /// The rows that [`Method::assign`] takes together at most.
    fn rows(&self) -> usize {
        1
    }

    /// Chooses the indexes for u: for one row or, one after the other, for up to
    /// [`Method::rows`].
    fn assign(&self, isa: Isa, u: &[f32], work: &mut Workspace, index: &mut [u16]);

    /// Chooses the indexes of the residuals of several rows, after [`Method::assign`] of each row,
    /// and writes their γ. Changes u.
    fn assign_residual(
        &self,
        _isa: Isa,
        _u: &mut [f32],
        _work: &mut Workspace,
        _index: &mut [u16],
        _gamma: &mut [f32],
    ) {
    }

    // Decode.

    /// The codeword vector c of these indexes, in a fixed multiple of u's units, without the part
    /// that γ belongs to.
    fn codewords(&self, isa: Isa, index: &[u16], c: &mut [f32]);

    /// Adds the part with the factor γ to the codeword vectors of several rows, in u's units.
    fn add_residual(
        &self,
        _isa: Isa,
        _index: &[u16],
        _gamma: &[f32],
        _work: &mut Workspace,
        _c: &mut [f32],
    ) {
    }

    /// The codebook of a block, K × p, or the levels, K × 1, with its number of columns.
    fn codebook(&self) -> (Vec<f32>, usize);

    /// The codebook of the tail, K × t, with its number of columns, where there is a tail.
    fn tail_codebook(&self) -> Option<(Vec<f32>, usize)> {
        None
    }

    /// How packed rows name the words of the codebooks.
    fn rows_of(&self) -> RowsOf<'_> {
        RowsOf::Indexes
    }

    // Asymmetric inner products.

    /// Length of the vectors of [`Method::expand`].
    fn expanded_len(&self, dim: usize) -> usize {
        dim
    }

    /// A vector whose inner product with the [prepared](Method::prepare) y is ⟨û, y⟩.
    fn expand(&self, isa: Isa, index: &[u16], _gamma: f32, out: &mut [f32]) {
        self.codewords(isa, index, out);
    }

    /// The query's side of [`Method::expand`]. The first d values of `out` are y rotated; fills the
    /// others.
    fn prepare(&self, _isa: Isa, _dim: usize, _out: &mut [f32]) {}

    /// The adjoint of [`Method::prepare`]: takes a sum of expansions to the sum of their û, the
    /// codeword vectors in the order of u, d values.
    fn collapse(&self, _isa: Isa, sum: &[f32], out: &mut [f32]) {
        out.copy_from_slice(sum);
    }

    /// The inner products of the expansions of some packed rows with a prepared query, if the
    /// method can compute them without expanding. They have the same bits as
    /// [`dot`](crate::kernels::reduce::dot) of the expansions.
    fn products(
        &self,
        _isa: Isa,
        _layout: &Layout,
        _rows: [&[u8]; ROWS_PER_CALL],
        _y: &[f32],
        _index: &mut Vec<u16>,
    ) -> Option<[f32; ROWS_PER_CALL]> {
        None
    }
}

/// A method whose code is one index per coordinate, the index of a level. Everything but the choice
/// of the indexes follows from the levels.
trait LevelMethod: Debug + Send + Sync {
    /// The levels.
    fn levels(&self) -> &Levels;

    /// Chooses the indexes for u: by default those of the nearest levels.
    fn assign(&self, isa: Isa, u: &[f32], _work: &mut Workspace, index: &mut [u16]) {
        quantize::quantize(isa, u, self.levels(), index);
    }
}

impl<T: LevelMethod> Method for T {
    fn assign(&self, isa: Isa, u: &[f32], work: &mut Workspace, index: &mut [u16]) {
        LevelMethod::assign(self, isa, u, work, index);
    }

    fn codewords(&self, isa: Isa, index: &[u16], c: &mut [f32]) {
        quantize::dequantize(isa, index, self.levels(), c);
    }

    fn codebook(&self) -> (Vec<f32>, usize) {
        (self.levels().levels().to_vec(), 1)
    }

    fn products(
        &self,
        isa: Isa,
        layout: &Layout,
        rows: [&[u8]; ROWS_PER_CALL],
        y: &[f32],
        _index: &mut Vec<u16>,
    ) -> Option<[f32; ROWS_PER_CALL]> {
        let width = layout.fields().first().map_or(0, |field| field.width);
        if !(1..=MAX_LEVEL_BITS).contains(&width) {
            return None;
        }
        let mut out = [0.0; ROWS_PER_CALL];
        asymmetric::level_products(isa, rows, width, self.levels(), y, &mut out);
        Some(out)
    }
}

/// The layout of a [`LevelMethod`]: one index per coordinate.
fn one_field(parameters: Parameters) -> Result<Blueprint> {
    let (count, width) = (parameters.dim, parameters.width());
    Ok(Blueprint::new([Field { count, width }]))
}
