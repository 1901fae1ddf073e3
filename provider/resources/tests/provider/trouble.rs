//! A daemon that is down, slow, of another version, or not a daemon at all: one clear diagnostic.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::Daemon;
use crate::terraform::Terraform;

const POLICY: &str = r#"
provider "lockstep" {}
resource "lockstep_promotion_policy" "prod" {
  name = "prod"
  mode = "manual"
  stages { names = ["prod"] }
}
"#;

/// The policy under another name, without the provider.
fn policy(name: &str) -> String {
    POLICY.replacen("provider \"lockstep\" {}", "", 1).replace("prod", name)
}

/// What stands where the daemon should be, and answers each request in its own way.
pub(crate) struct Rogue {
    pub(crate) endpoint: String,
}

impl Rogue {
    pub(crate) fn start(answer: impl Fn(&str, &mut TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let answer = answer.clone();
                thread::spawn(move || {
                    let mut request = [0; 4096];
                    let length = stream.read(&mut request).unwrap_or_default();
                    let head = String::from_utf8_lossy(&request[..length]).into_owned();
                    answer(&head, &mut stream);
                });
            }
        });
        Self { endpoint }
    }

    /// Answers every request the same.
    fn saying(head: &'static str, body: &'static str) -> Self {
        Self::start(move |_, stream| say(stream, head, body))
    }
}

pub(crate) fn say(stream: &mut TcpStream, head: &str, body: &str) {
    let length = body.len();
    // Who does not read it to its end has seen enough.
    let _sent = write!(
        stream,
        "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
}

/// What a run told: how many errors and warnings, and the text in one line.
fn told(text: &str) -> (usize, usize, String) {
    let flat = text.replace(['│', '╷', '╵'], " ");
    let flat = flat.split_whitespace().collect::<Vec<_>>().join(" ");
    let overrides = flat.matches("Warning: Provider development overrides").count();
    (flat.matches("Error: ").count(), flat.matches("Warning: ").count() - overrides, flat)
}

/// Plans anew and applies a plan that a good daemon gave, with something else in its place: of a
/// policy that is not there, and of a change of one that is. The plan goes well with one warning, or
/// fails with one error; the apply fails with one error.
fn check(name: &str, endpoint: &str, plan_goes_on: bool, parts: &[&str]) {
    for is_update in [false, true] {
        check_change(name, endpoint, is_update, plan_goes_on, parts);
    }
}

fn check_change(name: &str, endpoint: &str, is_update: bool, plan_goes_on: bool, parts: &[&str]) {
    let name = if is_update { format!("{name}, update") } else { name.to_owned() };
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let mut terraform = Terraform::at(&daemon.endpoint, POLICY);
    if is_update {
        terraform.apply();
        terraform.write(&POLICY.replace("\"prod\"]", "\"prod*\"]"));
    }
    assert_eq!(terraform.plan(&[]).code, 2);
    terraform.set("LOCKSTEP_ENDPOINT", endpoint);
    terraform.set("LOCKSTEP_REQUEST_TIMEOUT", "1s");
    let apply = terraform.run(&["apply", "-no-color", "plan.out"]);
    let (errors, warnings, text) = told(&apply.text);
    // The client plans once more before it applies, and nothing tells that plan from the first.
    assert!((apply.code, errors) == (1, 1) && warnings <= 1, "{name}, apply: {text}");
    let plan = terraform.plan(&[]);
    let (planned_errors, planned_warnings, plan_text) = told(&plan.text);
    let expected = if plan_goes_on { (2, 0, 1) } else { (1, 1, 0) };
    assert_eq!((plan.code, planned_errors, planned_warnings), expected, "{name}: {plan_text}");
    for part in parts {
        assert!(text.contains(part), "{name}, apply: {part}: {text}");
        assert!(plan_text.contains(part), "{name}, plan: {part}: {plan_text}");
    }
}

#[test]
fn whatever_answers_there_is_one_diagnostic() {
    check("down", "http://127.0.0.1:1", true, &["annot reach lockstepd", "Connection refused"]);
    let slow = Rogue::start(|_, stream| {
        // Until the client gives up.
        let _gone = stream.read(&mut [0]);
    });
    check("slow", &slow.endpoint, true, &["did not answer within 1 s", "overloaded"]);
    let html = Rogue::saying("200 OK\r\ncontent-type: text/html", "<html>hello</html>");
    check("html", &html.endpoint, false, &["not lockstepd: 200 OK with text/html", "endpoint"]);
    let cut = Rogue::start(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n";
        let _sent = write!(stream, "{head}\r\n{{\"name\": \"al");
    });
    check("cut off", &cut.endpoint, true, &["broke before its answer was whole"]);
    let half = Rogue::saying("200 OK\r\ncontent-type: application/json", "{\"name\": \"al");
    check("half JSON", &half.endpoint, false, &["not lockstepd: 200 OK with application/json"]);
    let elsewhere =
        Rogue::saying("302 Found\r\nlocation: https://sso.example.com/login?next=s3cret", "");
    check("redirect", &elsewhere.endpoint, false, &["302 Found to https://sso.example.com/login"]);
    let newer = "200 OK\r\ncontent-type: application/json\r\nlockstep-version: 9.0.0";
    let newer = Rogue::saying(newer, "{\"who\": {}}");
    check("newer", &newer.endpoint, false, &["ockstepd 9.0.0 at", "of one release"]);
    let gateway = Rogue::saying("502 Bad Gateway\r\ncontent-type: text/html", "<html></html>");
    check("gateway", &gateway.endpoint, true, &["what stands before it answered 502"]);
    let endless = Rogue::start(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
        let mut open = stream.write_all(head.as_bytes()).is_ok();
        while open {
            open = stream.write_all(&[b' '; 65536]).is_ok();
        }
    });
    check("endless", &endless.endpoint, false, &["not lockstepd: more than 64 MiB"]);
}

#[test]
fn one_that_fails_in_the_middle_is_told_once_and_the_plan_goes_on() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let config = format!("{POLICY}\n{}", policy("dev"));
    let mut terraform = Terraform::at(&daemon.endpoint, &config);
    terraform.apply();
    let greeting = "200 OK\r\ncontent-type: application/json";
    let rogue = Rogue::start(move |request, stream| {
        if request.starts_with("GET /v1/whoami") {
            say(stream, greeting, r#"{"name":"alice","groups":[],"admin":true}"#);
        }
    });
    terraform.set("LOCKSTEP_ENDPOINT", &rogue.endpoint);
    let plan = terraform.plan(&[]);
    let (errors, warnings, text) = told(&plan.text);
    assert_eq!((plan.code, errors, warnings), (0, 0, 1), "{text}");
    assert!(text.contains("shows every object as it was read last"), "{text}");
    // What was never read has nothing to show.
    terraform.write(&format!(
        "{config}\nimport {{\n  to = lockstep_promotion_policy.x\n  id = \"shop/x\"\n}}\n{}",
        policy("x")
    ));
    let plan = terraform.plan(&[]);
    assert_eq!(plan.code, 1, "{}", plan.text);
    assert!(plan.text.contains("Cannot read policy shop/x"), "{}", plan.text);
}

#[test]
fn one_of_another_version_in_the_middle_is_one_error() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let all = ["a", "b", "c", "d", "e", "f"].map(policy).concat();
    let mut terraform = Terraform::at(&daemon.endpoint, &all);
    terraform.apply();
    let rogue = Rogue::start(|request, stream| {
        let mut head = "200 OK\r\ncontent-type: application/json".to_owned();
        if request.starts_with("GET /v1/whoami") {
            return say(stream, &head, r#"{"name":"alice","groups":[],"admin":true}"#);
        }
        head.push_str("\r\nlockstep-version: 9.0.0");
        say(stream, &head, "{\"who\": {}}");
    });
    terraform.set("LOCKSTEP_ENDPOINT", &rogue.endpoint);
    let plan = terraform.plan(&[]);
    let (errors, warnings, text) = told(&plan.text);
    assert_eq!((plan.code, errors, warnings), (1, 1, 0), "{text}");
    assert!(text.contains("ockstepd 9.0.0 at"), "{text}");
}

/// Passes everything on, and loses the answers to what begins so.
fn lossy(daemon: &Daemon, loses: &'static str) -> Rogue {
    let behind = daemon.endpoint.trim_start_matches("http://").to_owned();
    Rogue::start(move |request, stream| {
        let mut real = TcpStream::connect(&behind).unwrap();
        let passed = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        real.write_all(passed.as_bytes()).unwrap();
        let mut answer = Vec::new();
        real.read_to_end(&mut answer).unwrap();
        let head = request.lines().next().unwrap_or_default();
        let is_lost = loses.split('*').all(|part| head.contains(part));
        if !is_lost {
            let _sent = stream.write_all(&answer);
        }
    })
}

fn policy_key(name: &str) -> (Kind, String, String) {
    (Kind::Policy, "shop".to_owned(), name.to_owned())
}

#[test]
fn a_rename_whose_answer_was_lost_is_found_to_be_done() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let mut terraform = Terraform::at(&daemon.endpoint, POLICY);
    terraform.apply();
    let rogue = lossy(&daemon, "POST *rename");
    // The name had an object before, and goes on from there.
    daemon.world().retired.insert(policy_key("gates"), 7);
    terraform.set("LOCKSTEP_ENDPOINT", &rogue.endpoint);
    terraform.write(&POLICY.replace("name = \"prod\"", "name = \"gates\""));
    terraform.apply();
    assert_eq!(terraform.attributes("lockstep_promotion_policy", "prod")["name"], "gates");
    terraform.plan_is_empty();
    // What somebody else has under the new name is not taken for it.
    let theirs = json!({ "mode": "manual", "stages": { "names": ["x"] } });
    daemon.put(Kind::Policy, "theirs", theirs.clone());
    terraform.write(&POLICY.replace("name = \"prod\"", "name = \"theirs\""));
    for principal in ["bob", "alice"] {
        {
            // As if it were the next of the one that is renamed.
            let mut world = daemon.world();
            let generation = world.objects[&policy_key("gates")].generation + 1;
            let object = world.objects.get_mut(&policy_key("theirs")).unwrap();
            (object.generation, object.changed_by) = (generation, principal.to_owned());
        }
        let text = terraform.apply_fails();
        let told = ["cannot take that name", "It may have been"];
        assert!(told.iter().any(|told| text.contains(told)), "{principal}: {text}");
        assert_eq!(terraform.attributes("lockstep_promotion_policy", "prod")["name"], "gates");
        assert_eq!(daemon.spec(Kind::Policy, "theirs"), Some(theirs.clone()), "{principal}");
    }
}

#[test]
fn a_removal_whose_answer_was_lost_is_found_to_be_done() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let mut terraform = Terraform::at(&daemon.endpoint, POLICY);
    terraform.apply();
    let rogue = lossy(&daemon, "DELETE ");
    terraform.set("LOCKSTEP_ENDPOINT", &rogue.endpoint);
    let run = terraform.run(&["destroy", "-auto-approve", "-no-color"]);
    assert_eq!(run.code, 0, "{}", run.text);
    assert_eq!(daemon.spec(Kind::Policy, "prod"), None);
}

#[test]
fn a_write_whose_answer_was_lost_is_found_to_be_done() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    let lossy = lossy(&daemon, "PUT ");
    let mut terraform = Terraform::at(&daemon.endpoint, POLICY);
    terraform.set("LOCKSTEP_ENDPOINT", &lossy.endpoint);
    terraform.apply();
    terraform.plan_is_empty();
    // What somebody else made is not ours, even if the answer was lost.
    daemon.put(Kind::Policy, "dev", json!({ "mode": "manual", "stages": { "names": ["dev"] } }));
    terraform.write(&POLICY.replace("prod", "dev"));
    let text = terraform.apply_fails();
    assert!(text.contains("It may have been done nevertheless"), "{text}");
}
