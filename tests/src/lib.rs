//! What the end-to-end tests stand on: real processes of the real programs, in directories of their own.
//!
//! - [`fixture`]: the programs under test behind one binary, and services to try them with.
//! - [`world`]: an agent, services and importers in a fresh directory; everything ends with it.
//! - [`system`]: several of these, whose agents speak with one another.
//! - [`process`]: one child process: its lines as they come, its end, its kill by id.

pub mod fixture;
pub mod process;
pub mod system;
pub mod world;
