//! Several CPUs that are one system: a [`World`] each, whose agents speak with one another over the real fabric, on loopback.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::process::Process;
use crate::world::World;

/// See the module.
pub struct System {
    /// The CPUs; that of number 1 first.
    pub cpus: Vec<World>,
}

impl System {
    /// So many CPUs. All of them vote, and have been founded; none is up.
    pub fn new(fixture: &str, cpus: u16) -> System {
        System::with(fixture, cpus, "")
    }

    /// The same, with more in each configuration.
    pub fn with(fixture: &str, cpus: u16, more: &str) -> System {
        let at: Vec<String> = (0..cpus).map(|_| endpoint()).collect();
        let voters: Vec<String> = (1..=cpus).map(|n| n.to_string()).collect();
        let cpus = (0..usize::from(cpus)).map(|i| {
            let world = World::named(fixture, &format!("cpu{}", i + 1));
            let others: Vec<String> = at.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, at)| format!("{at:?}")).collect();
            let (node, listen, connect, voters) = (i + 1, &at[i], others.join(", "), voters.join(", "));
            let fabric = format!("[fabric]\nlisten = [{listen:?}]\nconnect = [{connect}]\nvoters = [{voters}]\n");
            let config = world.file("config.toml", &format!("node = {node}\n{fabric}{more}"));
            let mut found = world.command("agent");
            found.args(["--found", "--cpu", &format!("cpu{node}"), "--state-dir"]).arg(world.state_dir()).arg("--config").arg(config);
            let output = found.output().expect("it can be started");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            world
        });
        System { cpus: cpus.collect() }
    }

    /// The agent of a CPU; it answers when this returns.
    pub fn agent(&self, cpu: usize) -> Process {
        let world = &self.cpus[cpu - 1];
        let config = world.file_path("config.toml");
        world.agent_with(["--no-host".as_ref(), "--config".as_ref(), config.as_os_str()])
    }

    /// A CPU by its number.
    pub fn cpu(&self, cpu: usize) -> &World {
        &self.cpus[cpu - 1]
    }
}

/// An address that is this process's own: no port of it is ever given to anybody who did not ask for it.
fn endpoint() -> String {
    static LAST: AtomicU16 = AtomicU16::new(0);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 64 | a & 63, b, c);
    format!("tcp/{address}:{}", 7447 + LAST.fetch_add(1, Ordering::Relaxed))
}
