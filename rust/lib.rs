//! Rotation-based vector quantization: BlockQuant, EDEN, RaBitQ and TurboQuant behind one pipeline.
//!
//! ```text
//! x --normalise--> x/‖x‖ --rotate--> z = R x/‖x‖, u = √d·z --assign--> c --pack--> bytes
//! stored with it: s = ‖x‖·S                    decode: x̂ = s · Rᵀ c / √d
//! ```
//!
//! | symbol | meaning |
//! |---|---|
//! | d, b | dimension; bits a coordinate |
//! | R | random orthogonal matrix, fixed by a seed ([`rotation`]) |
//! | u = √d·z | rotated, unit-variance coordinates |
//! | p, K | block size; codewords a block, K = 2^w, w = round(b·p) ([`codebook`]) |
//! | c | the chosen codeword vector ([`methods`]); ρ = ⟨u, c⟩/d, ‖c‖² likewise divided by d |
//! | S | the scale rule: 1, ρ/‖c‖² or 1/ρ ([`methods::ScaleRule`]) |
//!
//! ```
//! use blockquant::{Quantizer, Spec};
//!
//! let quantizer = Quantizer::new(Spec {
//!     scale: Some("mse".into()),
//!     ..Spec::new("blockquant", 64, 2.0)
//! })?;
//! let x: Vec<f32> = (0..128).map(|i| (i as f32).sin()).collect();
//! let codes = quantizer.encode(&x)?;
//! assert_eq!(codes.packed.len(), 2 * 16);
//! let back = quantizer.decode(codes.view())?;
//! let error: f32 = x.iter().zip(&back).map(|(a, b)| (a - b).powi(2)).sum();
//! let total: f32 = x.iter().map(|a| a * a).sum();
//! assert!(error < 0.2 * total);
//! # Ok::<(), blockquant::Error>(())
//! ```

mod aligned;
pub mod codes;
pub mod error;
pub mod file;
pub mod isa;
pub mod methods;
pub mod quantizer;
pub mod rotation;
pub mod rows;
pub mod threads;

// Public for the tests, benches and examples of this repository only: what is in these modules can
// change in any version.
#[doc(hidden)]
pub mod codebook;
#[doc(hidden)]
pub mod interval;
#[doc(hidden)]
pub mod kernels;
#[doc(hidden)]
pub mod rng;
#[doc(hidden)]
pub mod scan;

#[cfg(feature = "python")]
mod python;

pub use codes::{Codes, CodesRef};
pub use error::{Error, Result};
pub use interval::Direction;
pub use isa::Isa;
pub use quantizer::{Quantizer, Spec};
pub use rotation::{Rotation, RotationKind};
pub use rows::{Dense, Rows};
pub use scan::search::{Hit, Metric};
pub use scan::sketch::Sketch;
