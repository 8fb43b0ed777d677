//! The flags, declared once; help follows.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tif_core::model::value::parse_duration;

use super::{arm, confirm, cpus, disarm, drain, exit, fire, get, groups, ls, ps, result, set, wait, watch};

/// Discover, watch, sense and change the instruments of this CPU's services.
#[derive(Debug, Parser)]
#[command(name = "tif-serve", version, after_help = exit::HELP, max_term_width = 120, subcommand_required = true)]
pub(super) struct CommandLine {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(super) struct Global {
    /// How data is printed: for people, as one JSON document, or as one JSON object a line
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT", hide_possible_values = false)]
    pub(super) output: Format,
    /// The CPU meant; only this agent's own so far
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) cpu: Option<String>,
    /// Where the agent's socket is
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) run_dir: Option<PathBuf>,
    /// The agent's socket is forwarded from another machine, as by `ssh -L`: say every second that this process lives, as the agent cannot see it
    #[arg(long, global = true)]
    pub(super) forwarded: bool,
    /// How long a request may take, as 500ms or 10s [default: 5s]; of `wait`: how long to wait [default: for ever]
    #[arg(long, global = true, value_name = "T", value_parser = time)]
    pub(super) timeout: Option<Duration>,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(super) color: Colour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Ls(ls::Ls),
    Get(get::Get),
    Watch(watch::Watch),
    Set(set::Set),
    Confirm(confirm::Confirm),
    Fire(fire::Fire),
    Result(result::Recall),
    Arm(arm::Arm),
    Disarm(disarm::Disarm),
    Drain(drain::Drain),
    Ps(ps::Ps),
    Cpus(cpus::Cpus),
    Groups(groups::Groups),
    /// The outages: which exporters were lost, why, for how long
    Outages,
    Wait(wait::Wait),
}

/// A span of time; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .or_else(|| parse_duration(&format!("{text}s")))
        .ok_or_else(|| "write a number with ns, us, ms, s, min or h, as 250ms".to_owned())
}

/// A span of time that is not over before it begins.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|time| if time.is_zero() { Err("more than nothing, as 250ms".to_owned()) } else { Ok(time) })
}

/// How many: at least one.
pub(super) fn count(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "write a whole number from 1".to_owned())
}

/// Text that its type reads by itself.
pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e: T::Err| e.to_string())
}
