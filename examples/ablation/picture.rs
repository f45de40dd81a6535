//! The results as a picture: a row of panels for each problem, a panel for each number of power
//! steps.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use crate::arguments::Arguments;
use crate::experiment::{Cell, Setting, Study};
use crate::program::Outcome;
use crate::statistics::{half_width, mean};

const FONT: &str = "ubuntu";
const INK: RGBColor = RGBColor(40, 44, 52);
const GRID: RGBColor = RGBColor(226, 228, 232);

/// Of the minibatches, in the order they were asked for; more than these repeat.
const LINES: [RGBColor; 4] =
    [RGBColor(204, 92, 18), RGBColor(31, 99, 168), RGBColor(58, 138, 79), RGBColor(120, 76, 150)];

/// Sizes in pixels.
const PANEL: (u32, u32) = (460, 330);
const HEADING: u32 = 76;
const TITLE: u32 = 44;
const LEGEND: u32 = 64;

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

pub fn draw(path: &Path, arguments: &Arguments, studies: &[Study]) -> Outcome<()> {
    let ubuntu = epaint_default_fonts::UBUNTU_LIGHT;
    if register_font(FONT, FontStyle::Normal, ubuntu).is_err() {
        return Err("the font of the picture cannot be read".into());
    }
    paint(path, arguments, studies).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn paint(path: &Path, arguments: &Arguments, studies: &[Study]) -> Result<(), Box<dyn Error>> {
    let columns = studies.iter().map(|study| study.power_steps.len()).max().unwrap_or(1) as u32;
    let row = TITLE + PANEL.1;
    let size = ((columns * PANEL.0).max(920), HEADING + row * studies.len() as u32 + LEGEND);
    let area = BitMapBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    let middle = size.0 as i32 / 2;
    write(&area, "What the parts of DB-KSVD are worth", (middle, 30), 30)?;
    let what = format!(
        "{} epochs, mean and 95% interval of {} seeds; across: atoms updated at a time",
        arguments.epochs, arguments.seeds
    );
    write(&area, &what, (middle, 60), 19)?;
    let (_, below) = area.split_vertically(HEADING);
    for (nth, study) in studies.iter().enumerate() {
        let (_, rest) = below.split_vertically(row * nth as u32);
        let (part, _) = rest.split_vertically(row);
        let (title, panels) = part.split_vertically(TITLE);
        write(&title, study.problem.title(), (middle, 24), 23)?;
        let range = range(study);
        for (column, &power_steps) in study.power_steps.iter().enumerate() {
            let (_, rest) = panels.split_horizontally(PANEL.0 * column as u32);
            let (panel, _) = rest.split_horizontally(PANEL.0);
            Panel { study, power_steps, range }.paint(&panel)?;
        }
    }
    let (_, bottom) = area.split_vertically(size.1 - LEGEND);
    legend(&bottom, arguments, middle)?;
    area.present()?;
    Ok(())
}

/// Of all values of a problem, with their intervals and some room.
fn range(study: &Study) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for cell in &study.cells {
        let (middle, half) = (mean(&cell.values), half_width(&cell.values));
        (low, high) = (low.min(middle - half), high.max(middle + half));
    }
    let room = 0.06 * (high - low).max(1e-9);
    (low - room, high + room)
}

/// One number of power steps of one problem.
struct Panel<'a> {
    study: &'a Study,
    power_steps: usize,
    range: (f64, f64),
}

impl Panel<'_> {
    fn paint(&self, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let batches = &self.study.atom_batches;
        let (low, high) = self.range;
        let across = -0.5..batches.len() as f64 - 0.5;
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(34)
            .y_label_area_size(64)
            .build_cartesian_2d(across, low..high)?;
        let digits = if self.study.problem.digits() > 1 { 3 } else { 0 };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .x_labels(0)
            .y_labels(6)
            .y_label_formatter(&|value: &f64| format!("{value:.digits$}"))
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .label_style((FONT, 17).into_font().color(&INK))
            .axis_style(INK)
            .draw()?;
        for (nth, &minibatch) in self.study.minibatches.iter().enumerate() {
            for care in [true, false] {
                let middle = (self.study.minibatches.len() - 1) as f64 / 2.0;
                let shift = 0.09 * (nth as f64 - middle) + if care { -0.02 } else { 0.02 };
                let cells: Vec<(f64, &Cell)> = (0..)
                    .zip(batches)
                    .filter_map(|(place, &atom_batch)| {
                        let power_steps = self.power_steps;
                        let setting = Setting { minibatch, atom_batch, power_steps, care };
                        Some((f64::from(place) + shift, self.study.cell(setting)?))
                    })
                    .collect();
                let colour = LINES[nth % LINES.len()];
                let points = cells.iter().map(|&(x, cell)| (x, mean(&cell.values)));
                let width = if care { 3 } else { 1 };
                chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(width)))?;
                chart.draw_series(cells.iter().map(|&(x, cell)| {
                    let (middle, half) = (mean(&cell.values), half_width(&cell.values));
                    PathElement::new([(x, middle - half), (x, middle + half)], colour)
                }))?;
                chart.draw_series(points.map(|point| marker(point, colour, care)))?;
            }
        }
        let (width, height) = area.dim_in_pixel();
        let inner = chart.plotting_area().clone();
        for (place, batch) in batches.iter().enumerate() {
            let (x, _) = inner.map_coordinate(&(place as f64, low));
            let (x0, _) = area.get_base_pixel();
            write(area, &batch.to_string(), (x - x0, height as i32 - 30), 18)?;
        }
        let plural = if self.power_steps == 1 { "" } else { "s" };
        let name = format!("{} power step{plural}", self.power_steps);
        write(area, &name, (width as i32 / 2 + 32, height as i32 - 9), 18)
    }
}

/// Full with care, hollow without.
fn marker<C>(at: C, colour: RGBColor, care: bool) -> Circle<C, i32> {
    match care {
        true => Circle::new(at, 5, colour.filled()),
        false => Circle::new(at, 5, colour.stroke_width(2)),
    }
}

fn legend(area: &Area<'_>, arguments: &Arguments, middle: i32) -> Result<(), Box<dyn Error>> {
    let entries = arguments.minibatches.len() as i32;
    let mut x = middle - 130 * (entries + 2) / 2;
    for (nth, steps) in arguments.minibatches.iter().enumerate() {
        let colour = LINES[nth % LINES.len()];
        area.draw(&PathElement::new([(x, 26), (x + 34, 26)], colour.stroke_width(3)))?;
        let plural = if *steps == 1 { "" } else { "s" };
        write(area, &format!("{steps} step{plural} an epoch"), (x + 105, 26), 18)?;
        x += 190;
    }
    for (care, name) in [(true, "care"), (false, "no care")] {
        area.draw(&marker((x + 10, 26), INK, care))?;
        write(area, name, (x + 54, 26), 18)?;
        x += 110;
    }
    Ok(())
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32) -> Result<(), Box<dyn Error>> {
    let centred = Pos::new(HPos::Center, VPos::Center);
    let style = TextStyle::from((FONT, size).into_font()).color(&INK).pos(centred);
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}
