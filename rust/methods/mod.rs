//! The methods: the middle step of the pipeline, and the table of what is known of each.
//!
//! A [`Method`] replaces u, the rotated row in unit-variance coordinates, by indexes, and indexes
//! by the codeword vector c. The [`Quantizer`](crate::Quantizer) does everything else (norm,
//! rotation, scale rule, packing, threads), in the same way for all methods. Methods never import
//! each other.
//!
//! [`METHODS`] is the only place that lists the methods. All code that is not a method's own reads
//! it, and so does Python.

use crate::codes::{Field, Layout, Scalars};
use crate::error::{Error, Result, did_you_mean};

mod blockquant;
mod eden;
mod method;
mod rabitq;
mod scales;
mod trellis;
mod turboquant;

pub use blockquant::default_block;
pub use method::{Method, RowsOf, Workspace};
pub use scales::{ScaleRule, Scales};

use method::LevelMethod;

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
        beyond: None,
        most_in_groups: None,
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
        beyond: None,
        most_in_groups: None,
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
        beyond: None,
        most_in_groups: None,
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
        beyond: None,
        most_in_groups: None,
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
        beyond: None,
        most_in_groups: Some(5),
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
        beyond: Some("eden"),
        most_in_groups: None,
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
    /// The method that groups of fitted axes have at higher rates than this one has.
    pub beyond: Option<&'static str>,
    /// The most bits of groups of fitted axes, if fewer: RaBitQ's gains fall as its codewords grow,
    /// and at more bits those of short groups are below the least gain that a row keeps.
    pub most_in_groups: Option<u32>,
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
            row_bytes: layout.row_bytes(),
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
    /// The fields of a row; with fitted axes those of the first group.
    pub layout: Layout,
    /// The packed bytes of a row.
    pub row_bytes: usize,
    /// The block size, the default filled in, where the method has blocks.
    pub block: Option<usize>,
    /// The number of states, the default filled in, where the method has states.
    pub states: Option<usize>,
    /// Whether the residual norm of a row is the γ of the method ([`Entry::has_gamma`]).
    pub has_gamma: bool,
    /// The scalars of a row besides its scale.
    pub scalars: Scalars,
}

/// The layout of a [`LevelMethod`]: one index per coordinate.
fn one_field(parameters: Parameters) -> Result<Blueprint> {
    let (count, width) = (parameters.dim, parameters.width());
    Ok(Blueprint::new([Field { count, width }]))
}
