//! CSV records with typed fields, and errors that name file and line.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use csv::StringRecord;

use super::EtlError;

/// A CSV file with a header.
pub(super) struct Records {
    path: PathBuf,
    reader: csv::Reader<File>,
    header: StringRecord,
    record: StringRecord,
}

/// One record; a field that is empty is absent.
pub(super) struct Record<'a> {
    records: &'a Records,
}

impl Records {
    pub(super) fn open(path: &Path) -> Result<Records, EtlError> {
        let file = File::open(path).map_err(EtlError::io("open", path))?;
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 20).from_reader(file);
        let header = reader.headers().map_err(|error| malformed(path, &error))?.clone();
        Ok(Records {
            path: path.to_owned(),
            reader,
            header,
            record: StringRecord::new(),
        })
    }

    /// The position of a column.
    pub(super) fn column(&self, name: &str) -> Result<usize, EtlError> {
        let found = self.header.iter().position(|column| column == name);
        found.ok_or_else(|| EtlError::Record {
            path: self.path.clone(),
            line: 1,
            problem: format!("there is no column '{name}'"),
        })
    }

    /// The next record; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, EtlError> {
        match self.reader.read_record(&mut self.record) {
            Ok(true) => Ok(Some(Record { records: self })),
            Ok(false) => Ok(None),
            Err(error) => Err(malformed(&self.path, &error)),
        }
    }
}

impl<'a> Record<'a> {
    /// A field that may be absent.
    pub(super) fn optional(&self, column: usize) -> Option<&'a str> {
        self.records.record.get(column).filter(|text| !text.is_empty())
    }

    /// A field that must be there.
    pub(super) fn text(&self, column: usize) -> Result<&'a str, EtlError> {
        self.optional(column).ok_or_else(|| self.wrong(column, "is empty"))
    }

    /// A number, date or time that may be absent.
    pub(super) fn optional_value<T: FromStr>(&self, column: usize) -> Result<Option<T>, EtlError> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| self.wrong(column, &format!("has the value '{text}'")))
        };
        self.optional(column).map(parse).transpose()
    }

    /// A number, date or time that must be there.
    pub(super) fn value<T: FromStr>(&self, column: usize) -> Result<T, EtlError> {
        self.optional_value(column)?
            .ok_or_else(|| self.wrong(column, "is empty"))
    }

    /// The error that names a column of this record.
    pub(super) fn wrong(&self, column: usize, problem: &str) -> EtlError {
        let name = self.records.header.get(column).unwrap_or("?");
        EtlError::Record {
            path: self.records.path.clone(),
            line: self.records.record.position().map_or(0, csv::Position::line),
            problem: format!("column '{name}' {problem}"),
        }
    }
}

fn malformed(path: &Path, error: &csv::Error) -> EtlError {
    EtlError::Record {
        path: path.to_owned(),
        line: error.position().map_or(0, csv::Position::line),
        problem: error.to_string(),
    }
}
