//! Why there is no connection to the agent, or no longer.

use std::io;
use std::path::PathBuf;

use tif_core::model::Refusal;
use tif_core::wire::CodecError;

/// Why there is no connection, or no longer. Whatever was sent before on the same connection may have been done or not.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens.
    #[error(
        "no agent answers in {dir}: start one with `tif-monitor --cpu NAME --run-dir {dir} --state-dir DIR`, or name another with --run-dir or TIF_RUN_DIR",
        dir = .run_dir.display()
    )]
    NoAgent {
        /// Where it was looked for.
        run_dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The agent does not want this process, and says why.
    #[error("the agent refuses: {0}")]
    Refused(Refusal),
    /// The agent has closed the connection, or is gone.
    #[error("the agent has closed the connection")]
    Closed,
    /// What came, or what was to be sent, is no message of the protocol.
    #[error("the conversation with the agent broke off")]
    Protocol(#[source] ProtocolError),
    /// The operating system failed.
    #[error("the connection to the agent failed")]
    Io(#[source] io::Error),
    /// The agent did not answer, or did not read, in time.
    #[error("the agent does not answer in time")]
    TimedOut,
}

/// What was wrong with a message.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// Its bytes. A message of one's own that is too long was not sent, and the connection is as before.
    #[error("bytes that are no message")]
    Codec(#[source] CodecError),
    /// Its kind: something else was due.
    #[error("expected {wanted}, got {got}")]
    Unexpected {
        /// What was due.
        wanted: &'static str,
        /// What came, cut.
        got: String,
    },
    /// It came with more descriptors than any message has.
    #[error("more descriptors than a message may carry")]
    Descriptors,
}

impl From<rustix::io::Errno> for ConnectError {
    fn from(errno: rustix::io::Errno) -> ConnectError {
        use rustix::io::Errno;
        match errno {
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN | Errno::SHUTDOWN => ConnectError::Closed,
            other => ConnectError::Io(other.into()),
        }
    }
}

impl From<CodecError> for ConnectError {
    fn from(error: CodecError) -> ConnectError {
        ConnectError::Protocol(ProtocolError::Codec(error))
    }
}
