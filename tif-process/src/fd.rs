//! Descriptors that travel with bytes through a Unix socket (SCM_RIGHTS), for both ends.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg,
    sendmsg,
};

/// Descriptors in one message: the three of an exporter's `Hello`, and one to grow.
pub const FDS_MAX: usize = 4;

/// Sends some of `bytes`, and `fds` with the first of them. Says how many bytes went; the descriptors went if any byte did. Does not wait: `AGAIN` if
/// there is no room. At most [`FDS_MAX`] descriptors, else `INVAL`.
///
/// # Errors
/// What the operating system says. `PIPE` if the other end is gone; no signal is raised.
pub fn send_with_fds(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
    if fds.len() > FDS_MAX {
        return Err(Errno::INVAL);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Receives some bytes into `buffer`, and appends the descriptors that came with them to `fds`: close-on-exec, at most [`FDS_MAX`]. Does not wait:
/// `AGAIN` if nothing is there. 0 bytes: the other end has closed.
///
/// # Errors
/// What the operating system says; `MSGSIZE` if there were more descriptors than fit (all of them are closed, the bytes are lost: the stream is of no
/// further use).
// spec: SEC-2
pub fn receive_with_fds(socket: impl AsFd, buffer: &mut [u8], fds: &mut Vec<OwnedFd>) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let received = control.drain().filter_map(|m| match m {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    let before = fds.len();
    fds.extend(received.flatten());
    // Padding may leave room for more than was asked for.
    if message.flags.contains(ReturnFlags::CTRUNC) || fds.len() - before > FDS_MAX {
        fds.truncate(before);
        return Err(Errno::MSGSIZE);
    }
    Ok(message.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::os::unix::net::UnixStream;

    fn memory(text: &str) -> File {
        let mut file = File::from(rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn descriptors_arrive_open_in_order_and_with_the_first_byte() {
        let (a, b) = UnixStream::pair().unwrap();
        let files = [memory("one"), memory("two")];
        let fds: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        assert_eq!(send_with_fds(&a, b"hello", &fds).unwrap(), 5);
        let (mut buffer, mut got) = ([0u8; 2], Vec::new());
        assert_eq!(receive_with_fds(&b, &mut buffer, &mut got).unwrap(), 2);
        let texts: Vec<String> = got
            .drain(..)
            .map(|fd| {
                assert!(rustix::io::fcntl_getfd(&fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
                let (mut file, mut text) = (File::from(fd), String::new());
                file.seek(SeekFrom::Start(0)).unwrap();
                file.read_to_string(&mut text).unwrap();
                text
            })
            .collect();
        assert_eq!(texts, ["one", "two"]);
        assert_eq!(receive_with_fds(&b, &mut [0; 16], &mut got).unwrap(), 3);
        assert!(got.is_empty());
    }

    // spec: SEC-2
    #[test]
    fn more_descriptors_than_a_message_may_carry_are_refused_and_closed() {
        let (a, b) = UnixStream::pair().unwrap();
        let file = memory("x");
        let fds = [file.as_fd(); FDS_MAX + 1];
        assert_eq!(send_with_fds(&a, b"x", &fds), Err(Errno::INVAL));
        // A stranger does not ask this library.
        for count in [FDS_MAX + 1, 3 * FDS_MAX] {
            let many = vec![file.as_fd(); count];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3 * FDS_MAX))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
            sendmsg(&a, &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL).unwrap();
            let mut got = Vec::new();
            assert_eq!(receive_with_fds(&b, &mut [0; 16], &mut got), Err(Errno::MSGSIZE));
            assert!(got.is_empty());
        }
    }

    #[test]
    fn receiving_does_not_wait_and_tells_nothing_yet_from_the_end() {
        let (a, b) = UnixStream::pair().unwrap();
        assert_eq!(receive_with_fds(&b, &mut [0; 16], &mut Vec::new()), Err(Errno::AGAIN));
        drop(a);
        assert_eq!(receive_with_fds(&b, &mut [0; 16], &mut Vec::new()), Ok(0));
        assert_eq!(send_with_fds(&b, b"x", &[]), Err(Errno::PIPE));
    }
}
