//! Groups of 32 indexes, as eight words of 64 bits, compiled for each width.

use super::scalar;
use crate::kernels::simd::Simd;

/// Indexes of a group.
const INDEXES_PER_GROUP: usize = 32;

/// Calls the function that is compiled for `$width`.
macro_rules! for_width {
    ($width:expr, $function:ident($($arg:expr),*)) => {
        match $width {
            1 => $function::<1>($($arg),*),
            2 => $function::<2>($($arg),*),
            3 => $function::<3>($($arg),*),
            4 => $function::<4>($($arg),*),
            5 => $function::<5>($($arg),*),
            6 => $function::<6>($($arg),*),
            7 => $function::<7>($($arg),*),
            8 => $function::<8>($($arg),*),
            9 => $function::<9>($($arg),*),
            10 => $function::<10>($($arg),*),
            11 => $function::<11>($($arg),*),
            12 => $function::<12>($($arg),*),
            13 => $function::<13>($($arg),*),
            14 => $function::<14>($($arg),*),
            15 => $function::<15>($($arg),*),
            16 => $function::<16>($($arg),*),
            width => panic!("indexes of {width} bits, expected 1 to 16"),
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) use for_width;

#[inline(always)]
pub fn pack<S: Simd>(_s: S, indices: &[u16], width: u32, first: usize, row: &mut [u8]) {
    let mut done = 0;
    if first.is_multiple_of(8) {
        done = indices.len() / INDEXES_PER_GROUP * INDEXES_PER_GROUP;
        for_width!(width, pack_groups(&indices[..done], &mut row[first / 8..]));
    }
    let first = first + done * width as usize;
    scalar::pack(&indices[done..], width, first, row);
}

#[inline(always)]
pub fn unpack<S: Simd>(_s: S, row: &[u8], width: u32, first: usize, out: &mut [u16]) {
    let mut done = 0;
    if first.is_multiple_of(8) {
        done = out.len() / INDEXES_PER_GROUP * INDEXES_PER_GROUP;
        for_width!(width, unpack_groups(&row[first / 8..], &mut out[..done]));
    }
    let first = first + done * width as usize;
    scalar::unpack(row, width, first, &mut out[done..]);
}

/// Packs whole groups from the first byte on.
#[inline(always)]
fn pack_groups<const W: usize>(indices: &[u16], bytes: &mut [u8]) {
    let bytes = &mut bytes[..indices.len() / 8 * W];
    let (groups, _) = indices.as_chunks::<INDEXES_PER_GROUP>();
    for (group, bytes) in groups.iter().zip(bytes.chunks_exact_mut(4 * W)) {
        let mut words = [0u64; 8];
        for (word, four) in words.iter_mut().zip(group.as_chunks::<4>().0) {
            *word = u64::from(four[0])
                | u64::from(four[1]) << 16
                | u64::from(four[2]) << 32
                | u64::from(four[3]) << 48;
        }
        for word in &mut words {
            let pairs =
                (*word & 0x0000_ffff_0000_ffff) | (*word >> 16 & 0x0000_ffff_0000_ffff) << W;
            *word = (pairs & 0xffff_ffff) | (pairs >> 32) << (2 * W);
        }
        for (eight, bytes) in words
            .as_chunks::<2>()
            .0
            .iter()
            .zip(bytes.chunks_exact_mut(W))
        {
            let piece = u128::from(eight[0]) | u128::from(eight[1]) << (4 * W);
            bytes.copy_from_slice(&piece.to_le_bytes()[..W]);
        }
    }
}

/// Unpacks whole groups from the first byte on.
#[inline(always)]
fn unpack_groups<const W: usize>(bytes: &[u8], out: &mut [u16]) {
    let bytes = &bytes[..out.len() / 8 * W];
    if W == 8 {
        // Each byte is an index.
        for (index, &byte) in out.iter_mut().zip(bytes) {
            *index = u16::from(byte);
        }
        return;
    }
    let low = (1u64 << W) - 1;
    let (groups, _) = out.as_chunks_mut::<INDEXES_PER_GROUP>();
    for (group, bytes) in groups.iter_mut().zip(bytes.chunks_exact(4 * W)) {
        let mut words = [0u64; 8];
        for (eight, bytes) in words
            .as_chunks_mut::<2>()
            .0
            .iter_mut()
            .zip(bytes.chunks_exact(W))
        {
            let mut piece = [0u8; 16];
            piece[..W].copy_from_slice(bytes);
            let piece = u128::from_le_bytes(piece);
            eight[0] = piece as u64 & (u64::MAX >> (64 - 4 * W));
            eight[1] = (piece >> (4 * W)) as u64;
        }
        for word in &mut words {
            let pairs = (*word & ((1u64 << (2 * W)) - 1)) | (*word >> (2 * W)) << 32;
            *word = (pairs & (low | low << 32)) | (pairs >> W & (low | low << 32)) << 16;
        }
        for (word, four) in words.iter().zip(group.as_chunks_mut::<4>().0) {
            *four = [
                *word as u16,
                (*word >> 16) as u16,
                (*word >> 32) as u16,
                (*word >> 48) as u16,
            ];
        }
    }
}
