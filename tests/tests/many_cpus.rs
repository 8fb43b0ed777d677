//! Several CPUs in one system: real agents, real processes, the real fabric.

use serde_json::json;
use tif_tests::process::Process;
use tif_tests::system::System;
use tif_tests::world::{event, json};

fn system(cpus: u16) -> System {
    System::new(env!("CARGO_BIN_EXE_tif-fixture"), cpus)
}

/// Waits for a report of this process's life that is good and moves on.
fn wait_live(watch: &mut Process, process: &str) {
    watch.wait_line(&format!("live values from {process}"), |line| {
        event(line) == "report" && {
            let report = json(line);
            report["process"] == process && report["quality"] == "good" && report["seq"].as_u64() > Some(1)
        }
    });
}

// spec: FAB-1, MON-2, INS-5
#[test]
fn what_one_cpu_exports_another_one_watches() {
    let system = system(2);
    let _agents = [system.agent(1), system.agent(2)];
    let _service = system.cpu(1).service(&[]);
    let mut watch = system.cpu(2).watch("shop.accepted");
    wait_live(&mut watch, "cpu1.shop-1");
    let said = system.cpu(2).serve(&["--output", "jsonl", "ps"]).must(0);
    println!("{}", said.out);
    let _ = json!(1);
}
