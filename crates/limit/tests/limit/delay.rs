//! Waiting for a place.
