//! `tif-monitor`: one CPU's agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    tif_monitor::main(std::env::args_os())
}
