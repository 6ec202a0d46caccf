//! The frozen seed stream.
//!
//! Everything random in the crate (signs and matrices of the rotations, samples of the codebook
//! construction) is drawn from SplitMix64 (Steele, Lea and Flood 2014): state ← state + γ, output
//! mix(state). A stream is named by a seed and a label, so that two uses of one seed never share draws;
//! its first state is mix(mix(seed) + label·γ). Real functions come from the pure-Rust `libm`, so
//! the draws are the same bits on every platform.
//!
//! FROZEN: nothing in this file ever changes; `tests/golden` pins it.

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A reproducible stream of random numbers.
#[derive(Debug, Clone)]
pub struct SeedStream {
    state: u64,
    spare: Option<f64>,
}

impl SeedStream {
    /// The stream of `seed` that belongs to `label`.
    pub fn new(seed: u64, label: u64) -> Self {
        Self {
            state: mix(mix(seed).wrapping_add(label.wrapping_mul(GAMMA))),
            spare: None,
        }
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// Uniform on [0, 1), a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Standard normal, by Box and Muller; the pair's sine is kept for the next call.
    pub fn gaussian(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }

    /// `n` independent signs, each +1 or −1; one bit a sign, lowest bit first, 1 meaning −1.
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
