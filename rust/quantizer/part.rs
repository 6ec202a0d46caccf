//! Parts of a row: the coordinates that are rotated and quantized together.
//!
//! Without fitted axes a row is one part. With them each group of axes is one, with a rotation, a
//! method and bytes of its own, so that groups are quantized as rows are.

use std::ops::Range;

use super::scale_search::{self, Trial};
use crate::codes::Layout;
use crate::error::Result;
use crate::isa::Isa;
use crate::kernels::reduce;
use crate::methods::{Entry, Method, Parameters, ScaleRule, Workspace};
use crate::rotation::{Rotation, RotationKind};

/// Coordinates that are rotated and quantized together.
#[derive(Debug)]
pub(super) struct Part {
    /// Which they are of all coordinates that are quantized.
    pub place: Range<usize>,
    /// Its bytes of a packed row.
    pub bytes: Range<usize>,
    /// The fields of these bytes.
    pub layout: Layout,
    pub method: Box<dyn Method>,
    pub rotation: Rotation,
    scale: ScaleRule,
    scale_search: Option<usize>,
}

impl Part {
    /// The part that follows the coordinates and bytes before it.
    pub fn new(
        entry: &Entry,
        parameters: Parameters,
        rotation: RotationKind,
        (scale, scale_search): (ScaleRule, Option<usize>),
        before: Option<&Part>,
    ) -> Result<Self> {
        let layout = entry.shape(parameters)?.layout;
        let (first, byte) = before.map_or((0, 0), |part| (part.place.end, part.bytes.end));
        Ok(Self {
            place: first..first + parameters.dim,
            bytes: byte..byte + layout.row_bytes(),
            layout,
            method: entry.build(parameters)?,
            rotation: Rotation::new(rotation, parameters.dim, parameters.seed)?,
            scale,
            scale_search,
        })
    }

    /// The number of its coordinates.
    pub fn dim(&self) -> usize {
        self.place.len()
    }

    /// Its coordinates of some rows, whose coordinates stand part by part.
    pub fn of<'a, T>(&self, rows: usize, all: &'a [T]) -> &'a [T] {
        &all[rows * self.place.start..rows * self.place.end]
    }

    /// As [`Part::of`].
    pub fn of_mut<'a, T>(&self, rows: usize, all: &'a mut [T]) -> &'a mut [T] {
        &mut all[rows * self.place.start..rows * self.place.end]
    }

    /// Chooses the indexes of some rows. `index` gets as many for each as the layout has.
    pub fn assign(
        &self,
        isa: Isa,
        u: &[f32],
        index: &mut Vec<u16>,
        work: &mut Workspace,
        trial: &mut Trial,
    ) {
        let (dim, indices) = (self.dim(), self.layout.indices());
        index.resize(u.len() / dim * indices, 0);
        let together = self.method.rows();
        for (u, index) in u
            .chunks(together * dim)
            .zip(index.chunks_mut(together * indices))
        {
            self.method.assign(isa, u, work, index);
        }
        let Some(count) = self.scale_search else {
            return;
        };
        for (u, index) in u.chunks_exact(dim).zip(index.chunks_exact_mut(indices)) {
            scale_search::search(isa, &*self.method, count, u, index, trial, work);
        }
    }

    /// S of a row; `c` is overwritten.
    pub fn factor(&self, isa: Isa, u: &[f32], index: &[u16], c: &mut Vec<f32>) -> f64 {
        if self.scale == ScaleRule::None {
            return 1.0;
        }
        c.resize(self.dim(), 0.0);
        self.method.codewords(isa, index, c);
        let (product, square) = reduce::dot_and_square(isa, u, c);
        let dim = self.dim() as f64;
        self.scale
            .scale(f64::from(product) / dim, f64::from(square) / dim)
    }

    /// tan θ between a row and its codewords; +∞ where the angle is 90° or more. `c` is what
    /// [`Part::factor`] left there.
    pub fn tangent(&self, isa: Isa, u: &[f32], index: &[u16], c: &mut Vec<f32>) -> f64 {
        if self.scale == ScaleRule::None {
            c.resize(self.dim(), 0.0);
            self.method.codewords(isa, index, c);
        }
        let square = scale_search::sine_square(isa, u, self.dim() as f64, c);
        (square / (1.0 - square)).sqrt()
    }
}
