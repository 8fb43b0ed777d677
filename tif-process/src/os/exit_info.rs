//! How a process ended that is no child of ours and is reaped already: `PIDFD_GET_INFO` (kernel 6.15 and later remember it with the pidfd).
#![allow(unsafe_code, reason = "the layout of what an ioctl fills in is promised to the kernel")]

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::ioctl::{Updater, ioctl, opcode};

/// The first version of the kernel's `struct pidfd_info`: 64 bytes, and never less.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

/// `PIDFD_INFO_EXIT`: asked for in the mask, answered in the mask.
const EXIT: u64 = 1 << 3;
/// `PIDFD_GET_INFO`.
const GET_INFO: rustix::ioctl::Opcode = opcode::read_write::<PidfdInfo>(0xff, 11);

/// The wait status of the process behind `pidfd`; none if the kernel does not know or does not tell.
pub(crate) fn exit_status(pidfd: BorrowedFd<'_>) -> Option<u32> {
    let mut info = PidfdInfo { mask: EXIT, ..PidfdInfo::default() };
    // SAFETY: the opcode encodes the size of `PidfdInfo`, and the kernel upholds that it reads and writes that many bytes at most. Any descriptor that
    // is no pidfd answers ENOTTY: request numbers of type 0xff with this size belong to pidfs.
    let asked: Result<(), Errno> = unsafe { ioctl(pidfd, Updater::<GET_INFO, PidfdInfo>::new(&mut info)) };
    (asked.is_ok() && info.mask & EXIT != 0).then_some(info.exit_code as u32)
}

const _: () = assert!(size_of::<PidfdInfo>() == 64);
