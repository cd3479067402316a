//! Charts as SVG, styled by attributes and classes only: the page's policy forbids inline styles.

use std::time::Duration;

use maud::{Markup, html};
use nightaudit_exchange::Timestamp;
use nightaudit_review::{Hour, LimitReview, Run};

use super::figures::{count, counted, period, time};

const WIDTH: f64 = 720.0;
/// Margins: for the axis labels on the left, and for the marks above.
const LEFT: f64 = 44.0;
const TOP: f64 = 22.0;

/// The plot area of a bar chart.
struct Plot {
    height: f64,
    from: f64,
    span: f64,
    most: f64,
}

impl Plot {
    fn new(height: f64, from: Timestamp, to: Timestamp, most: u32) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "precise enough to draw")]
        let span = to.since(from).as_millis() as f64;
        Self { height, from: millis(from), span: span.max(1.0), most: f64::from(most.max(1)) }
    }

    fn x(&self, at: Timestamp) -> f64 {
        LEFT + ((millis(at) - self.from) / self.span * (WIDTH - LEFT)).clamp(0.0, WIDTH - LEFT)
    }

    fn width(&self, step_ms: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "precise enough to draw")]
        let step = step_ms as f64;
        (step / self.span * (WIDTH - LEFT) - 0.6).max(1.4)
    }

    fn tall(&self, value: u32) -> f64 {
        f64::from(value) / self.most * (self.height - TOP)
    }

    fn y(&self, value: u32) -> f64 {
        self.height - self.tall(value)
    }

    fn frame(&self, from: Timestamp, to: Timestamp, marks: &[u32]) -> Markup {
        let bottom = self.height;
        html! {
            @for mark in marks {
                text.axis x=(LEFT - 8.0) y=(two(self.y(*mark) + 4.0)) text-anchor="end" { (count(u64::from(*mark))) }
            }
            line.base x1=(LEFT) y1=(bottom) x2=(WIDTH) y2=(bottom) {}
            text.axis x=(LEFT) y=(bottom + 18.0) { (time(from)) }
            text.axis x=(WIDTH) y=(bottom + 18.0) text-anchor="end" { (time(to)) }
        }
    }
}

/// Requests per window against the limit; refusals are marked above the bars.
pub(super) fn limit(review: &LimitReview, number: usize) -> Markup {
    let points = &review.series.points;
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return html! {} };
    let step = review.series.step_ms;
    let (from, to) = (first.at, last.at.plus(Duration::from_millis(step)));
    let peak = points.iter().map(|point| point.peak).max().unwrap_or(0);
    let top = peak.max(review.requests);
    let plot = Plot::new(180.0, from, to, top.saturating_add(top / 8));
    let width = plot.width(step);
    let refused: u64 = points.iter().map(|point| u64::from(point.refused)).sum();
    let description_text = format!(
        "From {} to {} the busiest window held {} of {} requests; {} refused.",
        time(from),
        time(to),
        count(peak.into()),
        count(review.requests.into()),
        counted(refused, "request was", "requests were"),
    );
    let (title, description) = (format!("limit-{number}-title"), format!("limit-{number}-text"));
    html! {
        figure.chart {
            svg viewBox=(format!("0 0 {WIDTH} 204")) role="img" aria-labelledby=(format!("{title} {description}")) {
                title id=(title) { "Requests per window against the limit" }
                desc id=(description) { (description_text) }
                @for point in points {
                    rect class=(if point.peak > review.requests { "bar over" } else { "bar" }) x=(two(plot.x(point.at)))
                        y=(two(plot.y(point.peak))) width=(two(width)) height=(two(plot.tall(point.peak))) {}
                }
                line.limit x1=(LEFT) y1=(two(plot.y(review.requests))) x2=(WIDTH) y2=(two(plot.y(review.requests))) {}
                @for point in points.iter().filter(|point| point.refused > 0) {
                    path.refusal d=(format!("M{0} 14 l-4 -8 h8 z", two(plot.x(point.at) + width / 2.0))) {}
                }
                (plot.frame(from, to, &[0, review.requests]))
            }
            figcaption {
                span.key.bar-key { "requests in the window" } span.key.limit-key { "limit" }
                @if refused > 0 { span.key.refusal-key { "refused" } }
                " " (description_text)
            }
            details.figures {
                summary { "Data" }
                div.scroll tabindex="0" role="region" aria-label=(format!("Data of chart {}", number + 1)) {
                    table {
                        thead { tr { th scope="col" { "From" } th.num scope="col" { "Sent" } th.num scope="col" { "Peak in a window" } th.num scope="col" { "Refused" } } }
                        tbody {
                            @for point in points {
                                tr { th scope="row" { (time(point.at)) } td.num { (point.sent) } td.num { (point.peak) } td.num { (point.refused) } }
                            }
                        }
                    }
                }
                p.dim { "One row per " (period(step.div_ceil(1000))) " with requests." }
            }
        }
    }
}

/// Calls and failures per hour.
pub(super) fn hours(run: &Run) -> Markup {
    let (Some(first), Some(last)) = (run.hours.first(), run.hours.last()) else { return html! {} };
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let step = run.hour_s.saturating_mul(1000);
    let most = run.hours.iter().map(|hour| hour.calls).max().unwrap_or(0);
    let end = last.at.plus(Duration::from_millis(step));
    let plot = Plot::new(96.0, first.at, end, small(most));
    let width = plot.width(step);
    let description_text = format!(
        "{} in {} of {}; at most {} in {}.",
        counted(run.hours.iter().map(|hour| hour.calls).sum(), "call", "calls"),
        count(run.active_hours),
        match run.hour_s {
            3600 => counted(run.total_hours, "hour", "hours"),
            step => format!("{} of {}", counted(run.total_hours, "stretch", "stretches"), period(step)),
        },
        count(most),
        period(run.hour_s),
    );
    let bar = |hour: &Hour, value: u64, class: &str| {
        let value = small(value);
        html! { rect class=(class) x=(two(plot.x(hour.at))) y=(two(plot.y(value))) width=(two(width)) height=(two(plot.tall(value))) {} }
    };
    html! {
        figure.chart {
            svg viewBox=(format!("0 0 {WIDTH} 120")) role="img" aria-labelledby="hours-title hours-text" {
                title id="hours-title" { "Calls over the run" }
                desc id="hours-text" { (description_text) }
                @for hour in &run.hours { (bar(hour, hour.calls, "bar")) }
                @for hour in run.hours.iter().filter(|hour| hour.failed > 0) { (bar(hour, hour.failed, "bar over")) }
                (plot.frame(first.at, end, &[0, small(most)]))
            }
            figcaption { span.key.bar-key { "calls" } span.key.over-key { "failed" } " " (description_text) }
        }
    }
}

fn millis(at: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "precise enough to draw")]
    let millis = at.since(Timestamp::from_micros(0)).as_millis() as f64;
    millis
}

/// Rounds to two decimals, a hundredth of a pixel.
fn two(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
