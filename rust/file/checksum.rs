//! Checksums: of bytes, and of what decoding with a quantizer depends on (the digest).

use crate::error::Result;
use crate::isa::Isa;
use crate::methods::Workspace;
use crate::quantizer::Quantizer;
use crate::rng::SeedStream;
use crate::threads;

const LABEL_DIGEST: u64 = 6;

/// Rows that the digest decodes.
const DIGEST_ROWS: usize = 4;

/// Bytes between two checks whether to stop.
pub(super) const BYTES_PER_CHECK: usize = 1 << 22;

/// CRC-64/XZ of bytes that are given piece by piece.
#[derive(Clone, Default)]
pub(crate) struct Checksum(crc64fast::Digest);

impl Checksum {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for some in bytes.chunks(BYTES_PER_CHECK) {
            threads::check();
            self.0.write(some);
        }
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.sum64()
    }
}

/// CRC-64/XZ of these bytes. It takes 14 GB/s on one core with carry-less multiplication, and about
/// 2 GB/s without.
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = Checksum::default();
    sum.write(bytes);
    sum.value()
}

/// The digest: a checksum of everything that decoding depends on besides the parameters.
///
/// It covers the words of codebook and tail codebook, and four decoded rows of pseudo-random bits
/// with γ = 1. These rows depend on the layout, the rotation and the projection of `prod` in every
/// coordinate. So the digest is about what they do, not about how they are stored: another
/// representation of a rotation gives the same digest. With fitted axes the groups of axes follow
/// each other, and the axes are in the file.
///
/// FROZEN: another digest would refuse every file that exists.
///
/// # Errors
/// The errors of [`Isa::current`].
pub fn digest(quantizer: &Quantizer) -> Result<u64> {
    let isa = Isa::current()?;
    let mut stream = SeedStream::new(0, LABEL_DIGEST);
    let mut sum = Checksum::default();
    for part in quantizer.parts() {
        let (method, layout, dim) = (part.method, part.layout, part.rotation.dim());
        let random = |_| stream.next_u64().to_le_bytes()[7];
        let packed: Vec<u8> = (0..DIGEST_ROWS * layout.row_bytes()).map(random).collect();
        let mut index = vec![0; DIGEST_ROWS * layout.indices()];
        let mut rows = vec![0.0; DIGEST_ROWS * dim];
        for ((row, index), c) in packed
            .chunks_exact(layout.row_bytes())
            .zip(index.chunks_exact_mut(layout.indices()))
            .zip(rows.chunks_exact_mut(dim))
        {
            layout.unpack(isa, row, index);
            method.codewords(isa, index, c);
        }
        if quantizer.shape().has_gamma {
            let mut work = Workspace::default();
            method.add_residual(isa, &index, &[1.0; DIGEST_ROWS], &mut work, &mut rows);
        }
        part.rotation.apply_inverse(isa, &mut rows, &mut Vec::new());
        let tail = method.tail_codebook().unwrap_or_default();
        for values in [method.codebook().0, tail.0, rows] {
            little_endian(&values, |bytes| {
                sum.write(bytes);
                Ok(())
            })?;
        }
    }
    Ok(sum.value())
}

/// Passes the bytes of these values to `give`, piece by piece, in the byte order of a file.
pub(super) fn little_endian(
    values: &[f32],
    mut give: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = [0u8; 1 << 14];
    for values in values.chunks(buffer.len() / 4) {
        let (words, _) = buffer.as_chunks_mut::<4>();
        for (word, value) in words.iter_mut().zip(values) {
            *word = value.to_le_bytes();
        }
        give(&buffer[..4 * values.len()])?;
    }
    Ok(())
}
