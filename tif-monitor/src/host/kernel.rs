//! Service `host`: the kernel's own figures. Each is read when somebody looks, and every second while somebody watches; never otherwise.
// spec: EXP-9, INS-2

use std::fs;
use std::path::Path;

use procfs::{Current, LoadAverage, Meminfo};
use tif::{Dynamic, Instruments};

use super::cpu::{Cpu, Mode};

/// Bytes of a sector, whatever the disk's own are.
const SECTOR: u64 = 512;
/// Disks and network interfaces that are shown, each. Machines with containers can have thousands.
const DEVICES_MAX: usize = 64;

/// The kernel's figures of the whole machine.
#[derive(Instruments)]
#[tif(service = "host")]
pub struct Machine {
    /// Share of time in which the CPUs had work.
    #[tif(name = "cpu.busy", unit = "%", every = "1s", deadband = 0.5, warn = 90, critical = 98, hysteresis = 5)]
    busy: Dynamic<f64>,
    /// Share of time spent in programs.
    #[tif(name = "cpu.user", unit = "%", every = "1s", deadband = 0.5)]
    user: Dynamic<f64>,
    /// Share of time spent in the kernel, interrupts included.
    #[tif(name = "cpu.system", unit = "%", every = "1s", deadband = 0.5)]
    system: Dynamic<f64>,
    /// Share of time without work while a disk was waited for.
    #[tif(name = "cpu.iowait", unit = "%", every = "1s", deadband = 0.5)]
    iowait: Dynamic<f64>,
    /// Share of time taken by the machine on which this one is a guest.
    #[tif(name = "cpu.steal", unit = "%", every = "1s", deadband = 0.5)]
    steal: Dynamic<f64>,
    /// Processes that ran or wanted to, averaged over one minute.
    #[tif(name = "load.one", unit = "1", every = "1s", deadband = 0.05)]
    load_one: Dynamic<f64>,
    /// Processes that ran or wanted to, averaged over five minutes.
    #[tif(name = "load.five", unit = "1", every = "5s", deadband = 0.05)]
    load_five: Dynamic<f64>,
    /// Processes that ran or wanted to, averaged over fifteen minutes.
    #[tif(name = "load.fifteen", unit = "1", every = "15s", deadband = 0.05)]
    load_fifteen: Dynamic<f64>,
    /// Memory of the machine.
    #[tif(name = "memory.total", unit = "By", every = "1s")]
    memory_total: Dynamic<u64>,
    /// Memory that programs can still get without swapping.
    #[tif(name = "memory.available", unit = "By", every = "1s", relative = 0.01)]
    memory_available: Dynamic<u64>,
    /// Memory that is not available.
    #[tif(name = "memory.used", unit = "By", every = "1s", relative = 0.01)]
    memory_used: Dynamic<u64>,
    /// Swap space of the machine.
    #[tif(name = "swap.total", unit = "By", every = "1s")]
    swap_total: Dynamic<u64>,
    /// Swap space in use.
    #[tif(name = "swap.used", unit = "By", every = "1s", relative = 0.01)]
    swap_used: Dynamic<u64>,
    /// Share of the last ten seconds in which some task waited for a CPU.
    #[tif(name = "pressure.cpu.some", unit = "%", every = "2s", deadband = 0.5)]
    pressure_cpu_some: Dynamic<f64>,
    /// Share of the last ten seconds in which some task waited for memory.
    #[tif(name = "pressure.memory.some", unit = "%", every = "2s", deadband = 0.5)]
    pressure_memory_some: Dynamic<f64>,
    /// Share of the last ten seconds in which all tasks waited for memory.
    #[tif(name = "pressure.memory.full", unit = "%", every = "2s", deadband = 0.5)]
    pressure_memory_full: Dynamic<f64>,
    /// Share of the last ten seconds in which some task waited for a disk.
    #[tif(name = "pressure.io.some", unit = "%", every = "2s", deadband = 0.5)]
    pressure_io_some: Dynamic<f64>,
    /// Share of the last ten seconds in which all tasks waited for a disk.
    #[tif(name = "pressure.io.full", unit = "%", every = "2s", deadband = 0.5)]
    pressure_io_full: Dynamic<f64>,
}

/// One disk, told apart by `{device=…}`.
#[derive(Instruments)]
#[tif(service = "host", path = "disk")]
pub struct Disk {
    /// Bytes read from it since boot.
    #[tif(unit = "By", every = "1s")]
    read: Dynamic<u64>,
    /// Bytes written to it since boot.
    #[tif(unit = "By", every = "1s")]
    written: Dynamic<u64>,
}

/// One network interface, told apart by `{interface=…}`.
#[derive(Instruments)]
#[tif(service = "host", path = "network")]
pub struct Interface {
    /// Bytes received since it came up.
    #[tif(unit = "By", every = "1s")]
    received: Dynamic<u64>,
    /// Bytes sent since it came up.
    #[tif(unit = "By", every = "1s")]
    sent: Dynamic<u64>,
}

/// Says how each is read. Devices are those that are there now.
pub fn provide(machine: &Machine, devices: &mut Vec<Device>) {
    let cpu = Cpu::default();
    let shares = [
        (&machine.busy, Mode::Busy),
        (&machine.user, Mode::User),
        (&machine.system, Mode::System),
        (&machine.iowait, Mode::Iowait),
        (&machine.steal, Mode::Steal),
    ];
    for (instrument, mode) in shares {
        let cpu = cpu.clone();
        instrument.provide(move || cpu.share(mode));
    }
    machine.load_one.provide(|| load(|l| l.one));
    machine.load_five.provide(|| load(|l| l.five));
    machine.load_fifteen.provide(|| load(|l| l.fifteen));
    machine.memory_total.provide(|| memory(|m| m.mem_total));
    machine.memory_available.provide(|| memory(available));
    machine.memory_used.provide(|| memory(|m| m.mem_total.saturating_sub(available(m))));
    machine.swap_total.provide(|| memory(|m| m.swap_total));
    machine.swap_used.provide(|| memory(|m| m.swap_total.saturating_sub(m.swap_free)));
    machine.pressure_cpu_some.provide(|| pressure("cpu", "some"));
    machine.pressure_memory_some.provide(|| pressure("memory", "some"));
    machine.pressure_memory_full.provide(|| pressure("memory", "full"));
    machine.pressure_io_some.provide(|| pressure("io", "some"));
    machine.pressure_io_full.provide(|| pressure("io", "full"));
    devices.extend(disks().into_iter().take(DEVICES_MAX).map(Device::disk));
    devices.extend(interfaces().into_iter().take(DEVICES_MAX).map(Device::interface));
}

/// A device's instruments, there while this is.
pub struct Device {
    _instruments: Box<dyn Send>,
}

impl Device {
    fn disk(name: String) -> Device {
        let disk = Disk::export(tif::dims![device = &name]);
        let (read, written) = (name.clone(), name);
        disk.read.provide(move || sectors(&read, |d| d.sectors_read));
        disk.written.provide(move || sectors(&written, |d| d.sectors_written));
        Device { _instruments: Box::new(disk) }
    }

    fn interface(name: String) -> Device {
        let interface = Interface::export(tif::dims![interface = &name]);
        let (received, sent) = (name.clone(), name);
        interface.received.provide(move || traffic(&received, "rx_bytes"));
        interface.sent.provide(move || traffic(&sent, "tx_bytes"));
        Device { _instruments: Box::new(interface) }
    }
}

fn load(pick: impl Fn(&LoadAverage) -> f32) -> Result<f64, String> {
    LoadAverage::current().map(|l| f64::from(pick(&l))).map_err(|e| e.to_string())
}

fn memory(pick: impl Fn(&Meminfo) -> u64) -> Result<u64, String> {
    Meminfo::current().map(|m| pick(&m)).map_err(|e| e.to_string())
}

fn available(memory: &Meminfo) -> u64 {
    memory.mem_available.unwrap_or(memory.mem_free)
}

/// The ten-second average of `/proc/pressure/RESOURCE`.
fn pressure(resource: &str, who: &str) -> Result<f64, String> {
    let path = format!("/proc/pressure/{resource}");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}; the kernel may be built without pressure figures"))?;
    average(&text, who).ok_or_else(|| format!("{path} has no line `{who}`"))
}

fn average(text: &str, who: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(who))?;
    line.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
}

/// Whole disks: what is no partition and no loop or RAM disk.
fn disks() -> Vec<String> {
    let is_one = |name: &String| !["loop", "ram", "zram"].iter().any(|p| name.starts_with(p));
    names(Path::new("/sys/block")).into_iter().filter(is_one).collect()
}

fn interfaces() -> Vec<String> {
    names(Path::new("/sys/class/net"))
}

/// What is in a directory, in order; nothing if it is not there.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn sectors(disk: &str, pick: impl Fn(&procfs::DiskStat) -> u64) -> Result<u64, String> {
    let all = procfs::diskstats().map_err(|e| e.to_string())?;
    let found = all.iter().find(|d| d.name == disk).ok_or("the disk is gone")?;
    Ok(pick(found).saturating_mul(SECTOR))
}

fn traffic(interface: &str, figure: &str) -> Result<u64, String> {
    let path = format!("/sys/class/net/{interface}/statistics/{figure}");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    text.trim().parse().map_err(|e| format!("{path}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_the_ten_second_average() {
        let text = "some avg10=1.25 avg60=2.00 avg300=3.00 total=4\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(average(text, "some"), Some(1.25));
        assert_eq!(average(text, "full"), Some(0.5));
        assert_eq!(average("some avg10=x", "some"), None);
        assert_eq!(average("", "full"), None);
    }

    // spec: EXP-4, EXP-9
    #[test]
    fn this_machines_figures_can_be_read_without_an_agent() {
        let machine = Machine::detached();
        let mut devices = Vec::new();
        provide(&machine, &mut devices);
        let total = machine.memory_total.read().unwrap();
        assert!(total >= machine.memory_available.read().unwrap() && total > 0);
        assert!(machine.load_one.read().unwrap() >= 0.0);
        assert!(!interfaces().is_empty() && traffic("lo", "rx_bytes").is_ok());
    }
}
