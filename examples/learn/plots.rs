//! The error by epoch and the usage of atoms, as PNG files.

use std::error::Error;
use std::path::Path;
use std::sync::Once;

use dbksvd::learn::Report;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::failure::Failure;
use crate::table::thousands;

const SIZE: (u32, u32) = (1200, 750);
const FONT: &str = "ubuntu";
const INK: RGBColor = RGBColor(40, 44, 52);
const LINE: RGBColor = RGBColor(31, 99, 168);
const OTHER: RGBColor = RGBColor(204, 92, 18);
const GRID: RGBColor = RGBColor(226, 228, 232);

/// FVU by epoch, and that of held-out rows at the end; of rows within the norm limit, where there
/// is one.
pub fn error(
    path: &Path,
    report: &Report,
    held_out: Option<f64>,
    has_limit: bool,
) -> Result<(), Failure> {
    draw(path, || draw_error(path, report, held_out, has_limit))
}

/// The share of rows that use each atom, the most used first.
pub fn usage(path: &Path, usage: &[u64], rows: usize) -> Result<(), Failure> {
    draw(path, || draw_usage(path, usage, rows))
}

fn draw(path: &Path, plot: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<(), Failure> {
    // No font of the system is counted on.
    static FONTS: Once = Once::new();
    FONTS.call_once(|| {
        let ubuntu = epaint_default_fonts::UBUNTU_LIGHT;
        assert!(register_font(FONT, FontStyle::Normal, ubuntu).is_ok(), "a font that parses");
    });
    plot().map_err(|error| Failure::Run(format!("{}: {error}", path.display())))
}

fn draw_error(
    path: &Path,
    report: &Report,
    held_out: Option<f64>,
    has_limit: bool,
) -> Result<(), Box<dyn Error>> {
    let area = BitMapBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let epochs = &report.epochs;
    let points: Vec<_> = epochs
        .iter()
        .map(|report| (report.epoch as f64, report.fvu_within))
        .filter(|(_, fvu)| fvu.is_finite())
        .collect();
    let held_out = held_out.filter(|fvu| fvu.is_finite());
    // Evaluations stand where they were made, in epochs of equal numbers of steps.
    let per_epoch = report.steps as f64 / epochs.len().max(1) as f64;
    let evaluated =
        report.evaluations.iter().filter(|one| one.held_out && one.fvu_within.is_finite());
    let evaluated: Vec<_> =
        evaluated.map(|one| (one.step as f64 / per_epoch, one.fvu_within)).collect();
    let values = points.iter().chain(&evaluated).map(|&(_, fvu)| fvu).chain(held_out);
    let top = values.fold(0.0, f64::max).max(f64::MIN_POSITIVE) * 1.1;
    let last = epochs.len() as f64;
    let title =
        if has_limit { "Error by epoch, rows within the norm limit" } else { "Error by epoch" };
    let mut chart = chart(&area, title, 0.5..last + 0.5, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(epochs.len().min(12) + 2)
        .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x}") } else { String::new() })
        .y_label_formatter(&|y| format!("{y:.2}"))
        .x_desc("epoch")
        .y_desc("fraction of variance unexplained")
        .label_style((FONT, 22, &INK))
        .axis_desc_style((FONT, 25, &INK))
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .axis_style(INK)
        .draw()?;
    let thick = LINE.stroke_width(4);
    chart
        .draw_series(LineSeries::new(points.iter().copied(), thick))?
        .label("rows learned from, each minibatch before its update")
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 40, y)], thick));
    chart.draw_series(points.iter().map(|&point| Circle::new(point, 7, LINE.filled())))?;
    if !evaluated.is_empty() {
        let thin = OTHER.stroke_width(2);
        chart
            .draw_series(LineSeries::new(evaluated.iter().copied(), thin))?
            .label("held-out rows, as learning went")
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 40, y)], thin));
    }
    if let Some(fvu) = held_out {
        let thick = OTHER.stroke_width(3);
        chart
            .draw_series(DashedLineSeries::new([(0.5, fvu), (last + 0.5, fvu)], 14, 10, thick))?
            .label(format!("held-out rows, final dictionary: {fvu:.4}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 40, y)], thick));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .margin(24)
        .legend_area_size(58)
        .label_font((FONT, 22, &INK))
        .background_style(WHITE.mix(0.9))
        .border_style(GRID)
        .draw()?;
    area.present()?;
    Ok(())
}

fn draw_usage(path: &Path, usage: &[u64], rows: usize) -> Result<(), Box<dyn Error>> {
    let area = BitMapBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut uses: Vec<u64> = usage.iter().copied().filter(|&uses| uses > 0).collect();
    uses.sort_unstable_by(|a, b| b.cmp(a));
    let dead = usage.len() - uses.len();
    let percent = |uses: u64| 100.0 * uses as f64 / rows as f64;
    let top = uses.first().map_or(100.0, |&uses| percent(uses)) * 1.6;
    let bottom = uses.last().map_or(1.0, |&uses| percent(uses)) / 1.6;
    let title = match dead {
        0 => "Usage of atoms".to_owned(),
        dead => format!("Usage of atoms ({} of {} unused)", thousands(dead), usage.len()),
    };
    let last = usage.len() as f64;
    let mut chart = chart(
        &area,
        &title,
        0.0..last,
        (bottom..top).log_scale().with_key_points(ticks(bottom, top)),
    )?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_label_formatter(&|x| thousands(*x as usize))
        .y_label_formatter(&|y| format!("{}%", (y * 1e6).round() / 1e6))
        .x_desc("atoms, the most used first")
        .y_desc("share of the rows learned from")
        .label_style((FONT, 22, &INK))
        .axis_desc_style((FONT, 25, &INK))
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .axis_style(INK)
        .draw()?;
    // A step for each atom.
    let steps = uses.iter().enumerate().flat_map(|(nth, &uses)| {
        let (left, height) = (nth as f64, percent(uses));
        [(left, height), (left + 1.0, height)]
    });
    chart.draw_series(LineSeries::new(steps, LINE.stroke_width(4)))?;
    area.present()?;
    Ok(())
}

/// 1, 2 and 5 times powers of ten; powers of ten alone where that would be too many.
fn ticks(bottom: f64, top: f64) -> Vec<f64> {
    let steps: &[f64] = if top / bottom < 1e3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    (bottom.log10().floor() as i32..=top.log10().ceil() as i32)
        .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
        .filter(|tick| (bottom..top).contains(tick))
        .collect()
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b, Y> = ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, Y>>;

/// An empty chart with room for its labels.
fn chart<'a, 'b, Y>(
    area: &'a Area<'b>,
    title: &str,
    x: std::ops::Range<f64>,
    y: impl AsRangedCoord<CoordDescType = Y, Value = f64>,
) -> Result<Chart<'a, 'b, Y>, Box<dyn Error>>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let chart = ChartBuilder::on(area)
        .caption(title, (FONT, 34, &INK))
        .margin(22)
        .x_label_area_size(70)
        .y_label_area_size(104)
        .build_cartesian_2d(x, y)?;
    Ok(chart)
}
