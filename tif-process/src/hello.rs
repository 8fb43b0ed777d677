//! The first message of a process.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use tif_core::wire::{Hello, Identity, Registration, Resume, SPOKEN};

/// A `Hello` with this library's protocol versions and a fresh random nonce. Keep the nonce (`Hello::nonce`) and put it into a later `Hello` that
/// resumes the same registration.
pub fn hello(identity: Identity, registration: Registration, program: impl Into<String>, resume: Option<Resume>) -> Hello {
    Hello { offer: SPOKEN, identity, nonce: nonce(), registration, resume, heartbeat: None, program: program.into(), outages: Vec::new() }
}

fn nonce() -> u128 {
    let mut bytes = [0u8; 16];
    loop {
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            Ok(n) if n == bytes.len() => return u128::from_le_bytes(bytes),
            Ok(_) | Err(Errno::INTR) => {}
            // A kernel or a sandbox without the call: process id and boot clock still differ between any two registrations of one CPU.
            Err(_) => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                let nanos = (now.tv_sec as u128) * 1_000_000_000 + now.tv_nsec as u128;
                return nanos << 32 | u128::from(std::process::id());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hellos_have_different_nonces() {
        let one = || hello(Identity::Exactly("a".parse().unwrap()), Registration::Importer, "test", None);
        assert_ne!(one().nonce, one().nonce);
        assert!(one().offer.min <= one().offer.max);
    }
}
