//! Random bits from the operating system, for request ids.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// 128 of them.
pub(super) fn bits() -> u128 {
    let mut bytes = [0u8; 16];
    loop {
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            Ok(n) if n == bytes.len() => return u128::from_le_bytes(bytes),
            Ok(_) | Err(Errno::INTR) => {}
            // Without the call, process and boot clock still differ between any two requests of this CPU.
            Err(_) => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                return (now.tv_sec as u128 * 1_000_000_000 + now.tv_nsec as u128) << 32 | u128::from(std::process::id());
            }
        }
    }
}
