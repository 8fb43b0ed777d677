//! The programs under test, and services to try them with, behind one binary: `tif-fixture agent …`, `serve …`, `tui …`, `service …`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tif_tests::fixture::main(std::env::args_os())
}
