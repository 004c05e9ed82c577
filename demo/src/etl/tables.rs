//! The tables of the source database, as the package has them.

/// A table of the source.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name, and the name of its file in the package.
    pub name: &'static str,
    /// Its columns with their types.
    pub columns: &'static [(&'static str, &'static str)],
    /// Its primary key.
    pub key: &'static str,
    /// The column with the month, of a table that grows; the others are extracted whole with every batch.
    pub sliced_by: Option<&'static str>,
    /// Foreign keys and other rules.
    pub rules: &'static [&'static str],
}

/// The tables, referenced ones first.
pub const TABLES: [Table; 5] = [
    Table {
        name: "airlines",
        columns: &[("carrier", "text"), ("name", "text not null")],
        key: "carrier",
        sliced_by: None,
        rules: &[],
    },
    Table {
        name: "airports",
        columns: &[
            ("faa", "text"),
            ("name", "text not null"),
            ("lat", "double precision not null"),
            ("lon", "double precision not null"),
            ("alt", "integer not null"),
            ("tz", "smallint not null"),
            ("dst", "text not null"),
            ("tzone", "text"),
        ],
        key: "faa",
        sliced_by: None,
        rules: &[],
    },
    Table {
        name: "planes",
        columns: &[
            ("tailnum", "text"),
            ("year", "smallint"),
            ("type", "text not null"),
            ("manufacturer", "text not null"),
            ("model", "text not null"),
            ("engines", "smallint not null"),
            ("seats", "smallint not null"),
            ("speed", "smallint"),
            ("engine", "text not null"),
        ],
        key: "tailnum",
        sliced_by: None,
        rules: &[],
    },
    Table {
        name: "weather",
        columns: &[
            ("origin", "text"),
            ("year", "smallint not null"),
            ("month", "smallint not null"),
            ("day", "smallint not null"),
            ("hour", "smallint not null"),
            ("temp", "double precision"),
            ("dewp", "double precision"),
            ("humid", "double precision"),
            ("wind_dir", "smallint"),
            ("wind_speed", "double precision"),
            ("wind_gust", "double precision"),
            ("precip", "double precision not null"),
            ("pressure", "double precision"),
            ("visib", "double precision not null"),
            ("time_hour", "timestamptz"),
        ],
        key: "origin, time_hour",
        sliced_by: None,
        rules: &["foreign key (origin) references airports"],
    },
    Table {
        name: "flights",
        columns: &[
            ("year", "smallint not null"),
            ("month", "smallint not null"),
            ("day", "smallint not null"),
            ("dep_time", "smallint"),
            ("sched_dep_time", "smallint not null"),
            ("dep_delay", "smallint"),
            ("arr_time", "smallint"),
            ("sched_arr_time", "smallint not null"),
            ("arr_delay", "smallint"),
            ("carrier", "text"),
            ("flight", "integer"),
            ("tailnum", "text"),
            ("origin", "text not null"),
            ("dest", "text not null"),
            ("air_time", "smallint"),
            ("distance", "integer not null"),
            ("hour", "smallint not null"),
            ("minute", "smallint not null"),
            ("time_hour", "timestamptz"),
        ],
        key: "carrier, flight, time_hour",
        sliced_by: Some("month"),
        rules: &[
            "foreign key (carrier) references airlines",
            "foreign key (origin) references airports",
        ],
    },
];

impl Table {
    /// The statement that makes it.
    pub fn create(&self) -> String {
        let columns = self.columns.iter().map(|(name, kind)| format!("{name} {kind}"));
        let rules = self.rules.iter().map(|rule| (*rule).to_owned());
        let all: Vec<String> = columns
            .chain([format!("primary key ({})", self.key)])
            .chain(rules)
            .collect();
        format!("create table {} ({})", self.name, all.join(", "))
    }

    /// Its columns' names, in order.
    pub fn column_list(&self) -> String {
        self.columns
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    }
}
