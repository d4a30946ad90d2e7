//! Time and bytes per record against the number of records, as an SVG.

use std::fmt::Write as _;

use crate::table::Rows;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const PANEL: f64 = 270.0;
const COLOURS: [&str; 8] =
    ["#0b6e4f", "#8d99ae", "#c1121f", "#7b2cbf", "#e09f3e", "#335c67", "#d6489a", "#457b9d"];

/// One line of a panel: its name, its colour, dashed or not, its points.
struct Series {
    name: String,
    colour: &'static str,
    is_dashed: bool,
    points: Vec<(f64, f64)>,
}

/// What a panel shows of a row: workload and field.
type Shown = [(&'static str, &'static str, bool); 2];

/// Draws what the rows say about W1 (solid) and W2 (dashed).
pub fn draw(rows: &Rows) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    let time: Shown = [("W1", "ms", false), ("W2", "ms", true)];
    let len: Shown = [("W1", "up", false), ("W2", "down", true)];
    panel(&mut svg, 50.0, "microseconds per record", &series(rows, time, 1e3));
    panel(&mut svg, 400.0, "bytes per record", &series(rows, len, 1.0));
    write!(svg, "<text x=\"50\" y=\"{}\">", HEIGHT - 8.0).ok();
    for (place, peer) in rows.peers().iter().enumerate() {
        let (space, colour) = (if place == 0 { 0 } else { 18 }, COLOURS[place % COLOURS.len()]);
        write!(svg, "<tspan dx=\"{space}\" fill=\"{colour}\">{peer}</tspan>").ok();
    }
    svg.push_str("</text>\n");
    svg.push_str("<text x=\"50\" y=\"14\">solid: upload (W1), dashed: first download (W2)</text>\n</svg>\n");
    svg
}

fn series(rows: &Rows, shown: Shown, scale: f64) -> Vec<Series> {
    let mut all = Vec::new();
    for (place, peer) in rows.peers().into_iter().enumerate() {
        for (workload, field, is_dashed) in shown {
            let point = |count: u64| {
                let value = rows.find(count, peer, workload)?[field].as_f64()?;
                Some((count as f64, (value * scale / count as f64).max(0.1)))
            };
            let points: Vec<_> = rows.counts().into_iter().filter_map(point).collect();
            let colour = COLOURS[place % COLOURS.len()];
            all.push(Series { name: format!("{peer} {workload}"), colour, is_dashed, points });
        }
    }
    all
}

/// Both axes are logarithmic, and go from one power of ten to another.
fn panel(svg: &mut String, left: f64, title: &str, series: &[Series]) {
    let points = || series.iter().flat_map(|series| &series.points);
    if points().next().is_none() {
        return;
    }
    let range = |values: Vec<f64>| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min).log10().floor();
        let high = values.iter().copied().fold(0.1, f64::max).log10().ceil();
        (low, high.max(low + 1.0))
    };
    let (x_low, x_high) = range(points().map(|point| point.0).collect());
    let (y_low, y_high) = range(points().map(|point| point.1).collect());
    let (top, bottom) = (36.0, HEIGHT - 44.0);
    let x = |value: f64| left + (value.log10() - x_low) / (x_high - x_low) * PANEL;
    let y = |value: f64| bottom - (value.log10() - y_low) / (y_high - y_low) * (bottom - top);
    writeln!(svg, "<text x=\"{left}\" y=\"30\" font-weight=\"bold\">{title}</text>").ok();
    for power in x_low as i32..=x_high as i32 {
        let at = x(10f64.powi(power));
        writeln!(svg, "<line x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">10^{power}</text>", bottom + 14.0).ok();
    }
    for power in y_low as i32..=y_high as i32 {
        let at = y(10f64.powi(power));
        writeln!(svg, "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", left + PANEL, left - 4.0, at + 4.0, 10f64.powi(power)).ok();
    }
    for series in series.iter().filter(|series| !series.points.is_empty()) {
        let places: Vec<String> =
            series.points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        let dashes = if series.is_dashed { " stroke-dasharray=\"4 3\"" } else { "" };
        let colour = series.colour;
        writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"{dashes}><title>{}</title></polyline>", places.join(" "), series.name).ok();
        for place in &places {
            if let Some((cx, cy)) = place.split_once(',') {
                writeln!(svg, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"2.5\" fill=\"{colour}\"/>").ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measured_point_is_drawn() {
        let rows = Rows::read(concat!(
            r#"{"peer":"barid","w":"W1","n":2000,"ms":300,"up":300000}"#,
            "\n",
            r#"{"peer":"barid","w":"W1","n":20000,"ms":3000,"up":3000000}"#,
        ));
        let svg = draw(&rows);
        assert_eq!(svg.matches("<circle").count(), 4, "{svg}");
        assert!(svg.ends_with("</svg>\n"));
    }
}
