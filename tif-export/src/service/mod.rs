//! A process of a service: how it starts to be one, and what it is.

mod builder;
mod handle;

pub use builder::{Service, StartError};
pub use handle::ServiceHandle;
