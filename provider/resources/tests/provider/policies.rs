//! Policies without a daemon: `terraform test`, and windows that cannot be.

use std::fs;
use std::path::Path;

use crate::terraform::Terraform;

#[test]
fn policies_are_tested_without_a_daemon() {
    let example =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/terraform/policy-tests");
    let terraform = Terraform::new(&fs::read_to_string(example.join("main.tf")).unwrap());
    let tests = terraform.path().join("tests");
    fs::create_dir(&tests).unwrap();
    fs::copy(example.join("tests/prod.tftest.hcl"), tests.join("prod.tftest.hcl")).unwrap();
    let run = terraform.run(&["test", "-no-color"]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert!(run.text.contains("6 passed, 0 failed"), "{}", run.text);
}

/// What `validate` says of a policy with these blocks.
fn told(blocks: &[&str]) -> Vec<String> {
    let policy = format!(
        "resource \"lockstep_promotion_policy\" \"prod\" {{\n  project = \"shop\"\n  \
         name = \"prod\"\n  mode = \"gated\"\n  stages {{ names = [\"prod\"] }}\n{}\n}}\n",
        blocks.join("\n")
    );
    Terraform::new(&policy).validate()
}

#[track_caller]
fn refused(blocks: &[&str], line: &str, text: &str) {
    let told = told(blocks);
    let [told] = told.as_slice() else { panic!("one mistake, not {told:#?}") };
    assert!(told.contains(line) && told.contains(text), "{told}");
}

const OFFICE: &str = "window {\n  name = \"office\"\n  allow = \"FREQ=DAILY;BYHOUR=9\"\n  \
                      duration = \"1h\"\n  timezone = \"UTC\"\n}";

#[test]
fn windows_that_cannot_be_are_told_at_their_line() {
    assert_eq!(told(&[OFFICE]), [""; 0]);
    for (good, bad, text) in [
        ("FREQ=DAILY;BYHOUR=9", "FREQ=DALY", "did you mean"),
        ("FREQ=DAILY;BYHOUR=9", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never fires"),
        ("FREQ=DAILY;BYHOUR=9", "FREQ=DAILY;COUNT=3", "set `start`"),
        ("\"UTC\"", "\"Europe/Berln\"", "Europe/Berlin"),
        ("\"UTC\"", "\"+02:00\"", "IANA name"),
        ("\"1h\"", "\"soon\"", "is not a duration"),
        ("\"1h\"", "\"400d\"", "at most 366d"),
    ] {
        refused(&[&OFFICE.replace(good, bad)], bad.trim_matches('"'), text);
    }
}

#[test]
fn windows_that_never_open_name_what_shuts_them() {
    let shut = OFFICE.replace("office", "shut").replace("allow", "deny");
    let shut = shut.replace("FREQ=DAILY;BYHOUR=9", "FREQ=HOURLY");
    refused(&[OFFICE, &shut], "", "closed by shut");
}
