//! Where instruments live: in an exporter's segment, or (detached) each in memory of its own. Also what the exporter must know of them to serve
//! the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tif_core::layout::Capacity;
use tif_core::model::{Declared, Descriptor, Dimensions, Kind, Name, Slot, Value, ValueType, Version};

use crate::exporter::Doorbell;
use crate::instrument::{ControlSide, DynamicSide};
use crate::procedure::ProcedureSide;
use crate::segment::{CounterCell, HistogramCell, Place, ScalarCell, Segment, SegmentError, WideCell};
use crate::test_point::Point;

/// What the exporter does with an instrument when the agent asks.
#[derive(Clone)]
pub(crate) enum Live {
    Control(Arc<dyn ControlSide>),
    Dynamic(Arc<dyn DynamicSide>),
    Point(Arc<Point>),
    Procedure(Arc<dyn ProcedureSide>),
}

impl Live {
    /// Nothing of the exporter's touches its place any more when this has returned.
    fn close(&self) {
        match self {
            Live::Control(side) => side.close(),
            Live::Dynamic(side) => side.close(),
            Live::Point(point) => point.close(),
            // While a call runs, the struct lives, and with it its places.
            Live::Procedure(_) => {}
        }
    }
}

/// Where instruments live. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Home(Arc<Inner>);

struct Inner {
    service: Name,
    shared: Option<Shared>,
    state: Mutex<State>,
}

/// What a home has whose instruments can be seen.
struct Shared {
    segment: Segment,
    /// Rung when the exporter has something to do.
    doorbell: Arc<Doorbell>,
}

#[derive(Default)]
struct State {
    live: BTreeMap<Slot, (Place, Live)>,
    /// Path with dimensions, of every instrument that has a place.
    names: BTreeSet<String>,
    /// At most so many instruments.
    // spec: EXP-8
    names_max: usize,
    overflow: Option<CounterCell>,
}

/// The instrument that counts what did not fit. It has a place kept for it, and takes it when it is needed.
pub(crate) const OVERFLOW: &str = "tif.overflow";

impl Home {
    /// A home in shared memory, for an exporter.
    pub(crate) fn exported(service: Name, doorbell: Arc<Doorbell>) -> Result<Home, SegmentError> {
        let capacity = Capacity::default();
        let segment = Segment::create(&service, capacity)?;
        // One is kept for the instrument that counts the others.
        let state = State { names_max: capacity.slots_max as usize - 1, ..State::default() };
        Ok(Home(Arc::new(Inner { service, shared: Some(Shared { segment, doorbell }), state: Mutex::new(state) })))
    }

    /// A home that no agent knows of.
    // spec: EXP-4
    pub(crate) fn detached(service: Name) -> Home {
        Home(Arc::new(Inner { service, shared: None, state: Mutex::default() }))
    }

    pub(crate) fn service(&self) -> &Name {
        &self.0.service
    }

    pub(crate) fn segment(&self) -> Option<&Segment> {
        self.0.shared.as_ref().map(|s| &s.segment)
    }

    pub(crate) fn doorbell(&self) -> Option<&Arc<Doorbell>> {
        self.0.shared.as_ref().map(|s| &s.doorbell)
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.0.shared.is_none()
    }

    /// Lets in at most so many instruments from now on.
    pub(crate) fn limit(&self, names_max: usize) {
        let mut state = self.0.state.lock();
        state.names_max = names_max.min(state.names_max);
    }

    /// Gives an instrument a place; none if it has to do without, which is counted and logged.
    pub(crate) fn declare(&self, descriptor: &Descriptor, dims: &Dimensions) -> Option<Place> {
        let segment = self.segment()?;
        let name = format!("{}{dims}", descriptor.path);
        let mut state = self.0.state.lock();
        let problem = if state.names.contains(&name) {
            "another instrument has this name and these dimensions".to_owned()
        } else if state.names.len() >= state.names_max {
            format!("{} instruments are the most that this exporter may have", state.names_max)
        } else {
            match segment.declare(descriptor, dims) {
                Ok(place) => {
                    state.names.insert(name);
                    return Some(place);
                }
                Err(e) => e.to_string(),
            }
        };
        // spec: EXP-8
        self.overflowed(&mut state).add(1);
        drop(state);
        tracing::error!(target: "tif::export", service = %self.0.service, instrument = name, problem, "an instrument is not exported; the service goes on with a value that nobody sees");
        None
    }

    fn overflowed<'a>(&self, state: &'a mut State) -> &'a CounterCell {
        state.overflow.get_or_insert_with(|| {
            let place = self.segment().and_then(|s| s.declare(&overflow_descriptor(), &Dimensions::NONE).ok());
            self.counter(place.as_ref())
        })
    }

    /// How many instruments had to do without a place.
    pub(crate) fn overflow(&self) -> u64 {
        self.0.state.lock().overflow.as_ref().map_or(0, CounterCell::sum)
    }

    /// Makes an instrument known to the exporter.
    pub(crate) fn enter(&self, place: &Place, live: Live) {
        let (is_dynamic, is_control) = (matches!(live, Live::Dynamic(_)), matches!(live, Live::Control(_)));
        self.0.state.lock().live.insert(place.slot, (*place, live));
        let Some(doorbell) = self.doorbell() else { return };
        if is_dynamic {
            doorbell.look();
        }
        if is_control {
            // The agent may have seen it before this, and have said its value to an exporter that did not know it yet.
            doorbell.retake();
        }
    }

    /// Takes instruments back.
    pub(crate) fn withdraw(&self, places: Vec<(String, Place)>) {
        // Dropped behind the lock: the service's closures may own instruments, which come back here.
        let mut gone = Vec::new();
        let mut state = self.0.state.lock();
        for (name, place) in &places {
            state.names.remove(name);
            gone.extend(state.live.remove(&place.slot).map(|(_, live)| live));
        }
        // All before any place is given back: a test point stores in three.
        gone.iter().for_each(Live::close);
        if let Some(segment) = self.segment() {
            places.into_iter().for_each(|(_, place)| segment.withdraw(place));
        }
        drop(state);
        if let (true, Some(doorbell)) = (gone.iter().any(|live| matches!(live, Live::Dynamic(_))), self.doorbell()) {
            doorbell.look();
        }
    }

    /// The instrument in a slot.
    pub(crate) fn live(&self, slot: Slot) -> Option<Live> {
        self.0.state.lock().live.get(&slot).map(|(_, live)| live.clone())
    }

    /// Every control, with its place.
    pub(crate) fn controls(&self) -> Vec<(Place, Arc<dyn ControlSide>)> {
        let state = self.0.state.lock();
        let all = state.live.values();
        all.filter_map(|(place, live)| match live {
            Live::Control(side) => Some((*place, Arc::clone(side))),
            _ => None,
        })
        .collect()
    }

    /// Every dynamic indicator.
    pub(crate) fn dynamics(&self) -> Vec<(Slot, Arc<dyn DynamicSide>)> {
        let state = self.0.state.lock();
        let all = state.live.iter();
        all.filter_map(|(slot, (_, live))| match live {
            Live::Dynamic(side) => Some((*slot, Arc::clone(side))),
            _ => None,
        })
        .collect()
    }

    /// What the agent wants a control to be, if it ever said so.
    pub(crate) fn board_control(&self, place: &Place) -> Option<(Version, Value)> {
        self.segment()?.board_control(place)
    }

    // The cell of a place, or one that nobody sees.

    pub(crate) fn scalar(&self, place: Option<&Place>) -> ScalarCell {
        self.segment().zip(place).map(|(s, p)| s.scalar(p)).unwrap_or_else(ScalarCell::private)
    }

    pub(crate) fn counter(&self, place: Option<&Place>) -> CounterCell {
        self.segment().zip(place).map(|(s, p)| s.counter(p)).unwrap_or_else(CounterCell::private)
    }

    pub(crate) fn histogram(&self, place: Option<&Place>) -> HistogramCell {
        self.segment().zip(place).map(|(s, p)| s.histogram(p)).unwrap_or_else(HistogramCell::private)
    }

    pub(crate) fn wide(&self, place: Option<&Place>) -> WideCell {
        self.segment().zip(place).map(|(s, p)| s.wide(p)).unwrap_or_else(WideCell::private)
    }
}

fn overflow_descriptor() -> Descriptor {
    Descriptor {
        help: "Instruments that are not exported: they did not fit, or their name was taken.".into(),
        declared: Declared {
            crate_name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            file: file!().into(),
            line: line!(),
        },
        ..Descriptor::bare(OVERFLOW.parse().expect("a literal that is a name"), Kind::Counter, ValueType::U64)
    }
}
