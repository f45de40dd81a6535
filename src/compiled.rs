//! The heavy loops, compiled once for each scalar.
//!
//! Generic functions are compiled in the crate that says what their types are: every program that
//! codes or learns would compile these loops again, for each instruction set. As methods of the
//! scalars they are compiled in this crate, whoever calls them.

use crate::Scalar;
use crate::coder::{Pursuits, ThresholdPursuits};
use crate::updater::Sweep;

/// What the algorithms do with a scalar.
pub trait Compiled: Sized {
    /// [`Pursuits::run_fastest`].
    fn pursue(pursuits: Pursuits<'_, Self>)
    where
        Self: Scalar;

    /// [`ThresholdPursuits::run`].
    fn pursue_to_threshold(pursuits: ThresholdPursuits<'_, Self>)
    where
        Self: Scalar;

    /// [`Sweep::update_batch`].
    fn update_batch(sweep: &mut Sweep<'_, Self>, batch: &[u32], place: usize) -> bool
    where
        Self: Scalar;
}

macro_rules! compiled {
    ($scalar:ty) => {
        impl Compiled for $scalar {
            fn pursue(pursuits: Pursuits<'_, Self>) {
                pursuits.run_fastest();
            }

            fn pursue_to_threshold(pursuits: ThresholdPursuits<'_, Self>) {
                pursuits.run();
            }

            fn update_batch(sweep: &mut Sweep<'_, Self>, batch: &[u32], place: usize) -> bool {
                sweep.update_batch(batch, place)
            }
        }
    };
}

compiled!(f32);
compiled!(f64);
