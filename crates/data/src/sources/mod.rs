//! Tables made of tables: sampled rows, columns side by side, rows that pass a condition. All of them stream.

mod add;
mod filter;
mod sample;

pub use add::add_columns;
pub use filter::filter;
pub use sample::sample_rows;
