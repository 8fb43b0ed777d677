//! How a command ends: its status.

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; the condition is true.
    Done,
    /// 1: the condition is false; the procedure answered with its error; the change was taken back.
    False,
    /// 2: the command line, or a value that the instrument does not take.
    Usage,
    /// 3: no such instrument or CPU.
    NotFound,
    /// 4: not allowed, or too many at once.
    Denied,
    /// 5: no agent, or no live exporter behind the instrument.
    Unreachable,
    /// 6: not in time.
    TimedOut,
    /// 7: the key, the version or the request id is not what it was thought to be.
    Stale,
    /// 8: the output cannot be written; what was asked for may be done.
    Unwritten,
    /// 130: Ctrl-C.
    Interrupted,
}

/// What `--help` says of them.
pub(super) const HELP: &str = "\
Exit status:
  0    done; the condition is true
  1    the condition is false; a fired procedure answered with its error; a change was taken back
  2    usage; a value that the instrument does not take
  3    not found: no such instrument or CPU
  4    denied, or too many at once
  5    unreachable: no agent, no live exporter behind the instrument, or a CPU that is cut off and accepts no changes;
       or a primary was not handed over
  6    timed out; of a call it is then not known whether it was done
  7    stale key, version or conflict
  8    the output cannot be written (disk full): standard error says whether something was done.
       That the reader of a pipe has gone is no error: status 0
  130  interrupted

Names, as `ls` shows them: service.path{dimension=value}@place. The place is a process, a service or a CPU. Without one it is the service's
own instrument, wherever its primary is; a process that exports for itself is named, as in orders.batch@orders-2. `get` and `ls` also show the
last values of a dead process: 'orders.**@orders-2#3.17', with the incarnation from `ps`.

Environment:
  TIF_RUN_DIR  the run directory, if --run-dir is not given; else $XDG_RUNTIME_DIR/tif, else /run/tif
  NO_COLOR     no colours";

impl Exit {
    /// The number.
    pub fn status(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::False => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Denied => 4,
            Exit::Unreachable => 5,
            Exit::TimedOut => 6,
            Exit::Stale => 7,
            Exit::Unwritten => 8,
            Exit::Interrupted => 130,
        }
    }
}
