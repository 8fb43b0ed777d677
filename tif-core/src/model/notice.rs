//! Notices: what interested processes are told of others.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{Epoch, Key};
use super::name::Name;

/// What the process state manager knows of a process.
// spec: PSM-2
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// Registered; not yet ready.
    Starting,
    /// It lives.
    Alive,
    /// It lives but is stopped or does not answer.
    Suspect,
    /// It lives, but its link to the agent is gone.
    Unreachable,
    /// It has died.
    Dead,
    /// It took its leave.
    Unregistered,
}

impl ProcessState {
    /// Its word in listings.
    pub fn word(self) -> &'static str {
        match self {
            ProcessState::Starting => "starting",
            ProcessState::Alive => "alive",
            ProcessState::Suspect => "suspect",
            ProcessState::Unreachable => "unreachable",
            ProcessState::Dead => "dead",
            ProcessState::Unregistered => "unregistered",
        }
    }

    /// Whether the operating system still runs it, as far as is known.
    pub fn is_live(self) -> bool {
        !matches!(self, ProcessState::Dead | ProcessState::Unregistered)
    }
}

/// What a process is to its service.
// spec: GRP-5
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It imports only.
    #[default]
    Importer,
    /// It exports for itself, beside others of its service.
    Solo,
    /// It stands by, dormant.
    Standby,
    /// It was told to take over and has not yet said that it has.
    ToBePrimary,
    /// It is the one.
    Primary,
}

impl Role {
    /// Its word in listings.
    pub fn word(self) -> &'static str {
        match self {
            Role::Importer => "importer",
            Role::Solo => "solo",
            Role::Standby => "standby",
            Role::ToBePrimary => "to-become-primary",
            Role::Primary => "primary",
        }
    }
}

/// Why a process is no more, or why its instruments are without an exporter.
// spec: OUT-6
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It ended by itself with this status.
    Exit {
        /// The exit status.
        status: i32,
    },
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// Whether it left a core dump.
        core: bool,
    },
    /// The kernel ended it for want of memory.
    OutOfMemory,
    /// It was alive but silent, and was ended for it.
    Hung,
    /// It took its leave.
    Unregistered,
    /// It handed its role over.
    Handover,
    /// Its CPU is down.
    CpuDown,
    /// The link to its CPU is cut.
    LinkCut,
    /// It is on another kernel, sent no heartbeats and did not answer a probe.
    Silent,
    /// It is gone, and nobody saw how.
    Unknown,
}

impl Cause {
    /// Whether it is a conclusion from silence: who is presumed dead for it may yet live.
    // spec: PSM-10
    pub fn is_presumption(&self) -> bool {
        matches!(self, Cause::CpuDown | Cause::LinkCut | Cause::Silent)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Exit { status } => write!(f, "exit status {status}"),
            Cause::Signal { signal, core } => {
                let name = match signal {
                    1 => " (SIGHUP)",
                    2 => " (SIGINT)",
                    3 => " (SIGQUIT)",
                    4 => " (SIGILL)",
                    6 => " (SIGABRT)",
                    7 => " (SIGBUS)",
                    8 => " (SIGFPE)",
                    9 => " (SIGKILL)",
                    11 => " (SIGSEGV)",
                    15 => " (SIGTERM)",
                    _ => "",
                };
                write!(f, "signal {signal}{name}{}", if *core { ", core dumped" } else { "" })
            }
            Cause::OutOfMemory => f.write_str("killed for memory"),
            Cause::Hung => f.write_str("hung: alive but silent"),
            Cause::Unregistered => f.write_str("left"),
            Cause::Handover => f.write_str("handover"),
            Cause::CpuDown => f.write_str("CPU down"),
            Cause::Silent => f.write_str("silent"),
            Cause::LinkCut => f.write_str("link cut"),
            Cause::Unknown => f.write_str("gone, cause not seen"),
        }
    }
}

/// One change of a process, told to whoever registered interest in its name. Never coalesced.
// spec: PSM-4, PSM-10
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The process.
    pub name: Name,
    /// The key it is about; none if the name was never registered.
    pub key: Option<Key>,
    /// What happened.
    pub event: NoticeEvent,
}

/// What a notice tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeEvent {
    /// Nobody of that name is registered; the key will be sent at birth.
    NotAvailable,
    /// It is born, or was alive when asked for.
    Born,
    /// It is dead for certain: the operating system said so.
    Died {
        /// How.
        cause: Cause,
    },
    /// It is taken for dead after silence.
    PresumedDead {
        /// What was seen of it.
        cause: Cause,
    },
    /// It lives, but nobody can talk to it.
    Unreachable,
    /// It can be talked to again, in the same incarnation.
    Reachable,
    /// It took its leave.
    Unregistered,
    /// It has a new role.
    Role {
        /// Which.
        role: Role,
        /// In which term.
        epoch: Epoch,
    },
}
