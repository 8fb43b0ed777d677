//! The macros of `tif-export`, which re-exports them: use them as `tif::Instruments`, `tif::procedures` and so on.
//!
//! Each reports all mistakes of a declaration in one pass, at the word that is wrong. What they generate is what one would write by
//! hand; the documentation of each shows it.
#![forbid(unsafe_code)]

mod attribute;
mod choice;
mod errors;
mod help;
mod instruments;
mod literal;
mod name;
mod procedure_metrics;
mod procedures;
mod record;

use proc_macro::TokenStream;

/// Makes a struct of handles the declaration of a service's instruments.
///
/// # Attributes of the struct
///
/// `#[tif(service = "orders")]`: whose instruments these are. Without it the struct can only be nested in another.
/// `path = "queue"`: what stands between service and field name. `standby`: the process is a member of the service's group.
///
/// # Attributes of a field
///
/// The doc comment is the help text; there must be one. `#[tif(...)]` takes, as far as they make sense for the field's type:
///
/// | attribute | means |
/// |---|---|
/// | `name = "queue.depth"` | another name than the field's |
/// | `unit = "s"` | a unit of the list in `tif::Unit` |
/// | `range = 1..=4096`, `step = 8` | which values are allowed (of a histogram, `step` is what one recorded step is in the unit) |
/// | `default = 64` | a control's value before anybody changed it |
/// | `memorized` | the agent restores the control when the service starts again |
/// | `validated` | the service has a validator of its own: [`Control::validate`](../tif/struct.Control.html) |
/// | `writers = ["uid:1000"]` | who may change the control |
/// | `deadband = 10`, `deadband_up`, `deadband_down`, `relative = 0.05` | how far the value must move to be worth sending |
/// | `at_most_every = "1s"`, `at_least_every = "10s"` | how often it is sent |
/// | `warn`, `critical`, `warn_below`, `critical_below`, `hysteresis` | alarm limits |
/// | `every = "1s"` | how often a dynamic indicator is computed while somebody watches |
/// | `nested` | the field is a struct of instruments itself |
///
/// # Generated code
///
/// ```text
/// impl ::tif::Instruments for Orders {
///     const NAMES: &'static [&'static str] = &["accepted", "batch"];
///     fn declare(scope: &::tif::declare::Scope<'_>) -> Self {
///         Orders {
///             accepted: ::tif::declare::Field::new("accepted", "Orders accepted since start.", ::tif::declared!()).counter(scope),
///             batch: ::tif::declare::Field::new("batch", "Orders handled in one batch.", ::tif::declared!())
///                 .range(1f64, 4096f64)
///                 .memorized()
///                 .control::<u32>(scope, 64),
///         }
///     }
/// }
/// impl ::tif::Root for Orders {
///     const SERVICE: &'static str = "orders";
///     const PATH: &'static str = "";
///     const STANDBY: bool = false;
///     fn procedures() -> &'static [::tif::declare::Procedure<Self>] {
///         use ::tif::declare::NoProcedures as TifNoProcedures;
///         const _: &[::tif::declare::Procedure<Orders>] = <Orders as TifNoProcedures>::TIF_PROCEDURES;
///         <Orders>::TIF_PROCEDURES
///     }
/// }
/// impl Orders {
///     pub fn detached() -> ::tif::Instance<Self> { ::tif::Instance::detached() }
///     pub fn export(dims: ::tif::Dims) -> ::tif::Instance<Self> { ::tif::Instance::export(dims) }
/// }
/// const _: (fn() -> ::tif::Instance<Orders>, fn(::tif::Dims) -> ::tif::Instance<Orders>) = (<Orders>::detached, <Orders>::export);
/// ```
#[proc_macro_derive(Instruments, attributes(tif))]
pub fn instruments(input: TokenStream) -> TokenStream {
    instruments::expand(input.into()).into()
}

/// Makes an enum without fields a type of indicators, controls, arguments and record fields. Its choices are called as the variants, in
/// kebab case: `ReadOnly` is `read-only`. `#[tif(name = "ro")]` on a variant names it otherwise.
///
/// # Generated code
///
/// ```text
/// impl ::tif::Choice for Mode {
///     const NAMES: &'static [&'static str] = &["fast", "read-only"];
///     fn index(self) -> u32 { match self { Mode::Fast => 0, Mode::ReadOnly => 1 } }
///     fn from_index(index: u32) -> ::core::option::Option<Self> {
///         match index { 0 => Some(Mode::Fast), 1 => Some(Mode::ReadOnly), _ => None }
///     }
/// }
/// ::tif::choice_is_scalar!(Mode);
/// ```
#[proc_macro_derive(Choice, attributes(tif))]
pub fn choice(input: TokenStream) -> TokenStream {
    choice::expand(input.into()).into()
}

/// Makes a struct what a test point captures of each pass. Fields may be `bool`, whole numbers, `f64`, `String`, `&'static str`,
/// `Duration` and choices. `#[tif(error = MyError)]` names what the caller gets when the point is armed to fail: a type with
/// `From<tif::Injected>`; without it, `tif::Injected` itself.
///
/// # Generated code
///
/// ```text
/// impl ::tif::Record for Commit {
///     type Error = MyError;
///     fn fields() -> ::std::vec::Vec<::tif::Argument> {
///         ::std::vec![::tif::declare::argument::<u64>("size"), ::tif::declare::argument::<bool>("urgent")]
///     }
///     fn values(&self) -> ::std::vec::Vec<::tif::Value> {
///         ::std::vec![::tif::declare::Captured::capture(&self.size), ::tif::declare::Captured::capture(&self.urgent)]
///     }
/// }
/// ```
#[proc_macro_derive(Record, attributes(tif))]
pub fn record(input: TokenStream) -> TokenStream {
    record::expand(input.into()).into()
}

/// Makes methods of a struct of instruments callable from outside: test points that are procedures. They run on a small pool of
/// threads of the library, never where the service works.
///
/// A procedure takes `&self` and arguments of the types that a control may have; it returns nothing, something with `Display`, or a
/// `Result` of such. `#[procedure(timeout = "5s", idempotent, name = "flush")]`; the doc comment is the help text. Methods without the
/// attribute stay what they are.
///
/// # Generated code
///
/// The `impl` as it was, and
///
/// ```text
/// impl Orders {
///     pub const TIF_PROCEDURES: &'static [::tif::declare::Procedure<Orders>] = &[::tif::declare::Procedure {
///         name: "flush",
///         help: "Write everything out now.",
///         arguments: || ::std::vec![::tif::declare::argument::<u32>("limit")],
///         returns: "Result<u64, FlushError>",
///         timeout_ns: 5000000000,
///         idempotent: true,
///         declared: || ::tif::declared!(),
///         call: |this, arguments| {
///             let limit = arguments.take::<u32>("limit")?;
///             ::tif::declare::Outcome::of_result(Orders::flush(this, limit))
///         },
///     }];
/// }
/// ```
#[proc_macro_attribute]
pub fn procedures(arguments: TokenStream, item: TokenStream) -> TokenStream {
    procedures::expand(arguments.into(), item.into()).into()
}

/// Gives a function or method four instruments: `name.calls`, `name.errors` (errors returned, and panics), `name.in_flight` and
/// `name.latency`. `service = "orders"` says whose they are (default: the first service that the process exports), `name = "handle"`
/// names them otherwise than the function.
///
/// # Generated code
///
/// ```text
/// fn handle(order: Order) -> Result<(), Error> {
///     let call = {
///         static METRICS: ::tif::ProcedureMetrics = ::tif::ProcedureMetrics::new(None, "handle", "Handles one order.", || ::tif::declared!());
///         // (and a line that enters METRICS in the list of what the process declares)
///         METRICS.enter()
///     };
///     let result = ::tif::declare::run(move || -> Result<(), Error> { … });
///     call.leave(result.is_err());
///     result
/// }
/// ```
#[proc_macro_attribute]
pub fn procedure_metrics(arguments: TokenStream, item: TokenStream) -> TokenStream {
    procedure_metrics::expand(arguments.into(), item.into()).into()
}
