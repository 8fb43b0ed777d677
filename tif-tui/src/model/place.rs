//! An instrument's place in the tree.

use tif_core::wire::Announcement;

use super::tree::Level;

/// One step on the way to a leaf: what identifies it among its siblings, what it is called, and its level.
pub(super) struct Step {
    pub(super) key: Box<str>,
    pub(super) label: Box<str>,
    pub(super) level: Level,
}

/// The way to an instrument's leaf.
pub(super) fn steps(announcement: &Announcement) -> Vec<Step> {
    let service = service_of(announcement);
    let grouped = announcement.source.as_str() == service;
    let process = announcement.process.as_str();
    let mut steps = vec![
        Step { key: announcement.cpu.as_str().into(), label: announcement.cpu.as_str().into(), level: Level::Cpu },
        Step { key: service.into(), label: service.into(), level: Level::Service },
        Step { key: if grouped { "".into() } else { process.into() }, label: process.into(), level: Level::Process },
    ];
    for segment in announcement.descriptor.path.segments() {
        steps.push(Step { key: segment.into(), label: segment.into(), level: Level::Path });
    }
    if !announcement.dims.is_empty() {
        let dims = announcement.dims.to_string();
        steps.push(Step { key: dims.clone().into(), label: dims.into(), level: Level::Path });
    }
    steps
}

/// The service's part of the instrument's name.
pub(crate) fn service_of(announcement: &Announcement) -> &str {
    let name = announcement.name.as_str();
    match name.strip_suffix(announcement.descriptor.path.as_str()).and_then(|front| front.strip_suffix('.')) {
        Some(service) => service,
        None => announcement.name.segments().next().unwrap_or(name),
    }
}
