//! The configuration file: TOML. A key that is not known is an error that names the line and the keys that are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tif_core::agent::io::LaunchPolicy;
use tif_core::limits::MEMBERS_MAX;
use tif_core::machine::witness::VOTERS_MAX;
use tif_core::model::value::parse_duration;
use tif_core::model::{Name, NodeId};

use crate::fabric::{Endpoint, Net};
use crate::store::Place;

/// What CPUs can be numbered.
const NODES: std::ops::RangeInclusive<u32> = 1..=0xffff;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What this CPU is called, unless the command line says.
    pub cpu: Option<Name>,
    /// Where processes find the agent, unless the command line says.
    pub run_dir: Option<PathBuf>,
    /// Where the agent keeps its state, unless the command line says.
    pub state_dir: Option<PathBuf>,
    /// This CPU's number in its system, which no other has; 1 if not said. A state directory stays with the number that it was first used with.
    #[serde(default, deserialize_with = "node")]
    pub node: Option<NodeId>,
    /// The net to the agents of other CPUs; none if not said.
    pub fabric: Option<Fabric>,
    /// Launch specifications, by service.
    #[serde(default)]
    pub service: BTreeMap<Name, Launch>,
}

/// How this CPU's agent finds the others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fabric {
    /// Only agents of the same realm see each other.
    #[serde(default = "realm")]
    pub realm: Name,
    /// Where this agent can be reached: `tcp/127.0.0.1:7447`.
    pub listen: Vec<Endpoint>,
    /// Where the others can be. Each two agents must know of each other, one of the other is enough.
    #[serde(default)]
    pub connect: Vec<Endpoint>,
    /// The CPUs that vote on who leads a service, the same on all; a majority of them must be up. None: each CPU elects among its own processes.
    // spec: GRP-9
    #[serde(default, deserialize_with = "voters")]
    pub voters: BTreeSet<NodeId>,
}

/// How to start a process of a service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Program and arguments.
    pub command: Vec<String>,
    /// More environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it runs; the agent's own directory if not said.
    pub cwd: Option<PathBuf>,
    /// How many members the service should have on this CPU; 1 if nothing is said. What is missing is started, but for those that took their leave.
    pub members: Option<u32>,
    /// Instead: how many on all CPUs together whose agents have this specification. What is missing is started where there are fewest, and there where least is
    /// to do.
    // spec: GRP-7
    pub members_in_system: Option<u32>,
    /// Whether members that are missing when the agent starts are started. If not, somebody else does that, and only lost ones are replaced.
    #[serde(default = "yes")]
    pub start: bool,
    /// A process that is alive but silent for so long is ended: `5s`. Never, if not said.
    #[serde(default, deserialize_with = "duration")]
    pub hung_after: Option<Duration>,
    /// Where its output goes.
    #[serde(default)]
    pub output: Sink,
}

impl Launch {
    fn count(&self) -> u32 {
        self.members_in_system.or(self.members).unwrap_or(1)
    }
}

/// Where a launched process's standard output and error go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sink {
    /// Into `log/SERVICE.log` of the state directory.
    #[default]
    Log,
    /// Where the agent's go.
    Inherit,
}

/// Whether a program can be found as `exec` would: by its path, or by its name along `PATH`.
fn is_there(program: &Path, cwd: Option<&Path>) -> bool {
    let runs = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && std::os::unix::fs::PermissionsExt::mode(&m.permissions()) & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return runs(program) || cwd.is_some_and(|cwd| runs(&cwd.join(program)));
    }
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| runs(&dir.join(program))))
}

fn yes() -> bool {
    true
}

fn realm() -> Name {
    "tif".parse().expect("it is a name")
}

fn node<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NodeId>, D::Error> {
    u32::deserialize(from).and_then(numbered).map(Some)
}

fn voters<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<NodeId>, D::Error> {
    let numbers = Vec::<u32>::deserialize(from)?;
    if numbers.len() > VOTERS_MAX {
        return Err(serde::de::Error::custom(format!("{} CPUs are to vote: at most {VOTERS_MAX} can, and 3 are enough", numbers.len())));
    }
    numbers.into_iter().map(numbered).collect()
}

fn numbered<E: serde::de::Error>(number: u32) -> Result<NodeId, E> {
    match NODES.contains(&number) {
        true => Ok(NodeId(number)),
        false => Err(E::custom(format!("{number} is no number of a CPU: allowed are {} to {}", NODES.start(), NODES.end()))),
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    match parse_duration(&text) {
        Some(duration) if !duration.is_zero() => Ok(Some(duration)),
        _ => Err(serde::de::Error::custom(format!("{text:?} is not a duration above zero: write it as 500ms, 5s or 2min"))),
    }
}

/// Why there is no configuration. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("the configuration {}: {what}", .path.display())]
    Unfit {
        /// Which.
        path: PathBuf,
        /// What is wrong, where, and what would be right.
        what: String,
    },
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// With the line at fault.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Config::parse(&text).map_err(|what| ConfigError::Unfit { path: path.to_owned(), what })
    }

    fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|e| e.to_string())?;
        if config.fabric.as_ref().is_some_and(|fabric| fabric.listen.is_empty()) {
            return Err("fabric: `listen` is empty: others must be able to reach this agent, as at tcp/127.0.0.1:7447".into());
        }
        for (service, launch) in &config.service {
            if launch.command.is_empty() {
                return Err(format!("service.{service}: `command` is empty: name the program and its arguments"));
            }
            if !(1..=MEMBERS_MAX).contains(&launch.count()) {
                let what = if launch.members_in_system.is_some() { "members_in_system" } else { "members" };
                return Err(format!("service.{service}: `{what}` is {}: allowed are 1 to {MEMBERS_MAX}", launch.count()));
            }
            if launch.members.is_some() && launch.members_in_system.is_some() {
                return Err(format!("service.{service}: say `members` (of this CPU) or `members_in_system` (of all together), not both"));
            }
            if launch.members_in_system.is_some() && config.fabric.as_ref().is_none_or(|fabric| fabric.voters.is_empty()) {
                return Err(format!(
                    "service.{service}: `members_in_system` takes several CPUs that elect together: say who votes, in [fabric]"
                ));
            }
        }
        Ok(config)
    }

    /// The net to other CPUs, if there is one.
    pub fn net(&self) -> Option<Net> {
        self.fabric.clone().map(|Fabric { realm, listen, connect, .. }| Net { realm, listen, connect })
    }

    /// Where this CPU is in its system.
    pub fn place(&self) -> Place {
        let voters = self.fabric.as_ref().map(|fabric| fabric.voters.clone()).unwrap_or_default();
        Place { node: self.node.unwrap_or(NodeId(1)), voters }
    }

    /// Launch specifications whose program is not there, in words. No reason not to start: one service's missing program must not take the instruments of
    /// all others away, and it may come while the agent runs.
    // spec: OUT-3
    pub fn missing_programs(&self) -> Vec<String> {
        let missing = |(service, launch): (&Name, &Launch)| {
            let program = launch.command.first().filter(|program| !is_there(Path::new(program), launch.cwd.as_deref()))?;
            Some(format!("service.{service}: there is no program {program:?} that can be executed"))
        };
        self.service.iter().filter_map(missing).collect()
    }

    /// What the core needs to know of the launch specifications.
    pub fn policies(&self) -> Vec<LaunchPolicy> {
        let policy = |(service, launch): (&Name, &Launch)| LaunchPolicy {
            service: service.clone(),
            members: launch.count(),
            everywhere: launch.members_in_system.is_some(),
            starts: launch.start,
            hung_after: launch.hung_after,
        };
        self.service.iter().map(policy).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_specification_is_read_with_its_defaults() {
        let config = Config::parse(
            r#"
            cpu = "a"
            [service.orders]
            command = ["orders", "--fast"]
            env = { RUST_LOG = "info" }
            hung_after = "1.5s"
            [service.bills]
            command = ["bills"]
            members = 2
            start = false
            output = "inherit"
            "#,
        )
        .unwrap();
        let orders = &config.service[&"orders".parse().unwrap()];
        assert_eq!((orders.count(), orders.hung_after, orders.output), (1, Some(Duration::from_millis(1500)), Sink::Log));
        assert!(orders.start);
        assert_eq!((config.policies()[0].members, config.policies()[0].starts), (2, false));
        assert_eq!(config.policies()[0].hung_after, None);
    }

    // spec: OUT-3
    #[test]
    fn a_program_that_is_not_there_is_named_with_its_service() {
        let text = "[service.orders]\ncommand = [\"/no/such/orders\"]\n[service.bills]\ncommand = [\"no-such-bills\"]\n[service.sh]\ncommand = [\"sh\"]";
        let missing = Config::parse(text).unwrap().missing_programs();
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(missing[0].contains("service.bills") && missing[1].contains("/no/such/orders"), "{missing:?}");
    }

    // spec: FAB-1
    #[test]
    fn the_net_to_other_cpus_is_read_with_its_defaults() {
        let config = Config::parse("node = 2\n[fabric]\nlisten = [\"tcp/127.0.0.1:7002\"]\nconnect = [\"tcp/127.0.0.1:7001\"]").unwrap();
        let net = config.net().unwrap();
        assert_eq!((config.node, net.realm.as_str(), net.connect.len()), (Some(NodeId(2)), "tif", 1));
        assert_eq!((config.place().node, config.place().voters.len()), (NodeId(2), 0));
        let alone = Config::parse("").unwrap();
        assert_eq!((alone.net(), alone.place().node), (None, NodeId(1)));
        let text = "node = 2\n[fabric]\nlisten = [\"tcp/127.0.0.1:7002\"]\nvoters = [3, 1, 2]";
        assert_eq!(Config::parse(text).unwrap().place().voters, [1, 2, 3].map(NodeId).into());
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_what_would_be_right() {
        for (text, expect) in [
            ("cpu = \"a\"\nrundir = \"/x\"", ["line 2", "`run_dir`"]),
            ("[service.orders]\ncomand = [\"x\"]", ["line 2", "`command`"]),
            ("[service.orders]\ncommand = [\"x\"]\nhung_after = \"soon\"", ["line 3", "500ms"]),
            ("[service.orders]\ncommand = []", ["service.orders", "name the program"]),
            ("[service.orders]\ncommand = [\"x\"]\nmembers = 0", ["service.orders", "1 to 64"]),
            ("[service.orders]\ncommand = [\"x\"]\nmembers_in_system = 2", ["service.orders", "who votes"]),
            (
                "[service.orders]\ncommand = [\"x\"]\nmembers = 1\nmembers_in_system = 2\n[fabric]\nlisten = [\"tcp/127.0.0.1:7447\"]\nvoters = [1, 2]",
                ["service.orders", "not both"],
            ),
            ("node = 0", ["line 1", "1 to 65535"]),
            ("[fabric]\nlisten = []", ["fabric", "`listen` is empty"]),
            ("[fabric]\nlisten = [\"tcp/0.0.0.0:7447\"]", ["line 2", "loopback"]),
            ("[fabric]\nconnect = []", ["line 1", "`listen`"]),
            ("[fabric]\nvoters = [1, 0]", ["line 2", "1 to 65535"]),
            ("[fabric]\nvoters = [1, 2, 3, 4, 5, 6, 7, 8]", ["line 2", "at most 7"]),
            ("[service.\"no name\"]\ncommand = [\"x\"]", ["line 1", "no name"]),
        ] {
            let what = Config::parse(text).unwrap_err();
            for part in expect {
                assert!(what.contains(part), "{text:?} says {what:?} without {part:?}");
            }
        }
    }
}
