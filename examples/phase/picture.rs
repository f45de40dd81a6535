//! The results as a picture: a grid of cells for each method.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use crate::arguments::Arguments;
use crate::experiment::{Cell, METHODS};
use crate::program::Outcome;
use crate::statistics::mean;

const FONT: &str = "ubuntu";
const INK: RGBColor = RGBColor(40, 44, 52);
const FRONTIER: RGBColor = RGBColor(204, 92, 18);

/// From none to all atoms.
const STOPS: [RGBColor; 4] = [
    RGBColor(246, 244, 239),
    RGBColor(176, 208, 216),
    RGBColor(63, 131, 168),
    RGBColor(16, 52, 96),
];

/// Sizes in pixels.
const CELL: (i32, i32) = (92, 46);
const LEFT: i32 = 84;
const TOP: i32 = 132;
const BETWEEN: (i32, i32) = (84, 108);
const MARGIN: i32 = 40;
const LEGEND: i32 = 108;

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

/// The cells of one method, and where they begin.
struct Panel<'a, 'b> {
    area: &'a Area<'b>,
    origin: (i32, i32),
    arguments: &'a Arguments,
    /// By sparsity, then samples.
    shares: Vec<f64>,
}

pub fn draw(path: &Path, arguments: &Arguments, cells: &[Cell]) -> Outcome<()> {
    let ubuntu = epaint_default_fonts::UBUNTU_LIGHT;
    if register_font(FONT, FontStyle::Normal, ubuntu).is_err() {
        return Err("the font of the picture cannot be read".into());
    }
    paint(path, arguments, cells).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn paint(path: &Path, arguments: &Arguments, cells: &[Cell]) -> Result<(), Box<dyn Error>> {
    let (columns, rows) = (arguments.samples.len() as i32, arguments.sparsities.len() as i32);
    let (width, height) = (columns * CELL.0, rows * CELL.1);
    let size = (LEFT + 2 * width + BETWEEN.0 + MARGIN, TOP + 2 * height + BETWEEN.1 + 60 + LEGEND);
    let area = BitMapBackend::new(path, (size.0 as u32, size.1 as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let middle = size.0 / 2;
    write(&area, "Share of planted atoms recovered, in equal time", (middle, 34), 32)?;
    let Arguments { dim, atoms, noise, seeds, .. } = arguments;
    let what =
        format!("d {dim}, m {atoms}, {:.0}% noise, mean of {seeds} seeds, per cent", 100.0 * noise);
    write(&area, &what, (middle, 70), 20)?;
    for (nth, method) in METHODS.iter().enumerate() {
        let (column, row) = (nth as i32 % 2, nth as i32 / 2);
        let origin = (LEFT + column * (width + BETWEEN.0), TOP + row * (height + BETWEEN.1));
        let shares: Vec<f64> = cells.iter().map(|cell| mean(&cell.shares[nth])).collect();
        let title = format!("{}: {:.0}% over all cells", method.name, 100.0 * mean(&shares));
        write(&area, &title, (origin.0 + width / 2, origin.1 - 22), 24)?;
        Panel { area: &area, origin, arguments, shares }.paint()?;
    }
    legend(&area, (middle - 200, size.1 - LEGEND + 16))?;
    area.present()?;
    Ok(())
}

impl Panel<'_, '_> {
    fn paint(&self) -> Result<(), Box<dyn Error>> {
        let (columns, rows) = (self.arguments.samples.len(), self.arguments.sparsities.len());
        for row in 0..rows {
            for column in 0..columns {
                let share = self.share(row, column);
                let (a, b) = (self.corner(row + 1, column), self.corner(row, column + 1));
                self.area.draw(&Rectangle::new([a, b], colour(share).filled()))?;
                let ink = if share > 0.55 { WHITE } else { INK };
                let text = format!("{:.0}", 100.0 * share);
                let at = ((a.0 + b.0) / 2, (a.1 + b.1) / 2);
                write_in(self.area, &text, at, 19, &ink)?;
            }
        }
        self.frontier(rows, columns)?;
        for (row, sparsity) in self.arguments.sparsities.iter().enumerate() {
            let y = self.corner(row, 0).1 - CELL.1 / 2;
            write(self.area, &sparsity.to_string(), (self.origin.0 - 20, y), 19)?;
        }
        let bottom = self.corner(0, 0).1;
        for (column, samples) in self.arguments.samples.iter().enumerate() {
            let x = self.corner(0, column).0 + CELL.0 / 2;
            write(self.area, &thousands(*samples), (x, bottom + 18), 19)?;
        }
        let middle = self.origin.0 + columns as i32 * CELL.0 / 2;
        write(self.area, "samples N", (middle, bottom + 44), 20)?;
        let middle = self.origin.1 + rows as i32 * CELL.1 / 2;
        let turned = style(20, &INK).transform(FontTransform::Rotate270);
        let at = (self.origin.0 - 56, middle);
        self.area.draw(&Text::new("atoms a sample k", at, turned))?;
        Ok(())
    }

    /// A line between cells above and below half.
    fn frontier(&self, rows: usize, columns: usize) -> Result<(), Box<dyn Error>> {
        let above = |row: usize, column: usize| self.share(row, column) >= 0.5;
        let line = |from, to| PathElement::new([from, to], FRONTIER.stroke_width(4));
        for row in 0..rows {
            for column in 0..columns {
                if column + 1 < columns && above(row, column) != above(row, column + 1) {
                    let ends = (self.corner(row, column + 1), self.corner(row + 1, column + 1));
                    self.area.draw(&line(ends.0, ends.1))?;
                }
                if row + 1 < rows && above(row, column) != above(row + 1, column) {
                    let ends = (self.corner(row + 1, column), self.corner(row + 1, column + 1));
                    self.area.draw(&line(ends.0, ends.1))?;
                }
            }
        }
        Ok(())
    }

    fn share(&self, row: usize, column: usize) -> f64 {
        self.shares[row * self.arguments.samples.len() + column]
    }

    /// The lower left corner of a cell; sparsity grows upwards.
    fn corner(&self, row: usize, column: usize) -> (i32, i32) {
        let from_top = (self.arguments.sparsities.len() - row) as i32;
        (self.origin.0 + column as i32 * CELL.0, self.origin.1 + from_top * CELL.1)
    }
}

/// Colours from 0 to 100, and what the line means.
fn legend(area: &Area<'_>, (x, y): (i32, i32)) -> Result<(), Box<dyn Error>> {
    for step in 0..400 {
        let ends = [(x + step, y), (x + step + 1, y + 20)];
        area.draw(&Rectangle::new(ends, colour(f64::from(step) / 399.0).filled()))?;
    }
    for percent in [0, 25, 50, 75, 100] {
        write(area, &format!("{percent}%"), (x + 4 * percent, y + 36), 19)?;
    }
    let line = [(x + 50, y + 66), (x + 100, y + 66)];
    area.draw(&PathElement::new(line, FRONTIER.stroke_width(4)))?;
    write(area, "half of the atoms", (x + 200, y + 66), 19)
}

fn colour(share: f64) -> RGBColor {
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let below = (at as usize).min(STOPS.len() - 2);
    let (from, to, weight) = (STOPS[below], STOPS[below + 1], at - below as f64);
    let mix = |a: u8, b: u8| (f64::from(a) + weight * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

fn style(size: i32, ink: &RGBColor) -> TextStyle<'_> {
    let centred = Pos::new(HPos::Center, VPos::Center);
    TextStyle::from((FONT, size).into_font()).color(ink).pos(centred)
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32) -> Result<(), Box<dyn Error>> {
    write_in(area, text, at, size, &INK)
}

fn write_in(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    ink: &RGBColor,
) -> Result<(), Box<dyn Error>> {
    area.draw(&Text::new(text.to_owned(), at, style(size, ink)))?;
    Ok(())
}

fn thousands(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1000), number % 1000),
    }
}
