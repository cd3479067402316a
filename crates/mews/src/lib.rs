//! mews
