//! What a service links stays small: its dependencies are counted and named.

use std::collections::BTreeSet;
use std::process::Command;

/// Crates of which none may come into a service's process, nor any whose name begins so.
const HEAVY: [&str; 12] =
    ["tokio", "async-", "futures", "mio", "zenoh", "quinn", "rustls", "openssl", "ring", "rusqlite", "libsqlite3", "hyper"];
/// With those that only its macros need when it is built.
const CRATES_MAX: usize = 40;

#[test]
fn a_service_links_no_runtime_no_tls_no_fabric_and_no_database() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--package", "tif-export", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--offline"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names of crates are text");
    let crates: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.is_empty()).collect();
    assert!(crates.contains("tif-core") && crates.contains("serde"), "{crates:?}");
    let heavy: Vec<_> = crates.iter().filter(|name| HEAVY.iter().any(|heavy| name.starts_with(heavy))).collect();
    assert!(heavy.is_empty(), "{heavy:?}");
    assert!(crates.len() <= CRATES_MAX, "{} crates: {crates:?}", crates.len());
}
