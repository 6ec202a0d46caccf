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
//! use blockquant::{Dense, Isa, Quantizer, RotationKind, Spec};
//!
//! let quantizer = Quantizer::new(Spec {
//!     method: "blockquant".into(),
//!     dim: 64,
//!     bits: 2.0,
//!     scale: Some("mse".into()),
//!     block: None,
//!     rotation: RotationKind::Hadamard,
//!     seed: 0,
//!     store_norm: false,
//!     center: None,
//! })?;
//! let x: Vec<f32> = (0..128).map(|i| (i as f32).sin()).collect();
//! let isa = Isa::current()?;
//! let codes = quantizer.encode(isa, &Dense::new(&x, 64)?)?;
//! assert_eq!(codes.packed.len(), 2 * 16);
//! let mut back = vec![0.0; 128];
//! quantizer.decode(isa, codes.view(), &mut back)?;
//! let error: f32 = x.iter().zip(&back).map(|(a, b)| (a - b).powi(2)).sum();
//! let total: f32 = x.iter().map(|a| a * a).sum();
//! assert!(error < 0.2 * total);
//! # Ok::<(), blockquant::Error>(())
//! ```

mod aligned;
pub mod codebook;
pub mod codes;
pub mod error;
pub mod file;
pub mod interval;
pub mod isa;
pub mod kernels;
pub mod methods;
pub mod quantizer;
pub mod rng;
pub mod rotation;
pub mod rows;
pub mod scan;
pub mod threads;

#[cfg(feature = "python")]
mod python;

pub use codes::{Codes, CodesRef};
pub use error::{Error, Result};
pub use isa::Isa;
pub use quantizer::{Quantizer, Spec};
pub use rotation::{Rotation, RotationKind};
pub use rows::{Dense, Rows};
