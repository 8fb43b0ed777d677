//! Instruments of a service: indicators, controls and test points that others can see, change and use while the service runs.
//!
//! ```
//! use tif::{Control, Counter, Exported, Instruments};
//!
//! /// Order intake.
//! #[derive(Instruments)]
//! #[tif(service = "orders")]
//! struct Orders {
//!     /// Orders accepted since start.
//!     accepted: Counter,
//!     /// Orders handled in one batch.
//!     #[tif(range = 1..=4096, default = 64, memorized)]
//!     batch: Control<u32>,
//! }
//!
//! static ORDERS: Exported<Orders> = Exported::new();
//!
//! ORDERS.accepted.add(u64::from(ORDERS.batch.get()));
//! assert_eq!(ORDERS.accepted.get(), 64);
//! ```
//!
//! `docs/exporting.md` is the guide. The parts:
//!
//! - [`Instruments`](derive@Instruments), [`Choice`](derive@Choice), [`Record`](derive@Record), [`macro@procedures`],
//!   [`macro@procedure_metrics`]: the macros.
//! - [`Counter`], [`Indicator`], [`Dynamic`], [`Control`], [`Histogram`], [`TestPoint`]: the handles.
//! - [`Exported`], [`Instance`]: where a struct of handles lives.
//! - [`Service`], [`ServiceHandle`]: the process.
//! - [`declare`]: what the macros' code is made of.
//! - [`segment`]: the shared memory.

pub mod declare;
mod dims;
mod exported;
mod exporter;
mod gate;
mod home;
mod instance;
mod instrument;
mod panics;
mod procedure;
mod procedure_metrics;
pub mod segment;
mod service;
mod test_point;
mod value;

pub use dims::Dims;
pub use exported::Exported;
pub use instance::{Instance, Instruments, Root};
pub use instrument::{Control, Counter, Dynamic, Histogram, Indicator, LocalError, Provided};
pub use procedure_metrics::{Call, ProcedureMetrics};
pub use service::{Service, ServiceHandle, StartError};
pub use test_point::{Armed, Injected, Record, TestPoint, Verdict};
pub use tif_core::model::{Argument, Arming, Declared, Epoch, FaultAction, Key, Name, Role, Unit, Value, ValueType};
pub use tif_macros::{Choice, Instruments, Record, procedure_metrics, procedures};
pub use value::{Cell, Choice, Scalar, Shown};

/// The guide's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/exporting.md")]
struct Guide;
