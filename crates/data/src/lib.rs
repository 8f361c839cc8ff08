//! Tables from files and to files, tables made of tables, made-up tables, and how much they resemble each other.
//!
//! Everything here works on `flowrun-core`'s `Table`: a recipe for rows that is read in batches, again and again,
//! always with the same answer. Nothing here knows the engine, the clock or the network.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that meets an error has failed"))]

mod batch;
pub mod compare;
mod format;
mod nearest;
pub mod parts;
pub mod read;
pub mod sources;
pub mod synthesize;
pub mod write;

pub use format::Format;
pub use nearest::nearest;
