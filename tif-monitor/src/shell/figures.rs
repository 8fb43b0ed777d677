//! What the shell counts of itself. Shown, with the core's figures, as instruments of service `tif`.
// spec: MON-8, INS-8

use std::time::Duration;

use tif_core::agent::Stats;

use super::Shell;

/// Counts since the agent started.
#[derive(Debug, Default)]
pub struct Figures {
    /// Looks at segments.
    pub sweeps: u64,
    /// Connections let in.
    pub connections_accepted: u64,
    /// Connections refused at the door or for what they sent.
    pub refused_at_door: u64,
    /// What was no message.
    pub frames_refused: u64,
    /// Times that nobody could be let in for want of descriptors.
    pub accepts_failed: u64,
    own: Option<Box<dyn Show>>,
}

/// A moment's figures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// The core's.
    pub core: Stats,
    /// Connections now.
    pub connections: u64,
    /// Open descriptors of the agent.
    pub descriptors: u64,
    /// Looks at segments.
    pub sweeps: u64,
    /// Connections let in.
    pub connections_accepted: u64,
    /// Connections refused.
    pub refused_at_door: u64,
    /// What was no message.
    pub frames_refused: u64,
    /// Times that nobody could be let in for want of descriptors.
    pub accepts_failed: u64,
}

/// Where figures are shown.
pub trait Show: Send + std::fmt::Debug {
    /// A turn of the loop took so long, waiting not counted.
    fn turn_took(&self, took: Duration);
    /// Once a second.
    fn show(&self, shown: &Shown);
}

impl Figures {
    /// Shows them there from now on.
    pub fn show_at(&mut self, own: Box<dyn Show>) {
        self.own = Some(own);
    }

    /// A turn of the loop took so long.
    pub fn turn_took(&self, took: Duration) {
        if let Some(own) = &self.own {
            own.turn_took(took);
        }
    }
}

impl Shell {
    /// Shows the figures there from now on.
    pub fn show_figures_at(&mut self, own: Box<dyn Show>) {
        self.figures.show_at(own);
    }

    pub(super) fn show_figures(&mut self) {
        let Some(own) = &self.figures.own else { return };
        own.show(&Shown {
            core: self.agent.stats(),
            connections: self.connections.len() as u64,
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count() as u64),
            sweeps: self.figures.sweeps,
            connections_accepted: self.figures.connections_accepted,
            refused_at_door: self.figures.refused_at_door,
            frames_refused: self.figures.frames_refused,
            accepts_failed: self.figures.accepts_failed,
        });
    }
}
