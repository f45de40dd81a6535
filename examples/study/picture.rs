//! The results as pictures.

use std::error::Error;
use std::path::Path;

use plotters::element::PointCollection;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use crate::arguments::Arguments;
use crate::measure::{HELD_OUT, L0, Row};
use crate::methods::{METHODS, Method};
use crate::optimum::{Gap, Owner};
use crate::program::Outcome;
use crate::statistics::Estimate;
use crate::table::owner;

const FONT: &str = "ubuntu";
const INK: RGBColor = RGBColor(40, 44, 52);
const GRID: RGBColor = RGBColor(226, 228, 232);
const BLUE: RGBColor = RGBColor(31, 99, 168);
const ORANGE: RGBColor = RGBColor(204, 92, 18);
const GREEN: RGBColor = RGBColor(38, 132, 78);
const GREY: RGBColor = RGBColor(128, 134, 144);
const PURPLE: RGBColor = RGBColor(122, 62, 160);

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;
type Painted = Result<(), Box<dyn Error>>;

/// The mark of a method's points.
#[derive(Clone, Copy)]
enum Mark {
    Circle,
    Ring,
    Square,
    Cross,
    Triangle,
}

/// Colour by dictionary, mark by coder; hollow for less training.
fn look(method: Method) -> (RGBColor, Mark) {
    match METHODS[method.0].name {
        "DB-KSVD, OMP" => (BLUE, Mark::Circle),
        "DB-KSVD non-negative, OMP" => (BLUE, Mark::Ring),
        "DB-KSVD, top k" => (BLUE, Mark::Square),
        "DB-KSVD non-negative, top k" => (BLUE, Mark::Cross),
        "TopK SAE" => (ORANGE, Mark::Square),
        "TopK SAE, equal time" => (ORANGE, Mark::Cross),
        "TopK SAE, OMP" => (ORANGE, Mark::Circle),
        "TopK SAE equal time, OMP" => (ORANGE, Mark::Ring),
        "random rows, OMP" => (GREEN, Mark::Circle),
        "Gaussian atoms, OMP" => (GREEN, Mark::Ring),
        "PCA" => (GREY, Mark::Triangle),
        _ => (PURPLE, Mark::Triangle),
    }
}

/// FVU of held-out rows against L0.
pub fn pareto(path: &Path, arguments: &Arguments, rows: &[Row]) -> Outcome<()> {
    fonts()?;
    paint_pareto(path, arguments, rows).map_err(|error| failed(path, &*error))
}

/// The excess of each coder's error over that of the optimal codes.
pub fn optimum(path: &Path, arguments: &Arguments, gaps: &[Gap]) -> Outcome<()> {
    fonts()?;
    paint_optimum(path, arguments, gaps).map_err(|error| failed(path, &*error))
}

fn failed(path: &Path, error: &dyn Error) -> Box<dyn Error + Send + Sync> {
    format!("{}: {error}", path.display()).into()
}

fn fonts() -> Outcome<()> {
    let ubuntu = epaint_default_fonts::UBUNTU_LIGHT;
    register_font(FONT, FontStyle::Normal, ubuntu)
        .map_err(|_| "the font of the pictures cannot be read".into())
}

const SIZE: (u32, u32) = (1500, 900);
/// Where the legend begins.
const LEGEND: i32 = 1090;

fn paint_pareto(path: &Path, arguments: &Arguments, rows: &[Row]) -> Painted {
    let area = BitMapBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (plot, _) = area.split_horizontally(LEGEND);
    let fvus: Vec<f64> = rows.iter().map(|row| row.estimate(HELD_OUT).mean).collect();
    let l0s: Vec<f64> = rows.iter().map(|row| row.estimate(L0).mean).collect();
    let range = |values: &[f64], room: f64| {
        let (least, most) = values.iter().fold((f64::MAX, f64::MIN_POSITIVE), |(a, b), &value| {
            (a.min(value.max(1e-6)), b.max(value))
        });
        least / room..most * room
    };
    let (x, y) = (range(&l0s, 1.15), range(&fvus, 1.12));
    let ticks = [0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0];
    let ticks: Vec<f64> = ticks.into_iter().filter(|tick| y.contains(tick)).collect();
    let sparsities: Vec<f64> = arguments.sparsities.iter().map(|&k| k as f64).collect();
    let mut chart = ChartBuilder::on(&plot)
        .caption("Error of held-out rows against sparsity", (FONT, 34, &INK))
        .margin(22)
        .x_label_area_size(70)
        .y_label_area_size(104)
        .build_cartesian_2d(
            x.log_scale().with_key_points(sparsities),
            y.log_scale().with_key_points(ticks),
        )?;
    chart
        .configure_mesh()
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .x_desc("L0: atoms a row")
        .y_desc("fraction of variance unexplained")
        .label_style((FONT, 22, &INK))
        .axis_desc_style((FONT, 25, &INK))
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .axis_style(INK)
        .draw()?;
    let mut line = 0;
    for (place, described) in METHODS.iter().enumerate() {
        let method = Method(place);
        let (colour, mark) = look(method);
        let points: Vec<(f64, Estimate)> = rows
            .iter()
            .filter(|row| row.method == method)
            .map(|row| (row.estimate(L0).mean, row.estimate(HELD_OUT)))
            .collect();
        if points.is_empty() {
            continue;
        }
        let means = points.iter().map(|&(x, fvu)| (x, fvu.mean));
        chart.draw_series(LineSeries::new(means.clone(), colour.stroke_width(2)))?;
        for &(x, fvu) in &points {
            if let Some(half) = fvu.half_width {
                let ends = [(x, (fvu.mean - half).max(1e-6)), (x, fvu.mean + half)];
                chart.plotting_area().draw(&PathElement::new(ends, colour.stroke_width(4)))?;
            }
        }
        for point in means {
            draw_mark(chart.plotting_area(), point, colour, mark)?;
        }
        let y = 120 + 46 * line;
        area.draw(&PathElement::new([(LEGEND, y), (LEGEND + 50, y)], colour.stroke_width(2)))?;
        draw_mark(&area, (LEGEND + 25, y), colour, mark)?;
        let left = Pos::new(HPos::Left, VPos::Center);
        write(&area, described.name, (LEGEND + 64, y), 24, left)?;
        line += 1;
    }
    area.present()?;
    Ok(())
}

fn draw_mark<'a, C, X>(
    area: &DrawingArea<BitMapBackend<'a>, X>,
    at: C,
    colour: RGBColor,
    mark: Mark,
) -> Painted
where
    C: Copy,
    X: plotters::coord::CoordTranslate<From = C>,
    for<'b> &'b Circle<C, i32>: PointCollection<'b, C>,
    for<'b> &'b Cross<C, i32>: PointCollection<'b, C>,
    for<'b> &'b TriangleMarker<C, i32>: PointCollection<'b, C>,
    for<'b> &'b EmptyElement<C, BitMapBackend<'a>>: PointCollection<'b, C>,
{
    match mark {
        Mark::Circle => area.draw(&Circle::new(at, 8, colour.filled()))?,
        Mark::Ring => {
            area.draw(&Circle::new(at, 8, WHITE.filled()))?;
            area.draw(&Circle::new(at, 8, colour.stroke_width(3)))?;
        }
        Mark::Square => {
            let square = Rectangle::new([(-7, -7), (7, 7)], colour.filled());
            area.draw(&(EmptyElement::at(at) + square))?;
        }
        Mark::Cross => area.draw(&Cross::new(at, 8, colour.stroke_width(3)))?,
        Mark::Triangle => area.draw(&TriangleMarker::new(at, 11, colour.filled()))?,
    }
    Ok(())
}

/// Sizes of the second picture, in pixels.
const NAMES: i32 = 300;
const SCALE: i32 = 620;
const VALUES: i32 = 250;
const LINE: i32 = 44;
const TOP: i32 = 110;
const TITLE: i32 = 62;
/// Excess in per cent at the ends of the scale, as powers of ten.
const DECADES: (i32, i32) = (-1, 4);

fn paint_optimum(path: &Path, arguments: &Arguments, gaps: &[Gap]) -> Painted {
    let mut panels: Vec<(Owner, usize, Vec<&Gap>)> = Vec::new();
    for owner in [Owner::DbKsvd, Owner::Sae] {
        for &sparsity in &arguments.small.sparsities {
            let own = gaps.iter().filter(|gap| (gap.owner, gap.sparsity) == (owner, sparsity));
            let own: Vec<&Gap> = own.collect();
            if !own.is_empty() {
                panels.push((owner, sparsity, own));
            }
        }
    }
    let lines: i32 = panels.iter().map(|(_, _, own)| TITLE + LINE * own.len() as i32).sum();
    let size = (NAMES + SCALE + VALUES, TOP + lines + 90);
    let area = BitMapBackend::new(path, (size.0 as u32, size.1 as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let centre = Pos::new(HPos::Center, VPos::Center);
    write(
        &area,
        "Error above that of the optimal codes, same dictionary",
        (size.0 / 2, 36),
        32,
        centre,
    )?;
    let small = &arguments.small;
    let what = format!("d {}, m {}, held-out rows, per cent", small.directions, small.atoms);
    write(&area, &what, (size.0 / 2, 74), 22, centre)?;
    let bottom = TOP + lines;
    for power in DECADES.0..=DECADES.1 {
        let x = place(10_f64.powi(power));
        area.draw(&PathElement::new([(x, TOP), (x, bottom)], GRID.stroke_width(2)))?;
        let label = format!("{}%", 10_f64.powi(power));
        write(&area, &label, (x, bottom + 24), 20, centre)?;
    }
    let mut y = TOP;
    for (whose, sparsity, own) in panels {
        let title = format!("{}, k = {sparsity}", owner(whose));
        let left = Pos::new(HPos::Left, VPos::Center);
        let width = 30 + 11 * title.len() as i32;
        // The lines of the scale stay behind the title.
        area.draw(&Rectangle::new([(20, y + 16), (width, y + 52)], WHITE.filled()))?;
        write(&area, &title, (24, y + 34), 25, left)?;
        y += TITLE;
        let colour = if whose == Owner::DbKsvd { BLUE } else { ORANGE };
        for gap in own {
            let middle = y + LINE / 2;
            let right = Pos::new(HPos::Right, VPos::Center);
            write(&area, gap.coder, (NAMES - 24, middle), 22, right)?;
            let excess = Estimate::of(&gap.excess);
            let half = excess.half_width.unwrap_or(0.0);
            let ends = [excess.mean - half, excess.mean + half].map(|end| (place(end), middle));
            area.draw(&PathElement::new(ends, colour.stroke_width(4)))?;
            area.draw(&Circle::new((place(excess.mean), middle), 8, colour.filled()))?;
            let told = format!("{}%", excess.text(2));
            write(&area, &told, (NAMES + SCALE + 24, middle), 22, left)?;
            y += LINE;
        }
    }
    area.present()?;
    Ok(())
}

/// Where an excess in per cent stands; what is beyond the scale, at its end.
fn place(excess: f64) -> i32 {
    let (low, high) = (f64::from(DECADES.0), f64::from(DECADES.1));
    let power = excess.max(1e-9).log10().clamp(low, high);
    NAMES + ((power - low) / (high - low) * f64::from(SCALE)).round() as i32
}

fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, pos: Pos) -> Painted {
    let style = TextStyle::from((FONT, size).into_font()).color(&INK).pos(pos);
    // The font's letters stand above the middle of its lines.
    area.draw(&Text::new(text.to_owned(), (at.0, at.1 + size / 6), style))?;
    Ok(())
}
