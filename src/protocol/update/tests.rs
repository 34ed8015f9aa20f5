use super::*;

const NEW: &str = "new";
const OLD: &str = "old";

fn plan() -> Plan {
    Plan {
        number: 3,
        version: "0.2.0".into(),
        build: NEW.into(),
        sha256: "file".into(),
        bytes: 1,
        by: "dashboard".into(),
        approved_ms: 0,
        end: None,
    }
}

fn failure(why: &str) -> End {
    End::Failed(why.into())
}

/// One that has the file and the plan, and runs this.
fn one(build: &str) -> Standing {
    Standing {
        name: "one".into(),
        version: "0.1.0".into(),
        build: Some(build.into()),
        is_card: true,
        holds: Some("file".into()),
        plan: Some(plan()),
        ..Standing::default()
    }
}

fn on_trial() -> Standing {
    Standing { on_trial: true, ..one(NEW) }
}

fn pair(role: Role, twin: &Standing) -> Pair<'_> {
    Pair { role, obstacle: None, since_secs: 60, twin: Some(twin) }
}

use Reason::*;
use Role::*;

#[test]
fn what_each_does_next_when_all_is_well() {
    let table: [(&str, Role, Standing, Standing, Step); 14] = [
        ("the standby goes first", Standby, one(OLD), one(OLD), Step::Install),
        ("the active waits for it", Active, one(OLD), one(OLD), Step::Wait(TwinsTurn)),
        ("of two that share the second goes first", SharingSecond, one(OLD), one(OLD), Step::Install),
        ("and the first waits", SharingFirst, one(OLD), one(OLD), Step::Wait(TwinsTurn)),
        ("one on trial proves itself", Standby, on_trial(), one(OLD), Step::Wait(ProvesItself)),
        ("which the other waits for", Active, one(OLD), on_trial(), Step::Wait(TwinProvesItself)),
        ("then the roles are switched", Active, one(OLD), one(NEW), Step::SwitchRoles),
        ("and the one that stands by now installs", Standby, one(OLD), one(NEW), Step::Install),
        ("who shares needs no switch", SharingFirst, one(OLD), one(NEW), Step::Install),
        ("the new one waits for the old one", Active, one(NEW), one(OLD), Step::Wait(TwinsTurn)),
        ("whatever its role is", Standby, one(NEW), one(OLD), Step::Wait(TwinsTurn)),
        ("and for its trial", Active, one(NEW), on_trial(), Step::Wait(TwinProvesItself)),
        ("until both run it", Active, one(NEW), one(NEW), Step::Finish),
        ("both on trial, by hand say: each proves itself", Active, on_trial(), on_trial(), Step::Wait(ProvesItself)),
    ];
    for (what, role, own, twin, step) in table {
        assert_eq!(decide(&plan(), &own, Some(&pair(role, &twin))), step, "{what}");
    }
}

#[test]
fn one_without_a_twin_installs_at_once() {
    assert_eq!(decide(&plan(), &one(OLD), None), Step::Install);
    assert_eq!(decide(&plan(), &Standing { holds: None, ..one(OLD) }, None), Step::Wait(FileComes));
    assert_eq!(decide(&plan(), &on_trial(), None), Step::Wait(ProvesItself));
    assert_eq!(decide(&plan(), &one(NEW), None), Step::Finish);
}

#[test]
fn nothing_begins_while_something_is_in_the_way() {
    let (own, twin) = (one(OLD), one(OLD));
    let well = pair(Standby, &twin);
    let says = |own: &Standing, pair: Pair<'_>| decide(&plan(), own, Some(&pair));
    let not_well = Pair { obstacle: Some("A drill is on.".into()), ..well.clone() };
    assert_eq!(says(&own, not_well.clone()), Step::Wait(NotWell("A drill is on.".into())));
    assert_eq!(says(&own, Pair { twin: None, ..not_well }), Step::Wait(NotWell("A drill is on.".into())));
    assert_eq!(says(&own, Pair { twin: None, ..well.clone() }), Step::Wait(TwinIsSilent));
    assert_eq!(says(&own, Pair { since_secs: 3, ..well.clone() }), Step::Wait(Settles));
    assert_eq!(says(&Standing { holds: Some("another".into()), ..one(OLD) }, well), Step::Wait(FileComes));
    let beside = |twin: Standing| decide(&plan(), &own, Some(&pair(Standby, &twin)));
    assert_eq!(beside(Standing { holds: None, ..one(OLD) }), Step::Wait(FileGoes));
    assert_eq!(beside(Standing { is_card: false, ..one(OLD) }), Step::Wait(TwinIsNoCard));
    assert_eq!(beside(Standing { plan: None, ..one(OLD) }), Step::Wait(TwinHasAnotherPlan));
    for doing in [Doing::Writing, Doing::Restarting] {
        assert_eq!(beside(Standing { doing, ..one(OLD) }), Step::Wait(TwinsTurn), "one at a time");
    }
}

#[test]
fn a_plan_that_was_stopped_stays_so_on_both() {
    let stopped = Plan { end: Some(failure("b went back.")), ..plan() };
    for own in [one(OLD), on_trial(), one(NEW)] {
        assert_eq!(decide(&stopped, &own, Some(&pair(Standby, &one(OLD)))), Step::Ended(failure("b went back.")));
    }
    // The other has heard of it, and this one not yet.
    let twin = Standing { plan: Some(stopped), ..one(NEW) };
    assert_eq!(decide(&plan(), &one(OLD), Some(&pair(Active, &twin))), Step::Wait(TwinHasAnotherPlan));
}

#[test]
fn of_two_plans_one_is_later_on_both() {
    let failed = Plan { end: Some(failure("It went back.")), ..plan() };
    let stopped = Plan { end: Some(End::Stopped("Enough.".into())), ..plan() };
    let done = Plan { end: Some(End::Done), ..plan() };
    let next = Plan { number: 4, ..plan() };
    let other = Plan { sha256: "gile".into(), ..plan() };
    let ordered = [plan(), failed, stopped, done, other, next];
    for (at, later) in ordered.iter().enumerate() {
        for (before, earlier) in ordered.iter().enumerate() {
            assert_eq!(later.is_later_than(earlier), at > before, "{later:?} after {earlier:?}");
        }
    }
}

#[test]
fn what_a_later_version_says_is_understood_as_far_as_it_is_known() {
    let told = r#"{"name":"b","is_card":true,"doing":"baking","moon":"full"}"#;
    let heard: Standing = serde_json::from_str(told).expect("understood");
    assert_eq!(heard, Standing { name: "b".into(), is_card: true, ..Standing::default() });
}

/// Two boxes as the rest of the world sees them.
struct World {
    sides: [Standing; 2],
    up: [bool; 2],
    active: usize,
    together_secs: u64,
    installs: Vec<usize>,
}

impl World {
    fn decide(&self, me: usize) -> Step {
        let twin = 1 - me;
        let is_well = self.up[0] && self.up[1];
        let pair = Pair {
            role: if self.active == me { Active } else { Standby },
            obstacle: (!is_well).then(|| "The twin is not heard.".into()),
            since_secs: self.together_secs,
            twin: self.up[twin].then_some(&self.sides[twin]),
        };
        let plan = self.sides[me].plan.clone().expect("both have it");
        decide(&plan, &self.sides[me], Some(&pair))
    }
}

/// Every order in which boxes may act, start again, prove themselves, and fail: at most one of the two is away, the one that answers
/// by role is never the one that installs, and the second begins only beside one that is proven.
#[test]
fn whatever_the_order_one_of_the_two_is_there_and_a_failure_ends_it() {
    for seed in 0..2_000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut dice = |sides: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % sides
        };
        let fails = dice(3);
        let mut world = World {
            sides: [one(OLD), one(OLD)],
            up: [true; 2],
            active: dice(2) as usize,
            together_secs: 60,
            installs: Vec::new(),
        };
        for _ in 0..400 {
            let me = dice(2) as usize;
            if !world.up[me] {
                // It comes back, with what it was given, or gone back by itself.
                world.up[me] = true;
                world.together_secs = 0;
                let goes_back = fails == world.installs.len() as u64;
                let side = &mut world.sides[me];
                side.doing = Doing::Nothing;
                if goes_back {
                    side.plan = Some(Plan { end: Some(failure("It went back.")), ..plan() });
                } else {
                    (side.build, side.on_trial) = (Some(NEW.into()), true);
                }
                continue;
            }
            world.together_secs += dice(8);
            match world.decide(me) {
                Step::Install => {
                    assert!(world.up[1 - me] && world.active != me, "seed {seed}: who answers is there");
                    assert!(world.installs.is_empty() || world.sides[1 - me].has_proven(&plan()), "seed {seed}");
                    world.installs.push(me);
                    (world.up[me], world.sides[me].doing) = (false, Doing::Restarting);
                }
                Step::SwitchRoles => world.active = 1 - me,
                Step::Wait(ProvesItself) if dice(3) == 0 => world.sides[me].on_trial = false,
                Step::Wait(_) => {}
                Step::Finish => world.sides[me].plan = Some(Plan { end: Some(End::Done), ..plan() }),
                Step::Ended(_) => {
                    // The word of it travels.
                    let ended = world.sides[me].plan.clone();
                    if world.up[1 - me] {
                        world.sides[1 - me].plan = ended;
                    }
                }
            }
        }
        match fails {
            1 => assert_eq!(world.installs.len(), 1, "seed {seed}: the second never began"),
            2 => assert_eq!(world.installs.len(), 2, "seed {seed}: it was the second that failed"),
            _ => assert!(world.sides.iter().all(|side| side.has_proven(&plan())), "seed {seed}: {:?}", world.sides),
        }
    }
}
