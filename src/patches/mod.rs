//! Pictures as samples: overlapping patches and back, a cosine dictionary, atoms as a picture, and
//! denoising and inpainting in one call.
//!
//! | part | what it does |
//! |---|---|
//! | [`Image`] | pixels in a buffer, grey or in colours |
//! | [`Patches`] | patches of an image as samples, with or without their means, and back |
//! | [`overcomplete_dct`] | a dictionary of cosines, to start from |
//! | [`mosaic`] | the atoms of a dictionary as one image |
//! | [`denoise`], [`Denoising`] | removes Gaussian noise by a dictionary learned from the noisy image |
//! | [`inpaint`], [`Inpainting`] | fills in missing pixels by a dictionary learned from the others |
//!
//! Images are buffers of `f32`: to read and write files is up to the caller (`examples/denoise`
//! does it for PNG).

mod dct;
mod denoise;
mod image;
mod inpaint;
mod mosaic;
mod samples;

pub use dct::overcomplete_dct;
pub use denoise::{Denoised, Denoising, denoise};
pub use image::Image;
pub use inpaint::{Inpainted, Inpainting, inpaint};
pub use mosaic::mosaic;
pub use samples::Patches;
