//! The agent as a real process, with clients of all kinds.

mod child;
mod door;
mod host;
mod life;
mod load;
mod start;
mod world;
