//! Which instruction set the kernels run on.
//!
//! An [`Isa`] is a proof: the value that names AVX2 or NEON can only be made by a function that has asked
//! the CPU, so a kernel that is handed one may use those instructions. Every kernel takes it first.
//! `BLOCKQUANT_ISA=scalar|avx2|neon` picks the one used by default; a name that this CPU cannot run
//! is an error, not a fallback.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Error, Result};

/// Proof that the CPU has AVX2 and FMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

/// Proof that the CPU has NEON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neon(());

/// An instruction set that this CPU can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// No instruction beyond the target's baseline: the definition of every kernel.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2(Avx2),
    /// AArch64 with NEON.
    Neon(Neon),
}

impl Isa {
    /// The best instruction set of this CPU.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// Every instruction set that this CPU can run, the best first; [`Isa::Scalar`] is always the last.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            found.push(Self::Avx2(Avx2(())));
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            found.push(Self::Neon(Neon(())));
        }
        found.push(Self::Scalar);
        found
    }

    /// `scalar`, `avx2` or `neon`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2(_) => "avx2",
            Self::Neon(_) => "neon",
        }
    }

    /// The instruction set of that name, if this CPU can run it.
    pub fn from_name(name: &str) -> Result<Self> {
        let available = Self::available();
        available
            .iter()
            .copied()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = available.iter().map(|isa| isa.name()).collect();
                Error::invalid(format!(
                    "instruction set {name:?} cannot run here; this CPU has {}",
                    names.join(", ")
                ))
            })
    }

    /// The one in use: `BLOCKQUANT_ISA` where it is set, else the best; read once in a process.
    pub fn current() -> Result<Self> {
        // The place in `available`, from 1: a number, as a forked child could wait for ever for a
        // lock.
        static CURRENT: AtomicU8 = AtomicU8::new(0);
        let available = Self::available();
        let known = usize::from(CURRENT.load(Ordering::Relaxed)).checked_sub(1);
        if let Some(isa) = known.and_then(|place| available.get(place)) {
            return Ok(*isa);
        }
        let isa = match std::env::var("BLOCKQUANT_ISA") {
            Ok(name) => Self::from_name(&name)
                .map_err(|error| Error::invalid(format!("BLOCKQUANT_ISA: {error}")))?,
            Err(_) => Self::detect(),
        };
        let place = available.iter().position(|&other| other == isa);
        let number = place.map_or(0, |place| place as u8 + 1);
        CURRENT.store(number, Ordering::Relaxed);
        Ok(isa)
    }
}
