//! Planted problems.
