//! Comparing within a tolerance.

/// Fails unless `found` is within `tolerance` of `expected`.
#[track_caller]
pub fn assert_close(found: f64, expected: f64, tolerance: f64) {
    let distance = (found - expected).abs();
    assert!(distance <= tolerance, "{found} is {distance:e} from {expected}, above {tolerance:e}");
}
