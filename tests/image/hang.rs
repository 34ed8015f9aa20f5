//! A box whose program hangs or crashes helps itself.
//!
//! A part is made to hang by freezing its thread from beside it, by the kernel's means (cgroup v2): to the program that is what a deadlock or an
//! endless loop is, and the program itself has no switch for it that anybody could meet.

use std::time::{Duration, Instant};

use crate::{
    PASSWORD,
    crafted::{Plug, mac},
    home, lab,
    lab::wait_until,
    pi::{Pi, text},
    power::wait_for_offer,
    visitor::Visitor,
};

/// What the issue allows from the hang to the reset.
const RESET: Duration = Duration::from_secs(20);
/// The watchdog's time-out is over in this once, so it must have been fed.
const HEALTHY_SECS: u32 = 20;

/// Until the program has served pages for some time.
const WAIT: &str = r#"
serves() { [ -d /proc/self ] && pid=$(busybox pidof twinlease) && busybox grep -qxs web /proc/$pid/task/*/comm; }
until serves; do busybox sleep 0.3; done
busybox sleep SECONDS
"#;
/// `main`: the program's first thread, which answers devices.
const FREEZE: &str = r#"
box=/run/cgroup
busybox mkdir $box && busybox mount -t cgroup2 none $box && busybox mkdir $box/program
echo $pid >$box/program/cgroup.procs
busybox mkdir $box/program/still
echo threaded >$box/program/still/cgroup.type
for thread in /proc/$pid/task/*; do
  id=${thread##*/} name=$(busybox cat $thread/comm)
  [ $id != $pid ] || name=main
  [ $name != PART ] || echo $id >$box/program/still/cgroup.threads
done
echo 1 >$box/program/still/cgroup.freeze
echo "beside: PART stands still, thread $(busybox cat $box/program/still/cgroup.threads)"
"#;
const CRASH: &str = r#"
echo "beside: the program is killed"
busybox kill -ABRT $pid
"#;

/// A box that runs this beside its program.
fn with_beside<'l>(lab: &'l lab::Lab, script: &str, how: &[&str]) -> Pi<'l> {
    let pi = Pi::set_up(lab, "one", "plain", "192.0.2.2/24");
    let file = lab.folder().join("beside");
    std::fs::write(&file, script).expect("written");
    pi.start(&[how, &[&format!("inside={}", text(&file))]].concat());
    pi
}

fn a_reset_follows_when_it_hangs(name: &str, part: &str, called: &str) {
    let Some(lab) = lab::enter_or_skip(name) else { return };
    home(&lab);
    let script = (WAIT.replace("SECONDS", &HEALTHY_SECS.to_string()) + FREEZE).replace("PART", part);
    // Its first words come when they are said, not once there is a driver for the port.
    let pi = with_beside(&lab, &script, &["virt", "watchdog", "earlycon=pl011,0x9000000"]);
    let still = format!("beside: {part} stands still, thread ");
    pi.wait_for_log(&still);
    let hung = Instant::now();
    let starts = || pi.log().matches("Booting Linux on physical CPU").count();
    assert_eq!(starts(), 1, "it was fed for longer than its time-out");
    wait_until("the watchdog resets the box", RESET + Duration::from_secs(10), || starts() == 2);
    let after = hung.elapsed();
    println!("hang: {called}, reset after {:.1} s", after.as_secs_f32());
    assert!(after <= RESET, "{after:?}");
    let log = pi.log();
    let thread = log.split(&still).nth(1).and_then(|rest| rest.lines().next()).expect("seen above");
    assert!(!thread.trim().is_empty(), "no thread of this name was frozen");
    assert!(log.contains(&format!("{called} hangs: the watchdog will start this box again")), "{log}");
    wait_for_offer(&pi, &Plug::at("laptop"));
    println!("hang: {called}, serves again {:.1} s after it hung", hung.elapsed().as_secs_f32());
    let log = Visitor::signed_in("192.0.2.2", PASSWORD).get("/activity/log.txt");
    assert!(log.contains(&format!("{called} hangs")), "what it said before the reset is on the card:\n{log}");
    assert_eq!(log.matches("the network is at eth0").count(), 2, "all of both lives:\n{log}");
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_packet_loop_that_hangs_is_reset() {
    a_reset_follows_when_it_hangs("hang::a_packet_loop_that_hangs_is_reset", "main", "the packet loop");
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_store_that_hangs_is_reset() {
    a_reset_follows_when_it_hangs("hang::a_store_that_hangs_is_reset", "store", "the store");
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_dashboard_that_hangs_is_reset() {
    a_reset_follows_when_it_hangs("hang::a_dashboard_that_hangs_is_reset", "web", "the dashboard");
}

#[test]
#[ignore = "needs the images: scripts/test --image"]
fn a_program_that_crashes_is_started_again_and_remembers_its_log() {
    let Some(lab) = lab::enter_or_skip("hang::a_program_that_crashes_is_started_again_and_remembers_its_log") else { return };
    home(&lab);
    let plug = Plug::at("laptop");
    let pi = with_beside(&lab, &(WAIT.replace("SECONDS", "5") + CRASH), &["virt", "watchdog"]);
    wait_for_offer(&pi, &plug);
    let acked = plug.dora(mac(1), Duration::from_secs(5)).expect("it serves");
    pi.wait_for_log("beside: the program is killed");
    let killed = Instant::now();
    pi.wait_for_log("ended with code 134; it is started again");
    wait_until("it serves as before", Duration::from_secs(30), || {
        plug.dora(mac(1), Duration::from_secs(1)).is_some_and(|again| again.yiaddr == acked.yiaddr)
    });
    println!("crash: serves again after {:.1} s", killed.elapsed().as_secs_f32());
    let log = Visitor::signed_in("192.0.2.2", PASSWORD).get("/activity/log.txt");
    assert_eq!(log.matches("the network is at eth0").count(), 2, "the log of both lives:\n{log}");
    // Fed by the first life, and again by the second.
    std::thread::sleep(Duration::from_secs(HEALTHY_SECS.into()));
    assert_eq!(pi.log().matches("Booting Linux on physical CPU").count(), 1, "the watchdog has nothing to do");
}
