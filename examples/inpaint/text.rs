//! Text that covers a picture.

use std::error::Error;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::program::Outcome;

const FONT: &str = "ubuntu";

const LINES: [&str; 6] = [
    "A picture is more than its pixels: what",
    "is missing of a patch follows from what",
    "is there, if a few atoms of a dictionary",
    "explain it. They are learned from the",
    "pixels between these letters alone, and",
    "then say what the letters have covered.",
];

/// Which pixels of a picture of this size lines of text cover.
pub(crate) fn covered(width: usize, height: usize) -> Outcome<Vec<bool>> {
    if register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_err() {
        return Err("the font of the text cannot be read".into());
    }
    painted(width, height).map_err(|error| format!("text: {error}").into())
}

fn painted(width: usize, height: usize) -> Result<Vec<bool>, Box<dyn Error>> {
    let mut bytes = vec![255; 3 * width * height];
    let size = (u32::try_from(width)?, u32::try_from(height)?);
    {
        let area = BitMapBackend::with_buffer(&mut bytes, size).into_drawing_area();
        area.fill(&WHITE)?;
        // Letters are about as high as patches; lines are repeated to the bottom of the picture.
        let high = (height as f64 / 13.0).max(14.0);
        for (n, line) in LINES.iter().cycle().enumerate() {
            let top = (1.3 * high * n as f64) as i32 + 4;
            if top >= height as i32 {
                break;
            }
            area.draw(&Text::new(*line, (4, top), (FONT, high).into_font().color(&BLACK)))?;
        }
        area.present()?;
    }
    Ok(bytes.chunks_exact(3).map(|pixel| pixel[0] < 192).collect())
}
