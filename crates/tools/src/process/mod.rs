//! Programs that are called: started without a shell, in a process group of their own, with nothing of the environment but
//! what is named, under limits of time and size.

mod group;
mod message;
mod pool;
mod program;
mod started;
mod worker;

pub use message::{Call, Description, Reply, describe};
pub use pool::Pool;
pub use program::Program;
pub(crate) use started::Started;
