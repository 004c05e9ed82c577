//! The ETL demo: flights data moving between agents on external volumes

fn main() {}
