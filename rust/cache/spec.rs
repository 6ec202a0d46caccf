//! The parameters of a cache, and their checks.

use crate::error::{Error, Result, counted};
use crate::methods::ScaleRule;
use crate::quantizer::Spec;
use crate::rotation::RotationKind;

use super::tensor::Dtype;

/// The most coordinates of a key or a value.
pub const MAX_HEAD_DIM: usize = 1024;
/// The most heads, and the most sequences.
pub const MAX_COUNT: usize = 1 << 20;
/// The most tokens of a window, of sinks and of a rollback.
pub const MAX_TOKENS: usize = 1 << 30;
/// The most centroids per head.
pub const MAX_CENTROIDS: usize = 256;
/// Up to so many bits per coordinate a scale is one byte by default. A byte's ±2.9 % is more than
/// the error of the codes at higher rates.
pub const MOST_BITS_OF_BYTE_SCALES: f64 = 4.5;

/// How keys or values are coded.
#[derive(Debug, Clone, PartialEq)]
pub struct Coding {
    /// A name of [`METHODS`](crate::methods::METHODS).
    pub method: String,
    /// The scale rule; the default of the method if it is not given.
    pub scale: Option<String>,
    /// Bits per coordinate.
    pub bits: f64,
    /// How many scales are searched, as [`Spec::scale_search`].
    pub scale_search: Option<usize>,
}

impl Coding {
    /// A method with its default scale rule and no search over scales.
    pub fn new(method: impl Into<String>, bits: f64) -> Self {
        Self {
            method: method.into(),
            scale: None,
            bits,
            scale_search: None,
        }
    }
}

/// What is subtracted from a key before it is coded.
#[derive(Debug, Clone, PartialEq)]
pub enum Center {
    /// Nothing.
    None,
    /// The mean μ of the sequence's first keys, which the cache estimates.
    Static,
    /// R_j μ for token j: μ is the mean of the keys without their rotary embedding. These are the
    /// frequencies of the embedding in radians per token, dim/2 of them. Coordinate f pairs with
    /// f + dim/2.
    Rotary(Vec<f64>),
    /// These vectors, heads × dim.
    Given(Vec<f32>),
}

impl Center {
    /// [`Center::Rotary`] with the frequencies θ^(−2i/dim) of a rotary embedding with base θ.
    pub fn rotary(theta: f64, dim: usize) -> Self {
        let frequency = |i: usize| libm::pow(theta, -((2 * i) as f64) / dim as f64);
        Self::Rotary((0..dim / 2).map(frequency).collect())
    }

    /// `none`, `static`, `rotary` or `given`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Static => "static",
            Self::Rotary(_) => "rotary",
            Self::Given(_) => "given",
        }
    }

    /// Whether the cache estimates it from the keys.
    pub fn is_estimated(&self) -> bool {
        matches!(self, Self::Static | Self::Rotary(_))
    }
}

/// The parameters of a [`KeyValueCache`](super::KeyValueCache). Equal parameters and equal tokens
/// give equal caches, in every version.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheSpec {
    /// Key-value heads.
    pub heads: usize,
    /// Coordinates of a key.
    pub dim: usize,
    /// Coordinates of a value.
    pub value_dim: usize,
    /// Sequences.
    pub batch: usize,
    /// How keys are coded.
    pub keys: Coding,
    /// How values are coded.
    pub values: Coding,
    /// The newest tokens that always are exact.
    pub window: usize,
    /// The first tokens of a sequence, which always stay exact.
    pub sinks: usize,
    /// The number of tokens that can be taken back exactly.
    pub rollback: usize,
    /// What is subtracted from the keys.
    pub center: Center,
    /// The number of centroids per head in the place of the one mean, or 0.
    pub centroids: usize,
    /// Whether half the variance of a logit is subtracted from it.
    pub debias: bool,
    /// Whether a scale is one logarithmic byte; if it is not given, it is at up to
    /// [`MOST_BITS_OF_BYTE_SCALES`] bits per coordinate, for keys and values apart.
    pub byte_scales: Option<bool>,
    /// The type of the numbers; that of the first tokens if it is not given.
    pub dtype: Option<Dtype>,
    /// The kind of rotation.
    pub rotation: RotationKind,
    /// The seed of the quantizer of keys; that of values is one higher.
    pub seed: u64,
    /// The number of the layer, for error messages.
    pub layer: Option<usize>,
}

impl CacheSpec {
    /// A cache of one sequence with keys at 3 bits and values at 2 bits per coordinate. All else is
    /// the default.
    pub fn new(heads: usize, dim: usize) -> Self {
        Self {
            heads,
            dim,
            value_dim: dim,
            batch: 1,
            keys: Coding::new("blockquant", 3.0),
            values: Coding::new("blockquant", 2.0),
            window: 64,
            sinks: 4,
            rollback: 0,
            center: Center::Static,
            centroids: 0,
            debias: false,
            byte_scales: None,
            dtype: None,
            rotation: RotationKind::Hadamard,
            seed: 0,
            layer: None,
        }
    }

    /// The parameters of the quantizer of keys.
    pub fn key_spec(&self) -> Spec {
        self.quantizer(&self.keys, self.dim, self.seed)
    }

    /// The parameters of the quantizer of values.
    pub fn value_spec(&self) -> Spec {
        self.quantizer(&self.values, self.value_dim, self.seed.wrapping_add(1))
    }

    fn quantizer(&self, coding: &Coding, dim: usize, seed: u64) -> Spec {
        Spec {
            scale: coding.scale.clone(),
            scale_search: coding.scale_search,
            rotation: self.rotation,
            seed,
            ..Spec::new(coding.method.clone(), dim, coding.bits)
        }
    }

    /// Whether a scale of this coding is one byte.
    pub fn has_byte_scales(&self, coding: &Coding) -> bool {
        (self.byte_scales).unwrap_or(coding.bits <= MOST_BITS_OF_BYTE_SCALES)
    }

    /// Bits of the index of a centroid.
    pub(super) fn centroid_bits(&self) -> u32 {
        self.centroids.max(1).next_power_of_two().trailing_zeros()
    }

    /// Vectors that the cache estimates per head: 0, 1 for a mean, or the number of centroids.
    pub(super) fn vectors(&self) -> usize {
        if self.center.is_estimated() {
            self.centroids.max(1)
        } else {
            0
        }
    }

    /// Checks all parameters, fills in the scale rules and drops searches over one scale.
    ///
    /// # Errors
    /// If a parameter is out of range, or two of them do not go together.
    pub fn fill(&mut self) -> Result<()> {
        range("heads", self.heads, 1, MAX_COUNT)?;
        range("dim", self.dim, 1, MAX_HEAD_DIM)?;
        range("value_dim", self.value_dim, 1, MAX_HEAD_DIM)?;
        range("batch", self.batch, 1, MAX_COUNT)?;
        range("window", self.window, 0, MAX_TOKENS)?;
        range("sinks", self.sinks, 0, MAX_TOKENS)?;
        range("rollback", self.rollback, 0, MAX_TOKENS)?;
        let mut rules = [ScaleRule::None; 2];
        let specs = [("keys", self.key_spec()), ("values", self.value_spec())];
        for ((what, mut spec), rule) in specs.into_iter().zip(&mut rules) {
            let filled = spec.fill();
            (_, *rule) = filled.map_err(|error| Error::invalid(format!("{what}: {error}")))?;
            let coding = if what == "keys" {
                &mut self.keys
            } else {
                &mut self.values
            };
            (coding.scale, coding.scale_search) = (spec.scale, spec.scale_search);
        }
        if self.debias && rules[0] != ScaleRule::Unbiased {
            return Err(Error::invalid(
                "debias needs keys with the scale rule unbiased: it subtracts the variance that \
                 their logits then have",
            ));
        }
        self.check_center()
    }

    fn check_center(&self) -> Result<()> {
        if self.centroids != 0 {
            range("centroids", self.centroids, 2, MAX_CENTROIDS)?;
            if !self.center.is_estimated() {
                return Err(Error::invalid(format!(
                    "centroids={} with center {}, expected center static or rotary: centroids \
                     are estimated from the keys",
                    self.centroids,
                    self.center.name()
                )));
            }
        }
        match &self.center {
            Center::None | Center::Static => Ok(()),
            Center::Rotary(frequencies) => {
                if !self.dim.is_multiple_of(2) {
                    return Err(Error::invalid(format!(
                        "center rotary with dim={}, expected an even dim: coordinates are rotated \
                         in pairs",
                        self.dim
                    )));
                }
                if frequencies.len() != self.dim / 2 {
                    return Err(Error::invalid(format!(
                        "rotary has {}, expected dim/2={}",
                        counted(frequencies.len(), "frequency").replace("ys", "ies"),
                        self.dim / 2
                    )));
                }
                finite("rotary: frequency", frequencies.iter().copied())
            }
            Center::Given(center) => {
                let expected = self.heads * self.dim;
                if center.len() != expected {
                    return Err(Error::invalid(format!(
                        "center has {}, expected heads × dim = {expected}",
                        counted(center.len(), "value")
                    )));
                }
                finite("center: value", center.iter().map(|&value| value.into()))
            }
        }
    }
}

fn range(name: &str, value: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{name}={value}, expected {least} to {most}"
    )))
}

fn finite(what: &str, mut values: impl Iterator<Item = f64>) -> Result<()> {
    let mut place = 0;
    match values.find(|value| {
        place += 1;
        !value.is_finite()
    }) {
        None => Ok(()),
        Some(value) => Err(Error::invalid(format!(
            "{what} {} is {value}, expected a finite number",
            place - 1
        ))),
    }
}
