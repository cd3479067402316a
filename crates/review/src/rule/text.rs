//! What is said about a rule.

/// What is said about a rule. Parts between backticks are code.
pub(crate) struct Text {
    /// What was found, in one line.
    pub(crate) title: &'static str,
    /// Why reviewers care, and exactly what raises it.
    pub(crate) why: &'static str,
    /// What to do about it.
    pub(crate) advice: &'static str,
}
