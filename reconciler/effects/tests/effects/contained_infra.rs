//! Modules that mean harm, planned and applied by the real tool in a real sandbox.

use std::time::Duration;

use reconciler_effects::http::EgressPolicy;
use reconciler_effects::infra::run::{self, ApplyError, RunStatus, attach, outcome, wait};
use reconciler_effects::infra::{Containment, State};
use reconciler_effects::sandbox::{Limits, Mode, Network, Sandbox};
use serde_json::json;

use crate::infra::{Bench, exists, kill9, running_pid};

const PROBE: &str = env!("CARGO_BIN_EXE_effects-probe");

/// A module with one provisioner, which is a shell in the module's directory.
fn module(script: &str) -> String {
    let script = script.replace("${", "$${");
    format!(
        "resource \"terraform_data\" \"a\" {{\n  provisioner \"local-exec\" {{\n    command = <<-EOT\n{script}\n    EOT\n  }}\n}}\n"
    )
}

/// Contained, in a tree beside which there is a secret.
async fn contained(config: &str, network: Network) -> Bench {
    let mut bench = Bench::new(config).await;
    let sandbox = Sandbox::new(Mode::Required, PROBE);
    let offer = sandbox.probe();
    assert!(offer.is_ok(), "these tests need a machine that contains programs: {offer:?}");
    std::fs::write(bench.path("secret"), "hunter22").unwrap();
    bench.module.env.insert("CLOUD_TOKEN".to_owned(), "given".to_owned());
    bench.module.containment = Some(Containment {
        sandbox,
        tree: bench.module.dir.clone(),
        read: Vec::new(),
        write: Vec::new(),
        network,
        limits: Limits { disk: 64 << 20, processes: 256, ..Containment::LIMITS },
    });
    bench.module.init(&bench.cancel).await.unwrap();
    bench
}

impl Bench {
    /// A plan in the directory that the tool may change.
    async fn planned(&self) -> reconciler_effects::infra::Plan {
        let out = self.module.scratch.join("out.tfplan");
        let options = reconciler_effects::infra::PlanOptions { out, ..self.options(&json!({})) };
        self.module.plan(&options, &self.cancel).await.unwrap()
    }

    fn left(&self, name: &str) -> String {
        std::fs::read_to_string(self.module.dir.join(name)).unwrap()
    }
}

#[tokio::test]
async fn what_a_module_executes_gets_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "env | cut -d= -f1 | sort > names\n\
         cat ../secret /root/.bashrc /etc/shadow > stolen 2> refused || true\n\
         ls -a $HOME /home /root >> stolen 2>> refused || true\n\
         cat /proc/1/environ >> stolen 2>> refused || true\n\
         curl -sS -m 5 --noproxy '*' http://127.0.0.1:{port}/ >> stolen 2> reached || true\n\
         curl -sS -m 5 http://169.254.169.254/latest >> stolen 2>> reached || true\n\
         id -u > uid\n\
         (setsid sleep 3600 > /dev/null 2>&1 &) || true"
    );
    // Set for this process; the tool gets what is named for it.
    let bench = contained(&module(&script), Network::Egress(EgressPolicy::default())).await;
    let plan = bench.planned().await;
    assert!(plan.changes);
    bench.apply(&plan, "run1").await.unwrap();

    let names = bench.left("names");
    for name in ["CLOUD_TOKEN", "HOME", "HTTPS_PROXY"] {
        assert!(names.lines().any(|line| line == name), "{names}");
    }
    for name in ["CARGO", "CARGO_MANIFEST_DIR", "LOGNAME", "SSH_AUTH_SOCK"] {
        assert!(!names.lines().any(|line| line == name), "{names}");
    }
    let stolen = bench.left("stolen");
    assert!(!stolen.contains("hunter22") && !stolen.contains("root:"), "{stolen}");
    assert!(stolen.contains("is blocked"), "{stolen}");
    assert!(bench.left("refused").lines().count() >= 4, "{}", bench.left("refused"));
    assert!(bench.left("reached").contains("127.0.0.1"), "{}", bench.left("reached"));
    assert_eq!(bench.left("uid").trim(), "1000");
    let came = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(came.is_err(), "nothing came in");
    // The state is where it was to be, and what is known of it is what the tool wrote.
    let outputs = bench.module.output(&bench.cancel).await.unwrap();
    assert!(outputs.is_empty());
    assert!(bench.module.state(&bench.cancel).await.unwrap().is_some());
}

#[tokio::test]
async fn what_a_module_executes_uses_no_more_than_it_may() {
    let bench = contained(&module("head -c 100000000 /dev/zero > large"), Network::None).await;
    let plan = bench.planned().await;
    let failed = bench.apply(&plan, "run1").await.unwrap_err();
    assert!(matches!(failed, ApplyError::Failed { .. }), "{failed}");
    assert!(bench.module.dir.join("large").metadata().unwrap().len() <= 64 << 20);

    let bomb = "for i in $(seq 2000); do sleep 60 > /dev/null 2>&1 & done; true";
    let bench = contained(&module(bomb), Network::None).await;
    let plan = bench.planned().await;
    let failed = bench.apply(&plan, "run1").await.unwrap_err();
    assert!(matches!(failed, ApplyError::Failed { .. }), "{failed}");
}

#[tokio::test]
async fn what_a_module_leaves_is_not_followed() {
    let bench = contained(&module("true"), Network::None).await;
    // As code of a provider could have left them.
    let lock = bench.module.dir.join(".terraform.lock.hcl");
    std::fs::remove_file(&lock).ok();
    std::os::unix::fs::symlink(bench.path("secret"), &lock).unwrap();
    assert!(bench.module.lock_hash().is_err());
    std::fs::remove_file(&lock).unwrap();
    let override_file = bench.module.dir.join("lockstep_backend_override.tf");
    std::fs::remove_file(&override_file).unwrap();
    std::os::unix::fs::symlink(bench.path("secret"), &override_file).unwrap();
    bench.module.init(&bench.cancel).await.unwrap();
    assert_eq!(std::fs::read_to_string(bench.path("secret")).unwrap(), "hunter22");
    let State::Embedded(state) = &bench.module.state else { unreachable!() };
    std::os::unix::fs::symlink(bench.path("secret"), state).unwrap();
    let error = bench.module.state(&bench.cancel).await.unwrap_err();
    assert!(!format!("{error:?}").contains("hunter22"), "{error:?}");
}

#[tokio::test]
async fn a_contained_apply_outlives_its_starter_and_ends_as_it_is_asked_to() {
    let script = "trap 'exit 1' INT; echo x > runs; while [ ! -e go ]; do sleep 0.02; done";
    let bench = contained(&module(script), Network::None).await;
    let plan = bench.planned().await;
    let run_dir = bench.start(&plan, "run1").await;
    exists(&bench.module.dir.join("runs")).await;
    // The shim is the daemon's child no longer than it takes to hear from it.
    running_pid(&run_dir);
    std::fs::write(bench.module.dir.join("go"), "").unwrap();
    let ended = wait(&run_dir, None, &bench.cancel).await.unwrap();
    assert!(matches!(ended, RunStatus::Exited { code: Some(0), .. }), "{ended:?}");
    assert_eq!(outcome(&run_dir).unwrap().completed.len(), 1);

    // An interrupt comes through the sandbox to the tool, which finishes what it has begun.
    let bench = contained(&module(script), Network::None).await;
    let plan = bench.planned().await;
    let run_dir = bench.start(&plan, "run1").await;
    exists(&bench.module.dir.join("runs")).await;
    run::interrupt(&run_dir).await.unwrap();
    std::fs::write(bench.module.dir.join("go"), "").unwrap();
    let ended = wait(&run_dir, None, &bench.cancel).await.unwrap();
    assert!(matches!(ended, RunStatus::Exited { code: Some(_), signal: None, .. }), "{ended:?}");
}

#[tokio::test]
async fn a_contained_apply_whose_shim_is_killed_leaves_nothing_running() {
    let script = "echo x > runs; while [ ! -e go ]; do sleep 0.02; done";
    let bench = contained(&module(script), Network::None).await;
    let plan = bench.planned().await;
    let run_dir = bench.start(&plan, "run1").await;
    exists(&bench.module.dir.join("runs")).await;
    kill9(running_pid(&run_dir));
    loop {
        match attach(&run_dir).unwrap() {
            RunStatus::Dead { survivors } if survivors.is_empty() => break,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    assert!(matches!(outcome(&run_dir), Err(ApplyError::Dead { .. })));
}
