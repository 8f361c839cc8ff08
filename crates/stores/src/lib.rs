//! Datastores of flowrun: collections of rows with a schema, in memory, in a SQLite file or in Postgres.
//!
//! ```text
//! datastores: (YAML) ── StoreConfig + collections ──┬─► Memory            kept by the run, replayed on a resume
//!                                                   └─► Sqlite, Postgres  behind the trait Store, journaled
//! ```
//!
//! Nothing that a flow's data holds becomes a part of SQL: values are bound, and the names of tables and columns are
//! those that the flow declares. What goes in is checked against the declared types, and so is what comes out.
//!
//! The crate knows values and types, and nothing of flows or steps.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that panics here has failed"))]

mod collection;
mod config;
mod error;
mod memory;
mod postgres;
mod query;
mod sql;
mod sqlite;
mod store;

pub use collection::{Collection, Filter, Row, Schema, Update};
pub use config::{StoreConfig, Url};
pub use error::StoreError;
pub use memory::Memory;
pub use postgres::Postgres;
pub use query::{Answer, Kind as QueryKind, Query};
pub use sqlite::Sqlite;
pub use store::{Change, Changed, MOST_ROWS, Once, Store};
