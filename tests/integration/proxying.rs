//! What goes through, unchanged.
