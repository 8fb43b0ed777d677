//! The nouns of the facility: what travels, what is stored, what is shown.

pub mod alarm;
pub mod control;
pub mod descriptor;
pub mod histogram;
pub mod id;
pub mod name;
pub mod notice;
pub mod number;
pub mod outage;
pub mod refusal;
pub mod report;
pub mod significance;
pub mod time;
pub mod unit;
pub mod value;

pub use alarm::{Alarm, Limits};
pub use control::{Arming, Changed, FaultAction, Literal, SetResult, Setting};
pub use descriptor::{Argument, Declared, Descriptor, Kind, TestPointKind};
pub use id::{Epoch, Incarnation, InstrumentId, Key, MemberNumber, NodeId, OutageId, ProcId, RequestId, Slot, Version, Weight};
pub use name::{Address, Dimensions, Name, NameError, Pattern};
pub use notice::{Cause, Notice, ProcessState, Role};
pub use number::Number;
pub use outage::{Outage, OutageEnd};
pub use refusal::Refusal;
pub use report::{Quality, Report, Stamp};
pub use significance::{Coarsen, Significance};
pub use time::Time;
pub use unit::Unit;
pub use value::{Value, ValueType};
