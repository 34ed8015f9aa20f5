use proptest::prelude::*;

use super::*;

fn problems(text: &str) -> Vec<String> {
    read(text.as_bytes()).expect_err("a problem").iter().map(ToString::to_string).collect()
}

#[test]
fn the_template_as_it_is_says_nothing() {
    let template = include_bytes!("../../../image/setup.txt");
    assert_eq!(read(template), Ok(Setup::default()));
}

#[test]
fn every_line_of_the_template_can_be_opened() {
    let template = include_str!("../../../image/setup.txt");
    let is_setting =
        |line: &&str| KEYS.iter().any(|key| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(&format!("{key} ="))));
    let opened: String = template.lines().filter(is_setting).map(|line| format!("{}\n", line.trim_start_matches('#'))).collect();
    assert_eq!(opened.lines().count(), KEYS.len());
    let setup = read(opened.as_bytes()).expect("the examples are good ones");
    assert_eq!(setup.name.as_deref(), Some("dhcp-cellar"));
    assert_eq!(setup.lights, Lights { one: None, rgb: Some([17, 27, 22]), act: true });
    assert_eq!(setup.button, Some(3));
}

#[test]
fn files_of_other_systems_are_read() {
    let setup = read(
        "\u{feff}Name = \"Cellar\"\r\n  ADDRESS=192.0.2.2/24\r\nRouter = 192.0.2.1\r\ndns = 192.0.2.1, 192.0.2.3\r\n".as_bytes(),
    )
    .expect("good");
    assert_eq!(setup.name.as_deref(), Some("cellar"));
    assert_eq!(setup.address, Some("192.0.2.2/24".parse().expect("a prefix")));
    assert_eq!(setup.dns.len(), 2);
}

#[test]
fn each_wrong_line_is_named_with_what_to_do() {
    let all = problems(
        "nonsense\nadress = 192.0.2.2/24\nname = -x-\naddress = 192.0.2.0/24\npassword = short\npair-key = 1234\nsettings = ../x\nled = 99\nled-rgb = 1,2\nact-led = perhaps\nname = y\ndns = 1.1.1\n",
    );
    assert_eq!(all.len(), 12, "{all:#?}");
    for (number, problem) in all.iter().enumerate() {
        assert!(problem.starts_with(&format!("line {}: ", number + 1)), "{problem}");
    }
    assert!(all[1].contains("Is `address` meant?"), "{}", all[1]);
    assert!(all[10].contains("twice"), "{}", all[10]);
}

#[test]
fn what_does_not_fit_together_is_said() {
    assert!(problems("address = 192.0.2.2/24\nrouter = 198.51.100.1")[0].contains("not in this box's network 192.0.2.0/24"));
    assert!(problems("router = 192.0.2.1")[0].contains("no address"));
    assert!(problems("button = 17")[0].contains("GPIO 17 is named twice"), "the usual light is there");
    assert!(problems("led-rgb = 5,6,5")[0].contains("GPIO 5 is named twice"));
}

#[test]
fn the_password_is_taken_out_and_the_rest_stays() {
    let file = b"name = x\r\nPassword = correct horse\r\nled = 17";
    let after = without_password(file).expect("there was one");
    let after = String::from_utf8(after).expect("text");
    assert!(!after.contains("horse"), "{after}");
    assert!(after.starts_with("name = x\r\n# ") && after.ends_with("\r\nled = 17"), "{after}");
    assert_eq!(without_password(after.as_bytes()), None);
    assert_eq!(without_password(include_bytes!("../../../image/setup.txt")), None);
}

/// As Notepad, word processors and people write them.
const WRITTEN_OTHERWISE: [&str; 5] = [
    "\u{feff}password = correct horse\r\nname = x\r\n",
    "\u{feff}\u{feff}  PassWord=\"correct horse\"",
    "name = x\n\u{a0}password\u{3000}=\u{2003}correct horse\u{a0}\n",
    "name = x\r\n\tpassword\t= 'correct horse' \r\n# end",
    "password = correct horse = 1\n",
];

#[test]
fn a_password_that_is_read_is_also_taken_out() {
    for file in WRITTEN_OTHERWISE {
        let setup = read(file.as_bytes()).expect(file);
        assert!(setup.password.is_some_and(|password| password.starts_with("correct horse")), "{file}");
        let after = without_password(file.as_bytes()).expect(file);
        assert!(!String::from_utf8(after.clone()).expect("text").contains("horse"), "{file}");
        assert_eq!(read(&after), Ok(Setup { password: None, ..read(file.as_bytes()).expect("good") }), "{file}");
    }
    assert_eq!(without_password(b"password = \npassword-hint = none\n#password = correct horse\n"), None);
}

#[test]
fn the_line_of_the_password_is_found_where_it_stands() {
    for file in WRITTEN_OTHERWISE {
        let mut bytes = file.as_bytes().to_vec();
        let line = password_line(&bytes).expect(file);
        bytes[line].fill(b'#');
        let after = String::from_utf8(bytes.clone()).expect("text");
        assert!(!after.contains("horse") && after.len() == file.len(), "{after}");
        assert_eq!(after.lines().count(), file.lines().count(), "{after}");
        assert!(read(&bytes).is_ok(), "{after}");
    }
}

proptest! {
    #[test]
    fn no_file_makes_it_stumble(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
        let _ = without_password(&bytes);
    }

    #[test]
    fn no_line_makes_it_stumble(key in proptest::sample::select(KEYS.to_vec()), value in "\\PC{0,60}") {
        let file = format!("{key} = {value}");
        let has_password = read(file.as_bytes()).is_ok_and(|setup| setup.password.is_some());
        assert!(!has_password || without_password(file.as_bytes()).is_some());
    }
}
