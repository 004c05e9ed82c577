//! The lanes as SVG: times are shares of the width, so that the same drawing fills a phone and a screen, and words keep
//! their size.

use maud::{Markup, PreEscaped, html};

use super::scale::ticks;
use super::{Bar, Fill, Lane, STYLE, TONES, Timeline, span};
use crate::state::Millis;

/// Where the first group begins, below the words of the ticks.
const TOP: usize = 26;
const GROUP: usize = 30;
const LABEL: usize = 17;
const BAR: usize = 18;
const ROW: usize = BAR + 3;
const GAP: usize = 7;
const MARK: usize = 18;

/// The width of a file; its drawing has a margin on both sides.
const FILE_WIDTH: usize = 960;
const MARGIN: usize = 16;

/// Words on a bar are left out where they would not fit at this width: on a phone, and on anything wider.
const NARROW: f64 = 320.0;
const WIDE: f64 = 600.0;
const CHARACTER: f64 = 6.4;

/// What the fills of tasks mean.
const LEGEND: [(&str, &str); 5] = [
    ("t-waits", "waits for an agent"),
    ("t-launches", "volumes are mounted, task is started"),
    ("t-runs", "runs"),
    ("t-finished", "has finished"),
    ("t-failed", "has failed"),
];

enum Placed<'a> {
    Title(&'static str),
    Lane(&'a Lane),
}

impl Timeline {
    /// The drawing for an HTML page that has [`STYLE`]: it takes the width it is given. `id`
    /// distinguishes it from other drawings of the page.
    pub fn markup(&self, id: &str) -> Markup {
        let height = self.height() + self.marks.len() * MARK;
        let (title, description) = (format!("{id}-title"), format!("{id}-description"));
        html! {
            p.t-legend {
                @for (class, meaning) in LEGEND {
                    span { i class={ "t-swatch " (class) } {} (meaning) }
                }
                span { "in “Agents” and “Volumes” each agent has its colour; " i.t-moved { "◆" } " the volume moved" }
            }
            svg.timeline width="100%" height=(height) role="img" aria-labelledby={ (title) " " (description) } {
                title id=(title) { (self.title) }
                desc id=(description) { (self.description()) }
                (self.drawing())
                @for (index, mark) in self.marks.iter().enumerate() {
                    text.t-note x="0" y=(self.height() + index * MARK + 13) { (index + 1) " · " (self.after(mark.at_ms)) " · " (clean(&mark.text)) }
                }
            }
        }
    }

    /// The drawing as a whole SVG file, with its style, legend and title within. It names nothing outside of itself.
    pub fn to_svg(&self) -> String {
        let height = self.height();
        let below = MARK * (2 + self.marks.len());
        let top = 44;
        let whole = top + height + below + MARGIN;
        let inner = FILE_WIDTH - 2 * MARGIN;
        let markup = html! {
            svg.timeline.t-file xmlns="http://www.w3.org/2000/svg" width=(FILE_WIDTH) height=(whole)
                viewBox={ "0 0 " (FILE_WIDTH) " " (whole) } role="img" aria-labelledby="t-title t-description" {
                title id="t-title" { (clean(&self.title)) }
                desc id="t-description" { (self.description()) }
                style { (PreEscaped(STYLE)) }
                rect.t-paper width="100%" height="100%" {}
                text.t-title x=(MARGIN) y="28" { (clean(&self.title)) }
                text.t-note x=(FILE_WIDTH - MARGIN) y="28" text-anchor="end" { (self.description()) }
                svg x=(MARGIN) y=(top) width=(inner) height=(height) overflow="visible" { (self.drawing()) }
                @for (index, mark) in self.marks.iter().enumerate() {
                    text.t-note x=(MARGIN) y=(top + height + index * MARK + 13) {
                        (index + 1) " · " (self.after(mark.at_ms)) " · " (clean(&mark.text))
                    }
                }
                (file_legend(top + height + self.marks.len() * MARK + 22))
            }
        };
        markup.into_string() + "\n"
    }

    fn after(&self, at: Millis) -> String {
        span(at.saturating_sub(self.begin))
    }

    fn height(&self) -> usize {
        let lanes = self.groups.iter().flat_map(|group| &group.lanes).count();
        TOP + self.groups.len() * GROUP + lanes * (LABEL + GAP) + self.rows() * ROW
    }

    /// Which share of the time was over at `at`, in percent.
    fn share(&self, at: Millis) -> f64 {
        let at = at.clamp(self.begin, self.end) - self.begin;
        100.0 * at as f64 / (self.end - self.begin) as f64
    }

    /// What stands at which height.
    fn layout(&self) -> Vec<(usize, Placed<'_>)> {
        let mut y = TOP;
        let mut placed = Vec::new();
        for group in &self.groups {
            placed.push((y, Placed::Title(group.title)));
            y += GROUP;
            for lane in &group.lanes {
                placed.push((y, Placed::Lane(lane)));
                y += LABEL + GAP + lane.rows.len() * ROW;
            }
        }
        placed
    }

    fn drawing(&self) -> Markup {
        let height = self.height();
        html! {
            @for (at, words) in ticks(self.end - self.begin) {
                @let x = self.share(self.begin + at);
                @let anchor = if at == 0 { "start" } else if x > 95.0 { "end" } else { "middle" };
                line.t-grid x1=(percent(x)) x2=(percent(x)) y1=(TOP - 8) y2=(height) {}
                text.t-note x=(percent(x)) y="12" text-anchor=(anchor) { (words) }
            }
            @for (y, placed) in self.layout() {
                @match placed {
                    Placed::Title(title) => { text.t-group x="0" y=(y + 20) { (title) } },
                    Placed::Lane(lane) => { (self.lane(lane, y)) },
                }
            }
            @for (index, mark) in self.marks.iter().enumerate() {
                @let x = percent(self.share(mark.at_ms));
                g.t-mark {
                    title { (clean(&mark.text)) }
                    line x1=(x) x2=(x) y1=(TOP - 2) y2=(height) {}
                    circle cx=(x) cy=(TOP + 4) r="8" {}
                    text x=(x) y=(TOP + 8) text-anchor="middle" { (index + 1) }
                }
            }
        }
    }

    fn lane(&self, lane: &Lane, y: usize) -> Markup {
        let indent = if lane.tone.is_some() { 16 } else { 0 };
        let characters = [&lane.label, &lane.note, &lane.more].map(|text| text.chars().count());
        let room = CHARACTER * 1.1 * characters.iter().sum::<usize>() as f64 + 12.0 + indent as f64 <= NARROW;
        html! {
            g.t-lane {
                @if let Some(tone) = lane.tone {
                    rect class={ "t-bar " (class(Fill::Agent(tone))) } x="0" y=(y + 3) width="10" height="10" rx="2" {}
                }
                text x=(indent) y=(y + 12) {
                    tspan.t-label { (clean(&lane.label)) }
                    tspan.t-note dx="8" { (clean(&lane.note)) }
                    @if !lane.more.is_empty() {
                        tspan class={ "t-note" @if !room { " t-roomy" } } dx="4" { (clean(&lane.more)) }
                    }
                }
                @for (index, row) in lane.rows.iter().enumerate() {
                    @let top = y + LABEL + index * ROW;
                    rect.t-track x="0" y=(top) width="100%" height=(BAR) rx="3" {}
                    @for bar in row { (self.bar(bar, top)) }
                }
            }
        }
    }

    fn bar(&self, bar: &Bar, top: usize) -> Markup {
        let (from, to) = (self.share(bar.from), self.share(bar.to));
        // A task that does not run yet is a thinner bar, so that it can be recognised without its
        // colour.
        let height = match bar.fill {
            Fill::Waits => 4,
            Fill::Launches => 10,
            _ => BAR,
        };
        let needed = CHARACTER * bar.text.chars().count() as f64 + if bar.moved_from.is_some() { 24.0 } else { 12.0 };
        let room = |width: f64| !bar.text.is_empty() && needed <= (to - from) / 100.0 * width;
        html! {
            g {
                title { (clean(&bar.detail)) @if let Some(from) = &bar.moved_from { ", moved from " (clean(from)) } }
                rect class={ "t-bar " (class(bar.fill)) } x=(percent(from)) y=(top + (BAR - height) / 2)
                    width=(percent((to - from).max(0.2))) height=(height) rx="3" {}
                @if bar.moved_from.is_some() {
                    text.t-moved x=(percent(from)) dx="-1" y=(top + 13) text-anchor="middle" { "◆" }
                }
                @if room(WIDE) {
                    text class={ "t-on " @if !room(NARROW) { "t-roomy" } } x=(percent(from))
                        dx=(if bar.moved_from.is_some() { 11 } else { 6 }) y=(top + 13) { (clean(&bar.text)) }
                }
            }
        }
    }
}

fn file_legend(y: usize) -> Markup {
    let wide = |meaning: &str| 34 + (meaning.len() as f64 * CHARACTER * 0.9) as usize;
    let left = |index: usize| MARGIN + LEGEND[..index].iter().map(|(_, meaning)| wide(meaning)).sum::<usize>();
    html! {
        @for (index, (class, meaning)) in LEGEND.into_iter().enumerate() {
            rect class={ "t-bar " (class) } x=(left(index)) y=(y - 9) width="10" height="10" rx="2" {}
            text.t-note x=(left(index) + 16) y=(y) { (meaning) }
        }
        text.t-note x=(left(LEGEND.len())) y=(y) { tspan.t-moved { "◆" } " the volume moved" }
    }
}

fn class(fill: Fill) -> String {
    match fill {
        Fill::Waits => "t-waits".to_owned(),
        Fill::Launches => "t-launches".to_owned(),
        Fill::Runs => "t-runs".to_owned(),
        Fill::Finished => "t-finished".to_owned(),
        Fill::Failed => "t-failed".to_owned(),
        Fill::Agent(tone) => format!("t-agent{}", tone % TONES),
    }
}

fn percent(share: f64) -> String {
    format!("{share:.2}%")
}

/// XML has no place for control characters, and a reader none for what is not seen.
fn clean(text: &str) -> String {
    foreign_text::one_line(text)
}
