//! Where declarations go: a home, a path below the service, dimensions.

use std::cell::RefCell;

use tif_core::model::{Descriptor, Dimensions, Name};

use crate::home::Home;
use crate::segment::Place;

/// Where a struct's instruments are declared. Notes what was declared, so that it can be taken back.
pub struct Scope<'a> {
    home: &'a Home,
    prefix: String,
    dims: &'a Dimensions,
    places: &'a RefCell<Vec<(String, Place)>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(home: &'a Home, path: &str, dims: &'a Dimensions, places: &'a RefCell<Vec<(String, Place)>>) -> Scope<'a> {
        Scope { home, prefix: path.to_owned(), dims, places }
    }

    /// The same one segment deeper.
    pub fn under(&self, segment: &str) -> Scope<'a> {
        Scope { home: self.home, prefix: join(&self.prefix, segment), dims: self.dims, places: self.places }
    }

    pub(crate) fn home(&self) -> &'a Home {
        self.home
    }

    /// A name here as a path below the service. One that is too long is cut off and shows as such.
    pub(crate) fn path(&self, name: &str) -> Name {
        let text = join(&self.prefix, name);
        text.parse().unwrap_or_else(|problem| {
            tracing::error!(target: "tif::export", instrument = text, %problem, "not a name: the instrument is exported as `misnamed`");
            "misnamed".parse().expect("a literal that is a name")
        })
    }

    /// Gives an instrument a place.
    pub(crate) fn declare(&self, descriptor: &mut Descriptor) -> Option<Place> {
        descriptor.dimensions = self.dims.iter().map(|(key, _)| key.to_owned()).collect();
        let place = self.home.declare(descriptor, self.dims)?;
        self.places.borrow_mut().push((format!("{}{}", descriptor.path, self.dims), place));
        Some(place)
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}
