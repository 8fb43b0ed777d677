//! `tif-serve`: discover, watch, sense and change instruments from the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    tif_serve::cli::main(std::env::args_os())
}
