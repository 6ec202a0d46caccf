//! The parameters of a quantizer: what they are, which of them fit together, and their defaults.

use std::sync::Arc;

use super::allocation::Allocation;
use super::fitted::{Criterion, GroupScalars};
use super::groups::{self, Group};
use super::{is_unbiased, scale_search};
use crate::axes::Axes;
use crate::codes::{Layout, Scalars};
use crate::error::{Error, Result, counted};
use crate::methods::{self, Entry, Parameters, ScaleRule, Scales, Shape};
use crate::rotation::RotationKind;

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
    /// [`MAX_SCALES`](super::MAX_SCALES); only its own scale if it is 1 or not given. More take
    /// time when encoding and lower the error from 3 bits per coordinate on, most in few
    /// dimensions. Codes are read alike whatever it is.
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
    /// of their own. `bits` then says what a row takes: at most ⌊dim·bits/8⌋ +
    /// [`EXTRA_BYTES`](super::EXTRA_BYTES) bytes, with all its scalars.
    pub axes: Option<Arc<Axes>>,
    /// What the bits of fitted axes are given for; [`Criterion::Recall`] if it is not given.
    pub criterion: Option<Criterion>,
    /// The part of the variance that is expected along all axes alike when groups are chosen, 0 to
    /// 1; 0 if it is not given. The more it is, the more bits have the axes along which the sample
    /// has little variance, and the less is lost if rows are not like it. The quantizer keeps the
    /// groups in its place.
    pub reserve: Option<f64>,
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
            reserve: None,
            groups: None,
        }
    }

    pub(super) fn parameters(&self) -> Parameters {
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
    /// If a parameter is out of range. [`Quantizer::new`](super::Quantizer::new) then gives the
    /// same error.
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
        let reserve = self.reserve.take();
        if let Some(reserve) = reserve {
            check_reserve(reserve, self.groups.is_some())?;
        }
        if self.groups.is_none() {
            let allocation = Allocation {
                axes,
                entry,
                scale,
                states: self.states,
                criterion,
                reserve: reserve.unwrap_or(0.0),
                bits: self.bits,
                has_errors: self.store_norm,
            };
            self.groups = Some(allocation.groups()?);
        }
        let chosen = self.groups.as_deref().unwrap_or_default();
        let layouts = groups::layouts(chosen, axes.kept(), self.states)?;
        let bytes: usize = layouts.iter().map(Layout::row_bytes).sum();
        let kept = chosen.iter().map(|group| group.axes).sum();
        if kept < axes.kept() {
            self.axes = Some(Arc::new(axes.first(kept)));
        }
        let shape = Shape {
            layout: layouts.into_iter().next().unwrap_or_default(),
            row_bytes: bytes + GroupScalars::bytes_of(chosen.len(), self.store_norm),
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
            ("reserve", self.reserve.is_some()),
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

fn check_reserve(reserve: f64, has_groups: bool) -> Result<()> {
    if has_groups {
        return Err(Error::invalid(
            "reserve is not an option beside groups, which follow from it",
        ));
    }
    if (0.0..=1.0).contains(&reserve) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "reserve is {reserve}, expected 0 to 1"
    )))
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
