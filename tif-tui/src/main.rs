//! The program `tif-tui`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tif_tui::main(std::env::args_os())
}
