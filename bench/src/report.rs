//! What is printed: a table for people, JSON for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::figures::{ByRound, Rounds};

/// One of the measurements.
pub(crate) struct Section {
    name: &'static str,
    /// What was measured against what, and how.
    how: &'static str,
    rows: Vec<Row>,
    notes: Vec<String>,
    targets: Vec<Target>,
    /// What the JSON says under the section's name.
    pub(crate) figures: Value,
}

struct Row {
    what: String,
    unit: &'static str,
    /// Samples, median, p99, maximum, spread or range; dashes where a number has none.
    cells: [String; 5],
    noisy: bool,
}

/// A number that is to be reached.
struct Target {
    what: String,
    value: Option<f64>,
    at_most: f64,
}

impl Section {
    pub(crate) fn new(name: &'static str, how: &'static str) -> Section {
        Section {
            name,
            how,
            rows: Vec::new(),
            notes: Vec::new(),
            targets: Vec::new(),
            figures: Value::Null,
        }
    }

    /// A row of samples.
    pub(crate) fn samples(&mut self, what: &str, unit: &'static str, samples: &Rounds) {
        let dash = || "-".to_owned();
        let (cells, noisy) = match samples.summary() {
            Some(it) => (
                [
                    it.samples.to_string(),
                    number(it.median),
                    number(it.p99),
                    number(it.max),
                    format!("{:.0}%", it.spread * 100.0),
                ],
                it.noisy,
            ),
            None => (["0".to_owned(), dash(), dash(), dash(), dash()], false),
        };
        self.rows.push(Row {
            what: what.to_owned(),
            unit,
            cells,
            noisy,
        });
    }

    /// A row of a quantity that each round has once.
    pub(crate) fn by_round(&mut self, what: &str, unit: &'static str, value: Option<ByRound>) {
        let dash = || "-".to_owned();
        let (cells, noisy) = match value {
            Some(it) => (
                [
                    dash(),
                    number(it.median),
                    dash(),
                    number(it.highest),
                    format!("{}..{}", number(it.lowest), number(it.highest)),
                ],
                it.noisy,
            ),
            None => ([dash(), dash(), dash(), dash(), dash()], false),
        };
        self.rows.push(Row {
            what: what.to_owned(),
            unit,
            cells,
            noisy,
        });
    }

    /// A row of one number.
    pub(crate) fn value(&mut self, what: &str, unit: &'static str, value: f64) {
        let dash = || "-".to_owned();
        self.rows.push(Row {
            what: what.to_owned(),
            unit,
            cells: [dash(), number(value), dash(), dash(), dash()],
            noisy: false,
        });
    }

    /// A line below the table.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// A number to reach; without a value it is not.
    pub(crate) fn target(&mut self, what: impl Into<String>, value: Option<f64>, at_most: f64) {
        self.targets.push(Target {
            what: what.into(),
            value,
            at_most,
        });
    }

    /// The section as text.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("\n{}: {}\n", self.name, self.how);
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  {:width$}  {:>7} {:>9} {:>9} {:>9}  {:>12}",
            "", "samples", "median", "p99", "max", "spread"
        );
        for row in &self.rows {
            let [samples, median, p99, max, spread] = &row.cells;
            let noisy = if row.noisy { " noisy" } else { "" };
            let _ = writeln!(
                text,
                "  {:width$}  {samples:>7} {median:>9} {p99:>9} {max:>9}  {spread:>12} {}{noisy}",
                row.what, row.unit
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "  {note}");
        }
        for target in &self.targets {
            let value = target.value.map_or("not measured".to_owned(), number);
            let verdict = if target.met() { "reached" } else { "MISSED" };
            let _ = writeln!(
                text,
                "  target: {} at most {}: {value}, {verdict}",
                target.what,
                number(target.at_most)
            );
        }
        text
    }

    /// The name and what the JSON says under it.
    pub(crate) fn json(&self) -> (String, Value) {
        let mut figures = match &self.figures {
            Value::Object(figures) => figures.clone(),
            other => Map::from_iter([("figures".to_owned(), other.clone())]),
        };
        figures.insert("how".to_owned(), json!(self.how));
        if !self.notes.is_empty() {
            figures.insert("notes".to_owned(), json!(self.notes));
        }
        let targets = self.targets.iter().map(
            |target| json!({"what": target.what, "at_most": target.at_most, "value": target.value, "reached": target.met()}),
        );
        figures.insert("targets".to_owned(), targets.collect());
        (self.name.to_owned(), Value::Object(figures))
    }
}

impl Target {
    fn met(&self) -> bool {
        self.value.is_some_and(|value| value <= self.at_most)
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        it if it >= 100.0 => format!("{value:.0}"),
        it if it >= 10.0 => format!("{value:.1}"),
        it if it >= 1.0 || it == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
