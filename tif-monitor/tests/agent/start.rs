//! Starting and ending a real agent.

use crate::world::World;
use rustix::process::Signal;

// spec: MON-1
#[test]
fn a_second_agent_on_the_same_run_directory_refuses_to_start_and_names_the_first() {
    let world = World::new();
    let (status, said) = world.refused();
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains(&format!("(process {})", world.agent.as_ref().unwrap().id())), "{said}");
    drop(world.importer("still-served"));
}

// spec: MON-7
#[test]
fn a_killed_agents_socket_is_replaced_and_a_terminated_one_leaves_none() {
    let mut world = World::new();
    world.kill();
    assert!(world.run_dir().socket().exists(), "nobody could tidy up");
    world.start();
    let status = world.signal(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    assert!(!world.run_dir().socket().exists());
}

// spec: MON-7, PSM-1
#[test]
fn a_damaged_store_is_not_begun_anew() {
    let mut world = World::new();
    world.signal(Signal::TERM);
    let store = world.state_dir().join("state.db");
    std::fs::write(&store, b"").unwrap();
    let (status, said) = world.refused();
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("is damaged") && said.contains("Put a copy of the file back"), "{said}");
    assert_eq!(std::fs::read(&store).unwrap(), b"");
}

// spec: PSM-1
#[test]
fn keys_are_new_after_each_start_and_after_the_loss_of_the_store() {
    let mut world = World::new();
    let mut last = world.importer("first").1.key;
    for (i, lose) in [false, true, true, false].into_iter().enumerate() {
        world.kill();
        if lose {
            std::fs::remove_dir_all(world.state_dir()).unwrap();
        }
        world.start();
        // The earlier names belong to this process, which lives.
        let key = world.importer(&format!("later-{i}")).1.key;
        assert!(key.inc > last.inc, "{key} after {last}");
        last = key;
    }
}

#[test]
fn mistakes_in_the_call_and_in_the_configuration_are_told() {
    let mut world = World::empty();
    let path = world.dir.path().join("tif.toml");
    std::fs::write(&path, "[service.orders]\ncommand = [\"orders\"]\nmember = 2\n").unwrap();
    for (args, expect) in [
        (vec!["--config".to_owned(), path.display().to_string()], ["line 3", "`members`"]),
        (vec!["--config".to_owned(), "/no/such/file".to_owned()], ["cannot read", "/no/such/file"]),
        (vec!["--log".to_owned(), "tif=loud".to_owned()], ["--log", "loud"]),
        (vec!["--no-such".to_owned()], ["--no-such", "Usage"]),
    ] {
        world.args = args;
        let (status, said) = world.refused();
        assert_eq!(status, Some(2), "{said}");
        for part in expect {
            assert!(said.contains(part), "{said:?} without {part:?}");
        }
    }
}
