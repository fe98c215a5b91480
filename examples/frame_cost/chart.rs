//! The figures of the run as a chart, once as SVG and once as PNG.

use std::{fs, path::Path, time::Duration};

use plotters::{
    coord::Shift,
    prelude::*,
    style::{
        FontStyle, RGBColor, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{Result, machine::count, measure::Costs};

const SIZE: (u32, u32) = (1000, 560);

struct Series {
    name: &'static str,
    color: RGBColor,
    of: fn(&Costs) -> Duration,
}

const SERIES: [Series; 8] = [
    Series { name: "write() of the same bytes", color: RGBColor(150, 150, 150), of: |costs| costs.write },
    Series { name: "clone()", color: RGBColor(90, 90, 90), of: |costs| costs.clone },
    Series { name: "first run, plain", color: RGBColor(214, 96, 77), of: |costs| costs.plain.first },
    Series { name: "first run, packed", color: RGBColor(244, 165, 130), of: |costs| costs.packed.first },
    Series { name: "own copy, plain", color: RGBColor(33, 102, 172), of: |costs| costs.plain.later },
    Series { name: "own copy, packed", color: RGBColor(103, 169, 207), of: |costs| costs.packed.later },
    Series {
        name: "zero-copy after a restart",
        color: RGBColor(27, 120, 55),
        of: |costs| costs.zero_copy.restarted,
    },
    Series { name: "shared, from memory", color: RGBColor(118, 42, 131), of: |costs| costs.shared.later },
];

pub(crate) fn draw(costs: &[Costs], directory: &Path) -> Result<()> {
    let font = epaint_default_fonts::UBUNTU_LIGHT;
    register_font("sans-serif", FontStyle::Normal, font)
        .map_err(|_| "the font of the chart cannot be read")?;
    fs::create_dir_all(directory)?;
    let (svg, png) = (directory.join("frame-cost.svg"), directory.join("frame-cost.png"));
    draw_on(&SVGBackend::new(&svg, SIZE).into_drawing_area(), costs)?;
    draw_on(&BitMapBackend::new(&png, SIZE).into_drawing_area(), costs)?;
    println!("chart: {} and {}", svg.display(), png.display());
    Ok(())
}

/// Over a bar, which is narrower than its time is long.
fn upright() -> TextStyle<'static> {
    let font = ("sans-serif", 13).into_font().transform(FontTransform::Rotate270);
    TextStyle::from(font).pos(Pos::new(HPos::Left, VPos::Center))
}

/// A power of ten, without decimals.
fn power(seconds: f64) -> String {
    let (number, unit) = scaled(seconds);
    format!("{number:.0} {unit}")
}

/// Three digits.
fn brief(span: Duration) -> String {
    let (number, unit) = scaled(span.as_secs_f64());
    let decimals = if number < 9.995 { 2 } else { usize::from(number < 99.95) };
    format!("{number:.decimals$} {unit}")
}

/// The number is at least 1. A power of ten that was calculated may be a little less than itself.
fn scaled(seconds: f64) -> (f64, &'static str) {
    match seconds * 1.000_001 {
        least if least < 1e-6 => (seconds * 1e9, "ns"),
        least if least < 1e-3 => (seconds * 1e6, "us"),
        least if least < 1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    }
}

/// A group of bars a size, on a logarithmic scale: from nanoseconds to seconds.
fn draw_on<B: DrawingBackend>(area: &DrawingArea<B, Shift>, costs: &[Costs]) -> Result<()>
where
    B::ErrorType: 'static,
{
    area.fill(&WHITE)?;
    let seconds = |series: &Series, costs: &Costs| (series.of)(costs).as_secs_f64().max(1e-9);
    let all = || costs.iter().flat_map(|costs| SERIES.iter().map(move |series| seconds(series, costs)));
    // Room for the upright label of the highest bar.
    let (floor, most) = (all().fold(f64::MAX, f64::min) / 2.0, all().fold(0.0, f64::max) * 12.0);
    // The name of a group stands below its bars.
    let least = floor / 4.0;
    let mut chart = ChartBuilder::on(area)
        .caption("What a frame of four f64 columns costs", ("sans-serif", 24))
        .margin(16)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0.0..costs.len() as f64 * 1.3, (least..most).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(0)
        .y_label_formatter(&|seconds| power(*seconds))
        .y_desc("time, logarithmic")
        .label_style(("sans-serif", 15))
        .draw()?;
    let width = 0.9 / SERIES.len() as f64;
    for (place, series) in SERIES.iter().enumerate() {
        let bars = costs.iter().enumerate().map(|(group, costs)| {
            let left = group as f64 + 0.05 + place as f64 * width;
            let corners = [(left, floor), (left + width * 0.85, seconds(series, costs))];
            Rectangle::new(corners, series.color.filled())
        });
        chart
            .draw_series(bars)?
            .label(series.name)
            .legend(|(x, y)| Rectangle::new([(x, y - 6), (x + 12, y + 6)], series.color.filled()));
        for (group, costs) in costs.iter().enumerate() {
            let middle = 0.05 + (place as f64 + 0.42) * width;
            let top = (group as f64 + middle, seconds(series, costs) * 1.15);
            chart.draw_series([Text::new(brief((series.of)(costs)), top, upright())])?;
        }
    }
    for (group, costs) in costs.iter().enumerate() {
        let below = (group as f64 + 0.4, floor * 0.7);
        let name = format!("{} rows", count(costs.rows));
        chart.draw_series([Text::new(name, below, ("sans-serif", 17).into_font().color(&BLACK))])?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 14))
        .draw()?;
    area.present()?;
    Ok(())
}
