//! How much work and memory searching one text may take.

/// The text needs more than that: it was made to be slow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooComplex;

/// What is left to spend on a text.
///
/// One thread redacts everything, and every response waits for it: a small body that unfolds must not hold up all others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Escapes in all layers, whose places take 12 bytes each.
    pub(super) escapes: usize,
    /// Bytes in all layers.
    pub(super) bytes: usize,
    /// Findings.
    pub(super) edits: usize,
}

impl Bounds {
    /// Ordinary bodies of 8 MiB stay below: of JSON in a JSON string, or of letters in escapes like `\u0411`, they have 1.4
    /// million escapes; and with a secret in every 50 bytes, each found in three ways, half a million findings. The bytes
    /// are those of three layers of the longest body, or of all nine of one with 20 MiB.
    pub(super) const USUAL: Self = Self { escapes: 2 << 20, bytes: 192 << 20, edits: 1 << 19 };
    /// For what nobody waits for, and must be searched to its end.
    pub(super) const NONE: Self = Self { escapes: usize::MAX, bytes: usize::MAX, edits: usize::MAX };
}
