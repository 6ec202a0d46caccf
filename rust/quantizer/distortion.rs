//! Distortion: how far rows are from their codes by a method at a rate, measured on Gaussian rows.
//!
//! Rows u that a rotation has made alike in all directions have codewords c, and S·c stands for u
//! by the scale rule ([`ScaleRule::scale`]). With ρ = ⟨u, c⟩/d, and all squared norms divided by d,
//!
//! ```text
//! S·c = (1 − β)·u + τ·w        w across u, ‖w‖ = ‖u‖, in every direction alike
//! β = 1 − S·ρ                  τ² = S²·‖c‖² − (1 − β)²
//! ```
//!
//! | rule | β | τ² | β² + τ² = ‖u − S·c‖² |
//! |---|---|---|---|
//! | `unbiased` | 0 | tan²θ | tan²θ |
//! | `mse` | sin²θ | sin²θ·cos²θ | sin²θ |
//! | `none` | 1 − ρ | ‖c‖² − ρ² | 1 − 2ρ + ‖c‖² |

use crate::isa::Isa;
use crate::kernels::reduce;
use crate::methods::{Method, ScaleRule, Workspace};
use crate::rng::SeedStream;

const LABEL_ROWS: u64 = 0x616c_6c6f;

/// What is expected of a row with ‖u‖² = d.
#[derive(Debug, Clone, Copy)]
pub(super) struct Distortion {
    /// E[β² + τ²], the error of the decoded row.
    pub error: f64,
    /// E β², the part of it that lies along the row.
    pub along: f64,
    /// E S².
    pub scale_square: f64,
}

impl Distortion {
    /// Measures it on so many rows of d coordinates, whose codes have so many indexes. The rows
    /// are the same for every method.
    pub fn measured(
        isa: Isa,
        (method, scale): (&dyn Method, ScaleRule),
        (dim, indices): (usize, usize),
        rows: usize,
    ) -> Self {
        let mut stream = SeedStream::new(0, LABEL_ROWS);
        let mut work = Workspace::default();
        let mut index = vec![0; indices];
        let mut c = vec![0.0; dim];
        let (mut error, mut along, mut scale_square) = (0.0, 0.0, 0.0);
        for _ in 0..rows {
            let mut u: Vec<f32> = (0..dim).map(|_| stream.gaussian() as f32).collect();
            let norm = (reduce::squared_norm(isa, &u) / dim as f64).sqrt();
            u.iter_mut()
                .for_each(|u| *u = (f64::from(*u) / norm) as f32);
            method.assign(isa, &u, &mut work, &mut index);
            method.codewords(isa, &index, &mut c);
            let (product, square) = reduce::dot_and_square(isa, &u, &c);
            let (rho, square) = (
                f64::from(product) / dim as f64,
                f64::from(square) / dim as f64,
            );
            let cosine_square = rho * rho / square;
            let (here, beta) = match scale {
                ScaleRule::Unbiased => (1.0 / cosine_square - 1.0, 0.0),
                ScaleRule::Mse => (1.0 - cosine_square, 1.0 - cosine_square),
                ScaleRule::None => (1.0 - 2.0 * rho + square, 1.0 - rho),
            };
            error += here;
            along += beta * beta;
            scale_square += scale.scale(rho, square).powi(2);
        }
        let rows = rows as f64;
        Self {
            error: error / rows,
            along: along / rows,
            scale_square: scale_square / rows,
        }
    }

    /// E τ², the part of the error across the row.
    pub fn across(&self) -> f64 {
        (self.error - self.along).max(0.0)
    }
}
