//! What can go wrong with segments and boards. Nothing here is ever fatal to a service: its values are then its own only.

use std::io;

use tif_core::layout::LayoutError;

/// Why there is no segment.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The capacities make none.
    #[error("these capacities make no segment")]
    Capacity(#[source] LayoutError),
    /// The operating system gives no memory, or no descriptor.
    #[error("the operating system gives no shared memory")]
    Io(#[source] io::Error),
    /// The service's name does not fit the header.
    #[error("a service name of {got} bytes; at most {max} fit")]
    Service {
        /// Its length.
        got: usize,
        /// What fits.
        max: usize,
    },
}

/// Why an instrument has no place. The segment is as before, except that its overflow is counted.
// spec: EXP-8
#[derive(Debug, thiserror::Error)]
pub enum DeclareError {
    /// Everything is taken.
    #[error("the segment is full: it holds {max} {what}")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many fit.
        max: u32,
    },
    /// The declaration makes no sense, or is too long.
    #[error("this declaration is refused: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
}

/// Why a board was not attached. The board before it, if any, is still attached.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// It is not sealed against shrinking and growing, or is no memory file.
    #[error("the board is not a sealed memory file")]
    Unsealed,
    /// It is another board's size or format.
    #[error("the board's {what} is {got}, expected {expected}")]
    Differs {
        /// Which of its properties.
        what: &'static str,
        /// What it is.
        got: u64,
        /// What it should be.
        expected: u64,
    },
    /// The operating system failed.
    #[error("the board cannot be mapped")]
    Io(#[source] io::Error),
}

/// Why a stranger's segment is refused. Nothing of it stays mapped.
// spec: EXP-7
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not sealed against shrinking and growing, or is no plain memory file.
    #[error("the segment is not a sealed memory file")]
    Unsealed,
    /// The doorbell is no eventfd.
    #[error("the doorbell is not an eventfd")]
    Bell,
    /// Its header is another one.
    #[error("the segment's {what} is {got}, expected {expected}")]
    Differs {
        /// Which of its properties.
        what: &'static str,
        /// What it is.
        got: u64,
        /// What it should be.
        expected: u64,
    },
    /// The capacities make no segment.
    #[error("the segment's capacities are out of bounds")]
    Capacity(#[source] LayoutError),
    /// The service's name is no name.
    #[error("the segment's service name is not a name")]
    Service,
    /// The operating system failed.
    #[error("the segment cannot be mapped")]
    Io(#[source] io::Error),
}
