//! Which instruction set the kernels run on.
//!
//! An [`Isa`] is a proof: only a function that has asked the CPU can make the value that names
//! AVX-512, AVX2 or NEON, so a kernel that is handed one may use those instructions. Every kernel
//! takes it as its first argument.
//!
//! `BLOCKQUANT_ISA=scalar|avx2|avx512|neon` chooses the instruction set that is used by default. A
//! name that this CPU cannot run is an error, not a fallback.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Error, Result};

/// Proof that the CPU has AVX-512 with the extensions F, BW, VL, VBMI and VNNI (from Intel's Ice
/// Lake and AMD's Zen 4 on), what [`Avx2`] proves, and the instructions for bits, which every such
/// CPU has: POPCNT, LZCNT, BMI1 and BMI2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    /// The proof that the CPU has AVX2 and FMA.
    #[inline(always)]
    pub fn avx2(self) -> Avx2 {
        Avx2(())
    }
}

/// Proof that the CPU has AVX2 and FMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

/// Proof that the CPU has NEON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neon(());

/// An instruction set that this CPU can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// The instructions of the target's baseline only: the definition of every kernel.
    Scalar,
    /// x86-64 with AVX-512 F, BW, VL, VBMI and VNNI, and with AVX2 and FMA.
    Avx512(Avx512),
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

    /// Every instruction set that this CPU can run, best first; [`Isa::Scalar`] is always the last.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if has_avx2() {
            if has_avx512() {
                found.push(Self::Avx512(Avx512(())));
            }
            found.push(Self::Avx2(Avx2(())));
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            found.push(Self::Neon(Neon(())));
        }
        found.push(Self::Scalar);
        found
    }

    /// The name: `scalar`, `avx2`, `avx512` or `neon`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2(_) => "avx2",
            Self::Avx512(_) => "avx512",
            Self::Neon(_) => "neon",
        }
    }

    /// The proof of AVX2, if this instruction set includes it.
    #[inline(always)]
    pub fn avx2(self) -> Option<Avx2> {
        match self {
            Self::Avx512(token) => Some(token.avx2()),
            Self::Avx2(token) => Some(token),
            Self::Neon(_) | Self::Scalar => None,
        }
    }

    /// Returns the instruction set of that name.
    ///
    /// # Errors
    /// If this CPU cannot run it, or if there is none of that name.
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

    /// The instruction set in use: `BLOCKQUANT_ISA` if it is set, else the best of this CPU. The
    /// variable is read once per process.
    ///
    /// # Errors
    /// If `BLOCKQUANT_ISA` names an instruction set that this CPU cannot run.
    pub fn current() -> Result<Self> {
        // The place in `available`, from 1. It is a number without a lock, because a thread that
        // does not exist in a forked child could hold the lock.
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

/// Whether the CPU has what [`Avx2`] proves.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

/// Whether the CPU has what [`Avx512`] proves beyond [`Avx2`].
#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512vbmi")
        && std::arch::is_x86_feature_detected!("avx512vnni")
        && std::arch::is_x86_feature_detected!("popcnt")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
}
