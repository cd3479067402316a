//! A hash that is the same in every run, so that a session's review is reproducible.

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of these bytes. Not collision-resistant: forging one would only deceive the forger's own review.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut state = bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        state = mix(state, chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }
    let rest = chunks.remainder().iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    mix(state, rest)
}

/// Combines two hashes; the order matters.
pub(crate) fn mix(left: u64, right: u64) -> u64 {
    let wide = u128::from(left ^ FACTOR) * u128::from(right.rotate_left(29) ^ FACTOR.rotate_left(17) | 1);
    let (high, low) = ((wide >> 64) as u64, wide as u64);
    (high ^ low).wrapping_add(right).wrapping_mul(FACTOR).rotate_left(23) ^ left
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn different_texts_differ() {
        let hashes: HashSet<u64> = (0..100_000_u32).map(|n| hash(n.to_string().as_bytes())).collect();
        assert_eq!(hashes.len(), 100_000);
        let high: HashSet<u32> = hashes.iter().map(|hash| (hash >> 32) as u32).collect();
        assert!(high.len() > 99_990, "{}", high.len());
        assert_ne!(mix(1, 2), mix(2, 1));
    }
}
