//! A folder to run the program in, a model server to run it against, and what it said.

mod mock;
mod sandbox;

pub(crate) use mock::Mock;
pub(crate) use sandbox::{Ran, Sandbox, copy_folder, repository};
