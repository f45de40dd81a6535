//! Public test suites.
