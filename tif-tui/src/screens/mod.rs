//! Whole screens, driven by the same messages as the real loop, and kept as pictures for a person to read.

mod actions;
mod looks;
mod outage;
mod scale;
mod silence;
mod sizes;
mod status;
mod typing;
mod world;
