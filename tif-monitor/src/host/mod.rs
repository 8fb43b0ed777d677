//! The kernel's figures and the agent's own, exported like anybody's: through shared memory and the agent's own socket, by threads of the library.
//!
//! They are started when the agent listens, and connect when its loop runs. If they cannot be exported the agent goes on without them.
// spec: EXP-9, MON-8

pub(crate) mod cpu;
mod kernel;
mod own;

use std::fmt;
use std::time::Duration;

use tif::{Exported, Root, Service, ServiceHandle};
use tif_process::RunDir;

use crate::shell::Shell;

static MACHINE: Exported<kernel::Machine> = tif::Exported::new();
static OWN: Exported<own::Own> = tif::Exported::new();

/// What is exported while this lives.
pub struct Host {
    services: Vec<ServiceHandle>,
    devices: Vec<kernel::Device>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("services", &self.services.len()).field("devices", &self.devices.len()).finish()
    }
}

/// Starts exporting: the agent's own figures, and the kernel's if they are wanted.
pub fn start(shell: &mut Shell, run_dir: &RunDir, kernel: bool) -> Host {
    let mut host = Host { services: Vec::new(), devices: Vec::new() };
    if let Some(service) = export(&OWN, "tif", run_dir) {
        shell.show_figures_at(Box::new(own::Exported::new(&*OWN)));
        host.services.push(service);
    }
    if kernel && let Some(service) = export(&MACHINE, "host", run_dir) {
        kernel::provide(&MACHINE, &mut host.devices);
        host.services.push(service);
    }
    host
}

fn export<T: Root>(instruments: &Exported<T>, process: &str, run_dir: &RunDir) -> Option<ServiceHandle> {
    // Nobody answers before the loop runs: not to wait is what keeps the agent from waiting for itself.
    match Service::of(instruments).process(process).run_dir(run_dir.path()).wait(Duration::ZERO).start() {
        Ok(service) => Some(service),
        Err(error) => {
            tracing::error!(target: "tif::host", process, error = &error as &dyn std::error::Error, "not exported");
            None
        }
    }
}
