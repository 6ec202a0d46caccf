//! The seed stream: a reproducible source of random numbers. The same seed gives the same numbers
//! on every platform, so a seed stands for a rotation, and a file need not store the matrix.
//!
//! Everything random in the library (signs and matrices of the rotations, samples for the
//! codebooks) is drawn from SplitMix64 (Steele, Lea and Flood 2014). With the constant G =
//! 0x9E3779B97F4A7C15 a draw is state ← state + G, output mix(state), where mix is a fixed
//! bijection of 64 bits. A seed and a label together name a stream, so two uses of one seed never
//! share draws. The stream starts at the state mix(mix(seed) + label·G). Logarithms, sines and
//! cosines come from the pure-Rust `libm`, so the draws are the same bits on every platform.
//!
//! FROZEN: what this file computes never changes; `tests/golden` pins it.

/// G, the odd number closest to 2⁶⁴ divided by the golden ratio.
const INCREMENT: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A reproducible stream of random numbers.
#[derive(Debug, Clone)]
pub struct SeedStream {
    state: u64,
    /// The second number of a pair of Gaussians.
    spare: Option<f64>,
}

impl SeedStream {
    /// The stream that `seed` and `label` name.
    pub fn new(seed: u64, label: u64) -> Self {
        Self {
            state: mix(mix(seed).wrapping_add(label.wrapping_mul(INCREMENT))),
            spare: None,
        }
    }

    /// 64 independent uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(INCREMENT);
        mix(self.state)
    }

    /// A uniform number in [0, 1), a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// A number with the law N(0, 1), by the Box–Muller method. The method makes two numbers, and
    /// the second is kept for the next call.
    pub fn gaussian(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }

    /// `n` independent signs, each +1 or −1. Each takes one bit, the lowest first; the bit 1 means
    /// −1.
    pub fn signs(&mut self, n: usize) -> Vec<f32> {
        let mut out = Vec::with_capacity(n);
        while out.len() < n {
            let bits = self.next_u64();
            let take = (n - out.len()).min(64);
            out.extend((0..take).map(|i| if bits >> i & 1 == 1 { -1.0 } else { 1.0 }));
        }
        out
    }
}
