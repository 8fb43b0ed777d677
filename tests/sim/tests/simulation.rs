//! A fixed number of seeds, and those that once showed a bug.

use tif_sim::{Plan, run, run_system};

/// Seeds that found something in the past, with what. They fly first.
const REGRESSIONS: [(u64, &str); 20] = [
    (706_642, "an outage whose end could not be written stayed open for ever after the agent's restart"),
    (6992, "a subscription during an outage announced only what was new, though the importer had cleared the rest"),
    (8, "an unregistered process that lives was said to be dead after the agent's restart"),
    (17, "a follower whose wish became coarser was compared with a value of long ago"),
    (23, "instruments that came at run time were announced without a begin to who followed nothing of their source"),
    (27, "the same"),
    (42, "the same"),
    (178, "a service's volatile values came back after a failed write"),
    (1096, "the same"),
    (1543, "a newcomer was sent a value that its elders never got, and the next did not matter"),
    (1120, "the same"),
    (4960, "an importer that reconnected during an outage showed the dead's last values ever longer"),
    (16977, "a primary whose end could not be written was taken for one again by the next agent, beside its successor"),
    (
        5260,
        "an importer was told of an outage that could not be written down, and not that it was over when the next agent had found it out again",
    ),
    (2240, "none of the agent's: an importer that was stopped heard the end of an outage after the next agent had started"),
    (71, "somebody was told to lead while the end of the primary before was only being written once more"),
    (1514, "the end of a primary was not written any more when a registration under its name could not be"),
    (611, "an agent told the elected of the one before it to lead, and the end of the primary before was not written"),
    (5_108_928, "the successor of a primary whose admission was abandoned was written down before that"),
    (1069, "none of the agent's: messages to a stopped process overtook one another"),
];

/// In a debug build a seed takes about 45 ms.
const SEEDS: u64 = 250;

fn fly(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        if let Some(violation) = run(Plan::of(seed)).violation {
            panic!("seed {seed}: {violation}\n  again: cargo run -p tif-sim -- replay {seed} --until {}", violation.step);
        }
    }
}

#[test]
fn seeds_that_found_a_bug_once_find_none_any_more() {
    fly(REGRESSIONS.iter().map(|(seed, _)| *seed));
}

// spec: MON-7, SYN-6
#[test]
fn every_seed_keeps_every_promise_in_trouble_and_comes_right_after_it() {
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || fly((0..SEEDS).filter(|seed| seed % 2 == half)));
        }
    });
}

/// Seeds of several CPUs that found something in the past.
/// - 10323: a change that was accepted by its home alone, in a term that this began anew, was said to be replicated.
/// - 10588, 11333: what a deposed primary still sent took the source away from who leads here in the same term.
/// - 22892: a primary that was deposed and elected again was taken for the one that was lost, and its values for the last of the dead.
/// - 21886, 22952: none of the agents': an attempt in a log of an earlier term, and a stopped primary to whom no agent listened any more.
/// - 30975, 32292: that a CPU was down ended what the successor of its exporter was sending just then.
/// - 15055279: a value took the place of one that waited from before its instrument was announced anew, and came before the announcement.
/// - 15031982: a request that was made again on another CPU was answered by the first as its own attempt, which had been lost.
/// - 11022790: that a process on another kernel is presumed dead was told before it was durable; the next agent let it go on.
/// - 11009847: a standby that lost its link as it was elected was waited for in vain, and passed over for good.
/// - 11008890: a change was accepted for a control that another held, as the agent learnt only while the service's validator thought about it.
/// - 10013787: a process that had never heard of its registration, whose agent was given up meanwhile, began another life, and the first never ended.
/// - 10013039: what was doubted after another agent's restart, and not asked for any more then, was shown as it had been to who asked for it later.
/// - 10006079, 10007509, 10009054, 10009760: none of the agents': what is accepted while a primary is on its way into office, what was told long after it
///   was so, and an agent that was away and therefore gives up later.
/// - 4003352: none of the agents': who led in a term before its agent ended came back with what nobody was told to be accepted still to come.
/// - 2002476: a request id that had been used for something else on another CPU was answered with what that had come to.
/// - 17052461: a change that expected a version was accepted though another was, which its agent learnt only while the service's validator thought about it.
/// - 17060734: none of the agents': who was deposed and led again said the same twice, with a loss between.
/// - 342: a successor on another CPU was heard before the loss of the one that it followed, and no importer there was told that there had been an outage.
/// - 16104693: a process whose life its agent could not make durable stayed unreachable for ever elsewhere when both were gone.
/// - 16014784: that a successor elsewhere had ended an outage was not in the store where it had begun.
/// - 16006121: after a restart two members next door had the same number, because the store could not be told that one had given way.
/// - 832: the same as 1001564, where the register had named the member before its agent ended.
/// - 1001564: a member was promoted beside one next door that had led before its agent ended, and had not come back to the next.
/// - 600112: an answer to what an earlier life of an agent had asked was taken for one to another question, which had the same number.
/// - 500039: an agent asked for ever what another life spoke, which took the question for an answer.
/// - 67918: none of the agents': what a stopped process had not heard yet overtook what came for it while the whole CPU stood still.
/// - 45799: a value that waited here for its follower's pace was forgotten when its home said once more what there is.
/// - 32819, 35991: an importer took a second loss of one exporter for the first, and an exporter that was silent when it was first watched for dead.
const SYSTEM_REGRESSIONS: [u64; 56] = [
    1, 3, 5, 6, 13, 37, 41, 91, 124, 181, 199, 342, 492, 10323, 10588, 11333, 21886, 22892, 22952, 30975, 32292, 32819, 35991, 45799,
    67918, 500_039, 600_112, 940_043, 1_000_104, 1_000_425, 1_001_564, 832, 2_002_476, 4_003_352, 10_006_079, 10_007_509, 10_009_054,
    10_009_760, 10_013_039, 10_013_787, 11_008_890, 11_009_847, 11_022_790, 15_031_982, 15_055_279, 16_006_121, 16_014_784, 16_104_693,
    17_052_461, 17_060_734, 17_300_382, 18_003_231, 18_101_290, 18_111_294, 18_111_654, 18_300_302,
];

/// Of so many CPUs, whatever the seed would decide.
/// - 126: the last values of a lost exporter, sent once more for a second subscription, were taken for its return.
const SIZED_REGRESSIONS: [(u64, u32); 1] = [(126, 9)];

// spec: OUT-2, OUT-4
#[test]
fn seeds_that_found_a_bug_with_many_cpus_find_none_any_more() {
    for (seed, cpus) in SIZED_REGRESSIONS {
        if let Some(violation) = run_system(Plan { cpus: Some(cpus), ..Plan::of(seed) }).violation {
            panic!(
                "seed {seed}: {violation}\n  again: cargo run -p tif-sim -- replay {seed} --until {} --system --cpus {cpus}",
                violation.step
            );
        }
    }
}

/// In a debug build a seed of several CPUs takes about half a second.
const SYSTEM_SEEDS: u64 = 30;

// spec: FAB-2, FAB-3, SYN-6, PSM-4
#[test]
fn several_cpus_keep_every_promise_in_trouble_and_come_right_after_it() {
    let seeds: Vec<u64> = SYSTEM_REGRESSIONS.into_iter().chain(1000..1000 + SYSTEM_SEEDS).collect();
    std::thread::scope(|scope| {
        for half in 0..2 {
            let mine: Vec<u64> = seeds.iter().copied().skip(half).step_by(2).collect();
            scope.spawn(move || {
                for seed in mine {
                    if let Some(violation) = run_system(Plan::of(seed)).violation {
                        panic!(
                            "seed {seed}: {violation}\n  again: cargo run -p tif-sim -- replay {seed} --until {} --system",
                            violation.step
                        );
                    }
                }
            });
        }
    });
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 4, 8] {
        let [first, second] = [run(Plan::of(seed)), run(Plan::of(seed))];
        assert_eq!((first.steps, first.fingerprint), (second.steps, second.fingerprint));
    }
}
