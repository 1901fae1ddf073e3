//! Runs the binary as people do, against a stand-in for the daemon, and keeps what it says.

#![expect(clippy::unwrap_used, reason = "tests")]

mod drift;
mod evidence;
mod objects;
mod server;
mod states;

use std::fs;
use std::process::{Command, Stdio};

use server::{Server, TOKEN};

/// Runs `lockstep ARGUMENTS` against a stand-in of its own; answers stdout, stderr and exit code.
fn lockstep(arguments: &str) -> String {
    let server = Server::start();
    let mut command = command(arguments);
    command.env("LOCKSTEP_ENDPOINT", &server.endpoint);
    command.env("LOCKSTEP_TOKEN", TOKEN).env("LOCKSTEP_PROJECT", "shop");
    let next_wake = objects::World { now: server.now }.ahead(3);
    transcript(command)
        .replace(&server.endpoint, "ENDPOINT")
        .replace(&next_wake.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "NEXT-WAKE")
}

fn without_project(arguments: &str) -> String {
    let mut command = command(arguments);
    command.env("LOCKSTEP_TOKEN", TOKEN).env("LOCKSTEP_PROJECT", "");
    transcript(command)
}

fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.args(split(arguments)).stdin(Stdio::null()).env_clear();
    command
}

/// Splits at spaces, except within single quotes.
fn split(arguments: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (index, part) in arguments.split('\'').enumerate() {
        let quoted = index % 2 == 1;
        let mut pieces = if quoted { vec![part] } else { part.split(' ').collect() }.into_iter();
        words.last_mut().unwrap().push_str(pieces.next().unwrap());
        words.extend(pieces.map(str::to_owned));
    }
    words.retain(|it| !it.is_empty());
    words
}

fn transcript(mut command: Command) -> String {
    let output = command.output().unwrap();
    let mut text = String::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        text.push_str(&format!("{}\n", line.trim_end()));
    }
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        text.push_str(&format!("{}\n", format!("! {line}").trim_end()));
    }
    match output.status.code() {
        Some(0) => text,
        code => format!("{text}[exit {}]\n", code.unwrap()),
    }
}

#[test]
fn get_shows_tables() {
    insta::assert_snapshot!(lockstep("get projects"), @r"
    NAME   READY   DESCRIPTION   AGE
    shop   -       The shop      3d
    ");
    insta::assert_snapshot!(lockstep("get warehouses"), @r"
    NAME   READY             SUBSCRIPTIONS              NEWEST       CHECKED   AGE
    main   no: Unreachable   infra (git), api (image)   3f2a1b9c0d   30s       3d
    ");
    insta::assert_snapshot!(lockstep("get stages"), @r"
    NAME   READY   FREIGHT      PROMOTION         WAITS FOR   AGE
    dev    yes     3f2a1b9c0d   -                 -           3d
    prod   yes     3fd00dfeed   prod.12 waiting   Approvals   3d
    ");
    insta::assert_snapshot!(lockstep("get freight"), @r"
    FREIGHT      WAREHOUSE   ARTIFACTS                          STAGES                            AGE
    3f2a1b9c0d   main        api 1.4.2, infra main@8c1f5e0b7a   dev (verified), prod (approved)   2h
    3fd00dfeed   main        api 1.4.1, infra main@8c1f5e0b7a   dev (verified), prod (approved)   3d
    ");
    insta::assert_snapshot!(lockstep("get freight --stage prod"), @r"
    FREIGHT      WAREHOUSE   ARTIFACTS                          STAGES                            AGE
    3f2a1b9c0d   main        api 1.4.2, infra main@8c1f5e0b7a   dev (verified), prod (approved)   2h
    ");
    insta::assert_snapshot!(lockstep("get promotions"), @r"
    PROMOTION   STAGE   FREIGHT      PHASE     REQUESTER   AGE   MESSAGE
    prod.12     prod    3f2a1b9c0d   waiting   ben         3h    1 of 2 people of sre approved
    ");
    insta::assert_snapshot!(lockstep("get policies"), @r"
    NAME   READY   MODE    STAGES   GATES                                                                                                     AGE
    prod   -       gated   prod*    soak 24h, soak 1h in canary, window office, rate calm, ticket change, attestation scan, 2 of sre, infra   3d
    ");
    insta::assert_snapshot!(lockstep("get tasks"), @r"
    NAME      INPUTS              STEPS          AGE
    release   cluster, replicas   values, tell   3d
    ");
    insta::assert_snapshot!(lockstep("get verifications"), @r"
    NAME     READY   CHECKS                            COUNT   INTERVAL   AGE
    errors   -       alive (http), rate (prometheus)   3       30s        3d
    ");
}

#[test]
fn get_shows_one_object_in_full() {
    insta::assert_snapshot!(lockstep("get project shop"), @r"
    NAME   READY   DESCRIPTION   AGE
    shop   -       The shop      3d

    generation 3, changed by ana 5h ago
    ");
    insta::assert_snapshot!(lockstep("get warehouse main"), @r"
    NAME   READY             SUBSCRIPTIONS              NEWEST       CHECKED   AGE
    main   no: Unreachable   infra (git), api (image)   3f2a1b9c0d   30s       3d

    subscriptions
      NAME    KIND    SOURCE                              WANTED
      infra   git     https://git.example.com/infra.git   main
      api     image   registry.example.com/shop/api       ^1.4

    requires freight.api.version.major == 1

    generation 3, changed by ana 5h ago

    conditions
      TYPE         STATUS   REASON        MESSAGE
      Discovered   false    Unreachable   registry.example.com refuses the connection
    ");
    insta::assert_snapshot!(lockstep("get stage prod"), @r"
    NAME   READY   FREIGHT      PROMOTION         WAITS FOR   AGE
    prod   yes     3fd00dfeed   prod.12 waiting   Approvals   3d

    requests
      WAREHOUSE   FROM
      main        dev and qa

    steps
      NAME    USES
      plan    tf_plan
      apply   tf_apply

    holds
      WAREHOUSE   FREIGHT      HERE FOR   VERIFIED FOR   PROMOTION
      main        3fd00dfeed   30h        29h            prod.11

    held by ana since 2020-01-01T00:00:00Z: ana promoted older freight

    waits
      WHAT                FOR         UNTIL   WHY
      promotion/prod.12   Approvals   -       1 of 2 people of sre approved

    generation 3, changed by ana 5h ago

    conditions
      TYPE    STATUS   REASON    MESSAGE
      Ready   true     Defined   the definition stands
    ");
    insta::assert_snapshot!(lockstep("get freight 3f2a"), @r"
    FREIGHT      WAREHOUSE   ARTIFACTS                          STAGES                            AGE
    3f2a1b9c0d   main        api 1.4.2, infra main@8c1f5e0b7a   dev (verified), prod (approved)   2h

    id 3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d

    artifacts
      NAME    KIND    VERSION           SOURCE                              WHAT
      api     image   1.4.2             registry.example.com/shop/api       sha256:abababababababababababababababababababababababababababababababab
      infra   git     main@8c1f5e0b7a   https://git.example.com/infra.git   widen the pool (Ben <ben@example.com>)

    stages
      STAGE   CAME   LEFT   VERIFIED   APPROVED
      dev     2h     -      60m        -
      prod    -      -      -          60m
    ");
    insta::assert_snapshot!(lockstep("get promotion prod.12"), @r"
    PROMOTION   STAGE   FREIGHT      PHASE     REQUESTER   AGE   MESSAGE
    prod.12     prod    3f2a1b9c0d   waiting   ben         3h    1 of 2 people of sre approved

    reason: the campaign begins

    digest: sha256:d16e57

    gates
      GATE        POLICY   VERDICT         UNTIL                  WHY
      upstream    -        pass            -                      verified in dev
      soak        prod     fail, skipped   2099-01-01T00:00:00Z   verified 20h ago, not 24h
      approvals   prod     fail            -                      1 of 2 people of sre approved
      infra       prod     unknown         -                      the plan is not made yet

    approvals
      BY     GROUPS   DIGEST          AGE   COMMENT
      cleo   sre      sha256:d16e57   2h    looks right

    steps
      STEP    USES       STATE      ENDED   ERROR
      plan    tf_plan    prepared   -       -
      apply   tf_apply   pending    -       -

    waits
      WHAT                FOR         UNTIL   WHY
      promotion/prod.12   Approvals   -       1 of 2 people of sre approved

    waits until 2099-01-02T00:00:00Z at most
    ");
    insta::assert_snapshot!(lockstep("get promotion prod.16"), @r"
    PROMOTION   STAGE   FREIGHT      PHASE   REQUESTER   AGE   MESSAGE
    prod.16     prod    3f2a1b9c0d   stuck   ben         3h    the undo of apply was refused

    reason: the campaign begins

    digest: sha256:d16e57

    gates
      GATE        POLICY   VERDICT         UNTIL                  WHY
      upstream    -        pass            -                      verified in dev
      soak        prod     fail, skipped   2099-01-01T00:00:00Z   verified 20h ago, not 24h
      approvals   prod     fail            -                      1 of 2 people of sre approved
      infra       prod     unknown         -                      the plan is not made yet

    approvals
      BY     GROUPS   DIGEST          AGE   COMMENT
      cleo   sre      sha256:d16e57   2h    looks right

    steps
      STEP    USES       STATE         ENDED   ERROR
      plan    tf_plan    prepared      -       -
      apply   tf_apply   undo_failed   2h      protected address

    measurements
      CHECK         VERDICT   VALUE   AGE   WHY
      errors.rate   fail      0.2     2h    result[0].value < 0.01 does not hold

    differences that remain
      terraform_data.app is at 1.4.2, not at 1.4.1
    ");
    insta::assert_snapshot!(lockstep("get policy prod"), @r#"
    NAME   READY   MODE    STAGES   GATES                                                                                                     AGE
    prod   -       gated   prod*    soak 24h, soak 1h in canary, window office, rate calm, ticket change, attestation scan, 2 of sre, infra   3d

    waits before it commits 7d at most

    windows
      office: allows promote for 7h from FREQ=WEEKLY;BYDAY=MO,TU,WE,TH;BYHOUR=9 in Europe/Berlin, not to oncall

    rates
      calm: at most 3 in 1d, at most 1 at once in all its stages

    tickets
      change: GET https://tickets.example.com/{{ vars.ticket }} every 1m, approved where response.json.approved, refused where response.json.rejected

    attestations
      scan: https://example.com/scan/v1 of api, signed, every 5m: payload.predicate.criticals == 0

    infrastructure
      never delete, replace
      keeps aws_db_instance.*
      changes at most 20 resources
      deletes at most 3 resources
      costs at most 500 a month
      no_iam: changes.all(c, c.type != "aws_iam_role") (roles are security's)

    bypass
      emergency: oncall may skip soak, upstream

    generation 3, changed by ana 5h ago
    "#);
    insta::assert_snapshot!(lockstep("get task release"), @r"
    NAME      INPUTS              STEPS          AGE
    release   cluster, replicas   values, tell   3d

    inputs
      NAME       TYPE     DEFAULT   DESCRIPTION
      cluster    string   -         below apps
      replicas   number   2

    steps
      NAME     USES
      values   yaml_update
      tell     task tell-all

    generation 3, changed by ana 5h ago
    ");
    insta::assert_snapshot!(lockstep("get verification errors"), @r"
    NAME     READY   CHECKS                            COUNT   INTERVAL   AGE
    errors   -       alive (http), rate (prometheus)   3       30s        3d

    checks
      NAME    ASKS                               SUCCESS
      alive   https://shop.example.com/healthz   response.status == 200
      rate    sum(rate(errors[5m]))              result[0].value < 0.01

    generation 3, changed by ana 5h ago
    ");
}

#[test]
fn json_is_the_api() {
    let ids = |arguments: &str| -> Vec<String> {
        let list: serde_json::Value = serde_json::from_str(&lockstep(arguments)).unwrap();
        list.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("get projects -o json"), ["shop"]);
    assert_eq!(ids("get stages -o json"), ["shop/dev", "shop/prod"]);
    assert_eq!(ids("-o json get promotions"), ["prod.12"]);
    let one: serde_json::Value = serde_json::from_str(&lockstep("get stage dev -o json")).unwrap();
    assert_eq!(one["spec"]["requests"][0]["warehouse"], "main");
}

#[test]
fn promote_asks_for_a_promotion() {
    insta::assert_snapshot!(lockstep("promote prod --newest --reason 'the campaign begins'"), @r"
    promotion prod.13: freight 3f2a1b9c0d to prod, waiting
    ! follow it: lockstep watch prod.13
    ");
    insta::assert_snapshot!(lockstep("promote prod --freight 3f2a --bypass soak,upstream --reason outage"), @r"
    promotion prod.13: freight 3f2a1b9c0d to prod, waiting
    ! follow it: lockstep watch prod.13
    ");
    let unit = "promote prod --freight 3f2a --freight 9a8b7c6d5e9a8b7c6d5e9a8b7c6d5e9a8b7c6d5e";
    insta::assert_snapshot!(lockstep(unit), @r"
    promotion prod.13: freight 3f2a1b9c0d with 9a8b7c6d5e to prod, waiting
    ! follow it: lockstep watch prod.13
    ");
    insta::assert_snapshot!(lockstep("promote dev --freight 3f2a --freight 9a8b --downstream"), @r"
    ! error: --downstream takes one freight: each of the stages requests warehouses of its own
    ! hint: name one, or promote to one stage after the other
    [exit 2]
    ");
    insta::assert_snapshot!(lockstep("promote prod --freight 3f"), @r"
    ! error: 2 freights begin with 3f
    !   - 3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d3f2a1b9c0d
    !   - 3fd00dfeed3fd00dfeed3fd00dfeed3fd00dfeed
    ! hint: write more of the id
    [exit 1]
    ");
    insta::assert_snapshot!(lockstep("promote prot --newest"), @r"
    ! error: stage prot has 1 error
    !   - stage: no such stage (did you mean prod?)
    [exit 1]
    ");
}

#[test]
fn approve_shows_what_it_approves() {
    insta::assert_snapshot!(lockstep("approve prod.12"), @r"
    approved promotion prod.12 with digest sha256:d16e57, waiting
    ! promotion prod.12: freight 3f2a1b9c0d to prod, asked for by ben
    !
    ! files
    !   changed apps/prod/values.yaml on main of https://git.example.com/gitops.git
    ! infrastructure
    !   plan in infra/live/prod: 1 to create, 1 to update, 0 to replace, 0 to delete
    !     + terraform_data.cache
    !     ~ terraform_data.app
    ! calls
    !   tell: POST https://chat.example.com/hook
    ! known only while it happens
    !   values (yaml_update) waits for steps.out.url
    !     path = gitops/values.yaml
    !     updates.endpoint = {{ steps.out.url }}
    ! undo would
    !   tell: cannot be undone: a sent message stays sent
    !   apply: apply the infra of freight 3fd00dfeed
    ! digest sha256:d16e57
    ");
    insta::assert_snapshot!(lockstep("approve prod.12 --digest sha256:other"), @r"
    ! error: promotion prod.12 has the digest sha256:d16e57, not sha256:other
    ! hint: look at what it does now: lockstep diff prod.12
    [exit 1]
    ");
    insta::assert_snapshot!(lockstep("approve prod.10"), @r"
    ! error: promotion prod.10 is preparing: what it will do is not known yet
    ! hint: see how far it gets: lockstep watch prod.10
    [exit 1]
    ");
}

#[test]
fn freight_is_approved_past_its_upstream() {
    insta::assert_snapshot!(lockstep("freight approve 3f2a --stage prod --reason 'fixes the outage'"), @"freight 3f2a1b9c0d is available to stage prod");
    insta::assert_snapshot!(lockstep("freight approve 3f2a --stage prod"), @r"
    ! error: the following required arguments were not provided:
    !   --reason <TEXT>
    !
    ! Usage: lockstep freight approve --stage <STAGE> --reason <TEXT> --endpoint <URL> --project <NAME> <FREIGHT>
    !
    ! For more information, try '--help'.
    [exit 2]
    ");
}

#[test]
fn abort_ends_a_promotion() {
    insta::assert_snapshot!(lockstep("abort prod.12 --reason 'wrong freight'"), @"promotion prod.12 is aborted");
    insta::assert_snapshot!(lockstep("abort prod.14 --reason 'wrong freight'"), @r"
    ! error: promotion prod.14 is rolled back and cannot be aborted
    [exit 1]
    ");
}

#[test]
fn explain_says_when_freight_can_come() {
    insta::assert_snapshot!(lockstep("explain prod --freight 3f2a"), @r"
    freight 3f2a1b9c0d can be in prod at 2099-01-01T00:00:00Z at the earliest

    way
      STAGE   WHEN
      dev     verified since 2020-01-01T00:00:00Z
      prod    2099-01-01T00:00:00Z at the earliest

    takes time
      STAGE   GATE   POLICY   UNTIL                  WHY
      prod    soak   prod     2099-01-01T00:00:00Z   has to soak for 24h upstream

    takes besides
      STAGE   GATE        WHAT       WHY
      prod    approvals   a person   needs 2 approvals of group sre

    not counted: steps and checks, newer freight, and what else is promoted meanwhile
    ");
}

#[test]
fn freezes_are_put_shown_and_ended() {
    insta::assert_snapshot!(lockstep("freeze list"), @r"
    NAME       OF              ACTIVE   ABOUT             FROM   UNTIL                  BY    AGE   WHY
    year-end   shop            yes      promote, bypass   -      2099-01-02T00:00:00Z   ana   3d    books close
    outage     every project   yes      promote, bypass   -      -                      ana   3d    an outage
    ");
    insta::assert_snapshot!(lockstep("freeze show year-end"), @r"
    NAME       ACTIVE   ABOUT             FROM   UNTIL                  BY    AGE   WHY
    year-end   yes      promote, bypass   -      2099-01-02T00:00:00Z   ana   3d    books close

    lets go on
      stage dev
      what group oncall asks for

    keeps from committing
      prod.12

    generation 3, changed by ana 5h ago
    ");
    insta::assert_snapshot!(lockstep("get freezes"), @r"
    NAME       ACTIVE   ABOUT             FROM   UNTIL                  BY    AGE   WHY
    year-end   yes      promote, bypass   -      2099-01-02T00:00:00Z   ana   3d    books close
    ");
    insta::assert_snapshot!(
        lockstep("freeze create audit --reason 'auditors' --from 2099-01-01T00:00:00Z --for 24h --about promote,rollback --except-principal ana"),
        @r"
    NAME    ACTIVE   ABOUT               FROM                   UNTIL                  BY    AGE   WHY
    audit   yes      promote, rollback   2099-01-01T00:00:00Z   2099-01-02T00:00:00Z   ana   3d    auditors

    lets go on
      what ana asks for

    keeps from committing
      prod.12

    generation 3, changed by ana 5h ago
    "
    );
    insta::assert_snapshot!(lockstep("freeze create odd --reason x --about deploy"), @r#"
    ! error: invalid value 'deploy' for '--about <ACTION>': "deploy" is none of promote, rollback, bypass
    !
    ! For more information, try '--help'.
    [exit 2]
    "#);
    insta::assert_snapshot!(lockstep("freeze end year-end"), @"freeze year-end is ended");
}

#[test]
fn freezes_of_every_project_are_put_shown_and_ended() {
    insta::assert_snapshot!(lockstep("freeze list --instance"), @r"
    NAME     OF              ACTIVE   ABOUT             FROM   UNTIL   BY    AGE   WHY
    outage   every project   yes      promote, bypass   -      -       ana   3d    an outage
    ");
    insta::assert_snapshot!(lockstep("freeze show outage --instance"), @r"
    NAME     ACTIVE   ABOUT             FROM   UNTIL   BY    AGE   WHY
    outage   yes      promote, bypass   -      -       ana   3d    an outage

    lets go on
      project lab-*

    keeps from committing
      live.3 of blog
      prod.12 of shop
      5 more

    generation 3, changed by ana 5h ago
    ");
    insta::assert_snapshot!(
        lockstep("freeze create audit --instance --reason auditors --until 2099-01-01T00:00:00Z --except-project lab --except-project demo --except-stage dev"),
        @r"
    NAME    ACTIVE   ABOUT             FROM   UNTIL                  BY    AGE   WHY
    audit   yes      promote, bypass   -      2099-01-01T00:00:00Z   ana   3d    auditors

    lets go on
      project lab
      project demo
      stage dev

    keeps from committing
      live.3 of blog
      prod.12 of shop
      5 more

    generation 3, changed by ana 5h ago
    "
    );
    insta::assert_snapshot!(lockstep("freeze create odd --reason x --except-project lab"), @r"
    ! error: the following required arguments were not provided:
    !   --instance
    !
    ! Usage: lockstep freeze create --reason <TEXT> --instance --except-project <GLOB> --endpoint <URL> --project <NAME> <NAME>
    !
    ! For more information, try '--help'.
    [exit 2]
    ");
    insta::assert_snapshot!(lockstep("freeze end outage --instance"), @"instance freeze outage is ended");
}

#[test]
fn drift_is_listed_shown_and_looked_for() {
    insta::assert_snapshot!(lockstep("drift"), @r"
    STAGE   DRIFT     LOOKED   NEXT          WHAT
    dev     unseen    -        after dev.7   nobody looked yet
    prod    drifted   2h ago   -             modules/db: `aws_db_instance.main` was changed outside (password, size)
    ! error: the infra has drifted of prod
    [exit 5]
    ");
    insta::assert_snapshot!(lockstep("drift prod --look"), @r"
    STAGE   DRIFT     LOOKED   NEXT   WHAT
    prod    drifted   2h ago   -      modules/db: `aws_db_instance.main` was changed outside (password, size)

    states
      STATE         WORKSPACE   APPLIED BY            DRIFT     WHY
      modules/db    default     prod.12, step apply   drifted   -
      modules/net   default     prod.12, step apply   unknown   no way there

    drift in modules/db
      ~ aws_db_instance.main
          password: (sensitive) -> (sensitive)
          size: 10 -> 20
      - aws_s3_bucket.logs (deleted)
      ~ aws_sqs_queue.jobs (only what its provider computes)
      ? aws_x.y (no longer in the state)
      ~ output.url
    ! error: the infra has drifted of prod
    [exit 5]
    ");
    insta::assert_snapshot!(lockstep("drift dev"), @r"
    STAGE   DRIFT    LOOKED   NEXT          WHAT
    dev     unseen   -        after dev.7   nobody looked yet

    states
      STATE        WORKSPACE   APPLIED BY            DRIFT    WHY
      modules/db   default     prod.12, step apply   unseen   -
    ! error: whether the infra has drifted is not known of dev
    ! hint: look now: lockstep drift dev --look
    [exit 6]
    ");
    insta::assert_snapshot!(lockstep("drift dev --look --timeout 1s"), @r"
    ! waits for promotion dev.7 to end
    ! error: the look at the infra of dev is not over after 1s
    ! hint: it goes on by itself; see what it finds: lockstep drift dev
    [exit 4]
    ");
}

#[test]
fn states_are_listed_restored_and_unlocked() {
    insta::assert_snapshot!(lockstep("state list"), @r"
    STAGE   NAME         WORKSPACE   SERIAL   RESOURCES   VERSION   AGE   LOCK
    dev     modules/db   blue        12       4           3         2h    -
    prod    modules/db   default     12       4           3         2h    6f0a of ada@laptop
    dev/modules/db: version 7 could not be written by its run, and does not carry on what is there; look at both, and if it is the right one: lockstep state restore dev modules/db 7 --workspace blue --reason …
    ");
    insta::assert_snapshot!(lockstep("state list --stage nowhere"), @"none");
    insta::assert_snapshot!(lockstep("state versions prod modules/db"), @r"
    VERSION   SERIAL   RESOURCES   SIZE   SHA-256        AGE   BY
    1         10       4           4096   3f2a1b9c0d3f   9h    found
    2         11       4           4096   3f2a1b9c0d3f   8h    promotion prod.12, step apply
    3         12       4           4096   3f2a1b9c0d3f   7h    ada
    4         13       4           4096   3f2a1b9c0d3f   6h    ada restored version 1: a wrong import
    ");
    insta::assert_snapshot!(lockstep("state show prod modules/db"), @r#"{"version":4,"serial":12,"lineage":"5c1e"}"#);
    insta::assert_snapshot!(lockstep("state show prod modules/db --version 1"), @r#"{"version":4,"serial":10,"lineage":"5c1e"}"#);
    insta::assert_snapshot!(
        lockstep("state restore prod modules/db 1 --reason 'a wrong import'"), @"version 1 is the state again, as version 4 with serial 13");
    insta::assert_snapshot!(
        lockstep("state unlock prod modules/db 6f0a --reason 'lost laptop'"), @"the lock of ada@laptop is taken away");
    insta::assert_snapshot!(
        lockstep("state unlock prod modules/db other --reason 'lost laptop'"), @r"
    ! error: the state of shop/prod/modules/db is locked by ada@laptop
    [exit 1]
    ");
    insta::assert_snapshot!(lockstep("state backend prod modules/db --workspace blue"), @r#"
    # TF_HTTP_PASSWORD is a token of Lockstep
    terraform {
      backend "http" {
        address        = "ENDPOINT/v1/projects/shop/stages/prod/states/modules%2Fdb?workspace=blue"
        lock_address   = "ENDPOINT/v1/projects/shop/stages/prod/states/modules%2Fdb/lock?workspace=blue"
        unlock_address = "ENDPOINT/v1/projects/shop/stages/prod/states/modules%2Fdb/lock?workspace=blue"
        username       = "lockstep"
      }
    }
    "#);
}

#[test]
fn holds_are_put_shown_and_lifted() {
    insta::assert_snapshot!(lockstep("hold list"), @r"
    NAME   STOPS                                      ACTIVE   BY    UNTIL                  AGE   WHY
    cve    subscription api, version >=1.4.0 <1.4.3   yes      ana   2030-01-01T00:00:00Z   3d    CVE-2026-1 in libfoo
    stage prod: automation is held by ana since 2020-01-01T00:00:00Z: ana promoted older freight
    ");
    insta::assert_snapshot!(lockstep("hold show cve"), @r"
    NAME   STOPS                                      ACTIVE   BY    UNTIL                  AGE   WHY
    cve    subscription api, version >=1.4.0 <1.4.3   yes      ana   2030-01-01T00:00:00Z   3d    CVE-2026-1 in libfoo

    is already in
      STAGE   FREIGHT
      dev     3f2a1b9c0d

    keeps from committing
      prod.12

    generation 3, changed by ana 5h ago
    ");
    insta::assert_snapshot!(lockstep("get holds"), @r"
    NAME   STOPS                                      ACTIVE   BY    UNTIL                  AGE   WHY
    cve    subscription api, version >=1.4.0 <1.4.3   yes      ana   2030-01-01T00:00:00Z   3d    CVE-2026-1 in libfoo
    ");
    insta::assert_snapshot!(
        lockstep("hold create bad --freight 3f2a --reason 'it leaks' --until 2030-01-01T00:00:00Z"),
        @r"
    NAME   STOPS                ACTIVE   BY    UNTIL                  AGE   WHY
    bad    freight 3f2a1b9c0d   yes      ana   2030-01-01T00:00:00Z   3d    it leaks

    is already in
      STAGE   FREIGHT
      dev     3f2a1b9c0d

    keeps from committing
      prod.12

    generation 3, changed by ana 5h ago
    "
    );
    insta::assert_snapshot!(
        lockstep("hold create shut --stage prod --reason 'audit'"),
        @r"
    NAME   STOPS        ACTIVE   BY    UNTIL   AGE   WHY
    shut   stage prod   yes      ana   -       3d    audit

    is already in
      STAGE   FREIGHT
      dev     3f2a1b9c0d

    keeps from committing
      prod.12

    generation 3, changed by ana 5h ago
    "
    );
    insta::assert_snapshot!(
        lockstep("hold create range --subscription api --version '^1.4' --committed-from 2020-01-01T00:00:00Z --reason x"),
        @r"
    NAME    STOPS                                                                 ACTIVE   BY    UNTIL   AGE   WHY
    range   subscription api, version ^1.4, committed from 2020-01-01T00:00:00Z   yes      ana   -       3d    x

    is already in
      STAGE   FREIGHT
      dev     3f2a1b9c0d

    keeps from committing
      prod.12

    generation 3, changed by ana 5h ago
    "
    );
    insta::assert_snapshot!(
        lockstep("hold create old --stage prod --reason x --until 2020-01-01T00:00:00Z"),
        @r"
    ! error: 2020-01-01T00:00:00Z has passed
    ! hint: give an instant in the future, or leave it out
    [exit 2]
    "
    );
    insta::assert_snapshot!(lockstep("hold lift cve"), @"hold cve is lifted");
    insta::assert_snapshot!(lockstep("hold lift --stage prod --reason 'all is well'"), @"automation goes on in stage prod");
    insta::assert_snapshot!(lockstep("hold lift --stage prod"), @r"
    ! error: the following required arguments were not provided:
    !   --reason <TEXT>
    !
    ! Usage: lockstep hold lift --stage <STAGE> --reason <TEXT> --endpoint <URL> --project <NAME> [NAME]
    !
    ! For more information, try '--help'.
    [exit 2]
    ");
}

#[test]
fn pipeline_shows_the_graph() {
    insta::assert_snapshot!(lockstep("pipeline"), @r"
    STAGE   FROM             MODE    POLICIES   FREIGHT      PROMOTION         WAITS FOR
    dev     warehouse main   gated   -          3f2a1b9c0d   -                 -
    prod    dev              gated   prod       3fd00dfeed   prod.12 waiting   Approvals
    ");
    insta::assert_snapshot!(lockstep("pipeline --mermaid"), @r#"
    flowchart LR
      w1[("main")]
      s1["dev<br/>main 3f2a1b9c0d"]
      s2["prod<br/>main 3fd00dfeed<br/>prod.12 waiting<br/>Approvals"]
      w1 -->|"main"| s1
      s1 -->|"main"| s2
      p1{{"prod: gated"}}
      p1 -.- s2
    "#);
}

#[test]
fn preview_judges_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |name: &str, mode: &str| {
        let path = folder.path().join(name);
        let policy = serde_json::json!({
            "project": "shop", "name": "prod", "mode": mode, "stages": [{ "names": ["prod"] }],
        });
        let change = serde_json::json!({ "actions": ["create"], "before": null, "after": policy });
        let resource = serde_json::json!({
            "address": "lockstep_promotion_policy.prod", "type": "lockstep_promotion_policy",
            "change": change,
        });
        let plan = serde_json::json!({ "format_version": "1.2", "resource_changes": [resource] });
        fs::write(&path, plan.to_string()).unwrap();
        path.display().to_string()
    };
    let preview = |file: &str| {
        let file = if file.is_empty() {
            folder.path().join("none").display().to_string()
        } else {
            file.to_owned()
        };
        lockstep(&format!("preview -f {file}")).replace(&file, "PLAN")
    };
    insta::assert_snapshot!(preview(&plan("blocks", "gated")), @r"
    1 change of project shop

    effects
      STAGE   EFFECT        FREIGHT      PROMOTION   UNTIL                  WHY
      prod    gate_blocks   3f2a1b9c0d   prod.12     2030-01-01T08:00:00Z   has to soak for 1d upstream

    warnings
      lockstep_promotion_policy.prod: stages: A stage is let go: Policy prod would no longer hold for qa.

    of the newest 3 promotions of the past, 1 would have passed, 1 would have been blocked, 1 cannot be judged

    witnesses
      PROMOTION   COMMITTED              GATE   VERDICT   POLICY   WHY
      prod.11     2026-11-01T08:00:00Z   soak   fail      prod     has to soak for 1d upstream
      prod.9      2026-11-01T08:00:00Z   soak   unknown   prod     it is no longer recorded
    ! error: the plan blocks; effects now: 1, promotions of the past: 1
    [exit 5]
    ");
    insta::assert_snapshot!(preview(&plan("fine", "automatic")), @r"
    1 change of project shop

    no live freight is touched

    of all 3 promotions of the past, 3 would have passed, 0 would have been blocked, 0 cannot be judged
    ");
    insta::assert_snapshot!(preview(&plan("wrong", "manual")), @r"
    1 change of project shop

    cannot stand
      lockstep_promotion_policy.prod: stages.names: name a stage
    ! error: the plan cannot be applied as it is; problems: 1
    [exit 1]
    ");
    let empty = folder.path().join("empty");
    fs::write(&empty, r#"{ "format_version": "1.2", "resource_changes": [] }"#).unwrap();
    insta::assert_snapshot!(preview(&empty.display().to_string()), @"the plan changes nothing that is previewed");
    insta::assert_snapshot!(preview(""), @r"
    ! error: cannot read the plan PLAN: No such file or directory (os error 2)
    ! hint: write it with: terraform show -json PLAN
    [exit 2]
    ");
}

#[test]
fn explain_says_why_nothing_moves() {
    insta::assert_snapshot!(lockstep("explain prod"), @r"
    stage prod is gated

    policies
      NAME   MODE    VERDICT
      prod   gated   fail

    holds
      WAREHOUSE   FREIGHT      HERE FOR   VERIFIED FOR   PROMOTION
      main        3fd00dfeed   30h        29h            prod.11

    held by ana since 2020-01-01T00:00:00Z: ana promoted older freight

    frozen by ana (year-end; promote, bypass) until 2099-01-02T00:00:00Z: books close

    promotion prod.12 brings freight 3f2a1b9c0d: waiting

    freight 3f2a1b9c0d of main is available, in promotion prod.12, which waits until 2099-01-02T00:00:00Z at most
      GATE        POLICY   VERDICT         UNTIL                  WHY
      upstream    -        pass            -                      verified in dev
      soak        prod     fail, skipped   2099-01-01T00:00:00Z   verified 20h ago, not 24h
      approvals   prod     fail            -                      1 of 2 people of sre approved
      infra       prod     unknown         -                      the plan is not made yet

    waits
      WHAT                FOR         UNTIL   WHY
      promotion/prod.12   Approvals   -       1 of 2 people of sre approved

    lockstepd looks again at NEXT-WAKE (in 3h)
    ");
}

#[test]
fn plan_shows_what_a_promotion_would_do() {
    insta::assert_snapshot!(lockstep("plan prod --freight 3f2a"), @r"
    freight 3f2a1b9c0d to prod; nothing was changed

    files
      changed apps/prod/values.yaml on main of https://git.example.com/gitops.git
        @@ -1 +1 @@
        -tag: 1.4.1
        +tag: 1.4.2
    infrastructure
      plan in infra/live/prod: 1 to create, 1 to update, 0 to replace, 0 to delete
        + terraform_data.cache
        ~ terraform_data.app
    calls
      tell: POST https://chat.example.com/hook
    known only while it happens
      values (yaml_update) waits for steps.out.url
        path = gitops/values.yaml
        updates.endpoint = {{ steps.out.url }}
    undo would
      tell: cannot be undone: a sent message stays sent
      apply: apply the infra of freight 3fd00dfeed
    digest sha256:d16e57

    gates
      GATE        POLICY   VERDICT         UNTIL                  WHY
      upstream    -        pass            -                      verified in dev
      soak        prod     fail, skipped   2099-01-01T00:00:00Z   verified 20h ago, not 24h
      approvals   prod     fail            -                      1 of 2 people of sre approved
      infra       prod     unknown         -                      the plan is not made yet

    waits
      WHAT                FOR         UNTIL   WHY
      promotion/prod.12   Approvals   -       1 of 2 people of sre approved
    ! waiting: 1 of 2 people of sre approved
    ");
}

#[test]
fn diff_shows_what_a_promotion_does() {
    insta::assert_snapshot!(lockstep("diff prod.12"), @r"
    files
      changed apps/prod/values.yaml on main of https://git.example.com/gitops.git
        @@ -1 +1 @@
        -tag: 1.4.1
        +tag: 1.4.2
    infrastructure
      plan in infra/live/prod: 1 to create, 1 to update, 0 to replace, 0 to delete
        + terraform_data.cache
        ~ terraform_data.app
    calls
      tell: POST https://chat.example.com/hook
    known only while it happens
      values (yaml_update) waits for steps.out.url
        path = gitops/values.yaml
        updates.endpoint = {{ steps.out.url }}
    undo would
      tell: cannot be undone: a sent message stays sent
      apply: apply the infra of freight 3fd00dfeed
    digest sha256:d16e57
    ");
}

#[test]
fn diff_shows_plans_as_their_tools_do() {
    let shown = lockstep("diff prod.12 --full");
    let end = shown.find("files").expect("the rest follows");
    insta::assert_snapshot!(&shown[..end], @r"
    plan in infra/live/prod, workspace blue
      Terraform will perform the following actions:

        # terraform_data.cache will be created
      … cut here: 88 of 200000 bytes are kept
    ");
    assert_eq!(shown[end..], lockstep("diff prod.12"));
    let json: serde_json::Value =
        serde_json::from_str(&lockstep("-o json diff prod.12 --full")).expect("JSON");
    assert_eq!(json["plans"][0]["summary"]["create"], 1);
    assert_eq!(json["digest"], "sha256:d16e57");
}

#[test]
fn watch_follows_a_promotion_to_its_end() {
    insta::assert_snapshot!(lockstep("watch prod.13"), @r"
    03:04:05Z  took the slot of prod
    03:04:05Z  apply: applied 2 changes
    promotion prod.13 succeeded: prod holds freight 3f2a1b9c0d
    ! waiting: 1 of 2 people of sre approved
    ");
    insta::assert_snapshot!(lockstep("promote prod --newest --watch"), @r"
    promotion prod.13: freight 3f2a1b9c0d to prod, waiting
    03:04:05Z  took the slot of prod
    03:04:05Z  apply: applied 2 changes
    promotion prod.13 succeeded: prod holds freight 3f2a1b9c0d
    ! waiting: 1 of 2 people of sre approved
    ");
    insta::assert_snapshot!(lockstep("watch prod.14"), @r"
    03:04:05Z  took the slot of prod
    03:04:05Z  apply: applied 2 changes
    promotion prod.14 rolled back: all that freight 3f2a1b9c0d did to prod is undone
    ! error: promotion prod.14 did not succeed: verification errors failed
    ! hint: see what became of each step: lockstep get promotions prod.14
    [exit 1]
    ");
    insta::assert_snapshot!(lockstep("watch prod.16"), @r"
    03:04:05Z  took the slot of prod
    03:04:05Z  apply: applied 2 changes
    promotion prod.16 is stuck: prod needs a person
    ! error: promotion prod.16 did not succeed: the undo of apply was refused
    ! hint: see what became of each step: lockstep get promotions prod.16
    [exit 1]
    ");
    insta::assert_snapshot!(lockstep("watch prod.15 --timeout 0s"), @r"
    ! error: promotion prod.15 is still committing after 0s
    ! hint: it goes on by itself; watch on: lockstep watch prod.15
    [exit 4]
    ");
}

#[test]
fn watch_writes_json_lines() {
    let text = lockstep("watch prod.13 -o json");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second, last] = lines.as_slice() else { panic!("{text}") };
    assert_eq!((&first["seq"], &second["seq"]), (&1.into(), &4.into()));
    assert_eq!(last["phase"], "succeeded");
}

#[test]
fn watch_waits_for_a_daemon_that_restarts() {
    insta::assert_snapshot!(lockstep("watch prod.17"), @r"
    03:04:05Z  took the slot of prod
    03:04:05Z  apply: applied 2 changes
    promotion prod.17 succeeded: prod holds freight 3f2a1b9c0d
    ! lockstepd is about to stop; waiting for it
    ");
}

#[test]
fn reverify_names_the_promotion_that_goes_on() {
    insta::assert_snapshot!(lockstep("reverify prod --reason doubts"), @r"
    freight 3f2a1b9c0d in prod is verified anew, by promotion prod.12
    ! follow it: lockstep watch prod.12
    ");
    insta::assert_snapshot!(lockstep("reverify nowhere"), @r"
    ! error: there is no stage shop/nowhere
    [exit 1]
    ");
}

#[test]
fn rollback_names_what_the_stage_goes_back_to() {
    insta::assert_snapshot!(lockstep("rollback prod --reason doubts"), @r"
    promotion prod.13: prod goes back to freight 3f2a1b9c0d, waiting
    ! follow it: lockstep watch prod.13
    ");
}

#[test]
fn refresh_asks_the_sources() {
    insta::assert_snapshot!(lockstep("refresh main"), @"the sources of warehouse main are being asked");
}

#[test]
fn tokens_are_created_listed_and_revoked() {
    insta::assert_snapshot!(lockstep("token create --as ben --group sre --group dev --expires 30d"), @r"
    lst_new
    ! token ben; its secret is shown only now
    ");
    insta::assert_snapshot!(lockstep("token list"), @r"
    NAME   GROUPS     ADMIN   EXPIRES   USED   AGE
    root   -          yes     never     3h     2d
    ana    sre, dev   no      in 30d    3h     2d
    ");
    insta::assert_snapshot!(lockstep("token rotate ana"), @r"
    lst_new
    ! token ana; its secret is shown only now
    ");
    insta::assert_snapshot!(lockstep("token revoke ana"), @"! token ana works no longer");
    insta::assert_snapshot!(lockstep("token revoke eve"), @r"
    ! error: there is no token eve
    [exit 1]
    ");
}

#[test]
fn tokens_are_minted_and_ended() {
    insta::assert_snapshot!(lockstep("token mint --lifetime 30m --group sre"), @r"
    lst_new
    ! token ana~1; its secret is shown only now
    ");
    insta::assert_snapshot!(lockstep("token end ana~1"), @"! token ana~1 works no longer");
    insta::assert_snapshot!(lockstep("token end ana~2"), @r"
    ! error: there is no token ana~2
    [exit 1]
    ");
}

#[test]
fn version_names_both_halves() {
    insta::assert_snapshot!(lockstep("version"), @r"
    lockstepd 0.1.0 at ENDPOINT
    ! lockstep 0.1.0
    ");
}

#[test]
fn help_documents_environment_and_exit_codes() {
    insta::assert_snapshot!(transcript(command("--help")), @r"
    Promotes infrastructure and application as one unit

    Usage: lockstep [OPTIONS] <COMMAND>

    Commands:
      get         Show objects
      plan        Show what a promotion would do and what its gates would say, and change nothing
      promote     Ask for a promotion
      rollback    Have a stage go back to what it vouched for before
      rerun       Ask for a promotion once more that is over
      approve     Approve what a promotion will do
      input       Give the values that a step asks for
      freight     Act on freight
      abort       End a promotion
      reverify    Verify anew what is in a stage
      hold        Stop stages, freight or artifacts, and let them go
      freeze      Let nothing happen in a project, or in any, for a time
      explain     Say why a stage does or does not get freight
      drift       Show what differs in the infra of stages from what promotions left there, and look now
      pipeline    Show the graph of the stages
      preview     Say what the changes of a plan do to live freight, and would have done in the past
      watch       Follow a promotion until it ends
      diff        Show what a promotion will do, or did
      evidence    Show what people agreed to, signed; as JSON it is what `verify` takes
      verify      Check evidence against keys, without lockstepd
      keys        Show the keys under which evidence holds, in PEM
      refresh     Have the sources of a warehouse asked now
      state       Show embedded infrastructure states and their versions, and restore them
      token       Create, rotate and revoke tokens, and mint short-lived ones
      credential  Define, list and delete credentials
      version     Show the versions of the command line and of lockstepd
      completion  Write a completion script for a shell

    Options:
          --endpoint <URL>
              Where lockstepd is

              [default: http://127.0.0.1:7480]

          --token-file <FILE>
              A file that holds the token, instead of the one in the environment

      -p, --project <NAME>
              The project

      -o, --output <FORMAT>
              How answers are written

              Possible values:
              - table: For people
              - json:  For programs: the objects as the API answers them

              [default: table]

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Environment:
      LOCKSTEP_ENDPOINT    where lockstepd is
      LOCKSTEP_TOKEN       the token to send
      LOCKSTEP_TOKEN_FILE  a file that holds the token
      LOCKSTEP_PROJECT     the project

    Exit codes:
      0  done
      1  refused, or the promotion did not succeed
      2  the command line is wrong
      3  lockstepd cannot be reached
      4  not finished in time
      5  a plan blocks what could go on, or went on in the past; infra has drifted
      6  it cannot be judged yet, or is not known
    ");
    insta::assert_snapshot!(transcript(command("promote --help")), @r"
    Ask for a promotion

    Usage: lockstep promote [OPTIONS] <STAGE>

    Arguments:
      <STAGE>
              The stage to promote to; with `--downstream` the one to promote from

    Options:
          --endpoint <URL>
              Where lockstepd is

              [default: http://127.0.0.1:7480]

          --freight <FREIGHT>
              The freight to promote; a unique beginning of its id is enough. More than one, of several warehouses, go as one unit

          --newest
              Promote the newest freight that is available to the stage

          --token-file <FILE>
              A file that holds the token, instead of the one in the environment

          --downstream
              Promote to every stage that takes freight from this one; what is there now, unless freight is named

      -p, --project <NAME>
              The project

      -o, --output <FORMAT>
              How answers are written

              Possible values:
              - table: For people
              - json:  For programs: the objects as the API answers them

              [default: table]

          --var <NAME=VALUE>
              Another value for a variable that the stage lets promotions set

          --reason <TEXT>
              Why; it is recorded

          --bypass <GATE,…>
              Gates to skip, where a policy grants it: soak, approvals, infra, upstream

          --bypass-until <INSTANT>
              Skip them until this instant only, such as 2026-12-20T00:00:00Z

          --watch
              Follow the promotion until it ends

          --timeout <DURATION>
              How long to follow the promotion, such as 30m; it goes on after that

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn what_is_missing_is_said() {
    insta::assert_snapshot!(lockstep("get stage nope"), @r"
    ! error: there is no stage nope
    [exit 1]
    ");
    insta::assert_snapshot!(transcript(command("get stages")), @r"
    ! error: no token was given
    ! hint: set LOCKSTEP_TOKEN, or LOCKSTEP_TOKEN_FILE, or give --token-file
    [exit 2]
    ");
    insta::assert_snapshot!(lockstep("get stages --token-file /nowhere/token"), @r"
    ! error: cannot read the token file /nowhere/token: No such file or directory (os error 2)
    ! hint: name a file that you may read and that holds only the token
    [exit 2]
    ");
    insta::assert_snapshot!(without_project("get stages"), @r"
    ! error: no project was named
    ! hint: give --project, or set LOCKSTEP_PROJECT
    [exit 2]
    ");
    insta::assert_snapshot!(lockstep("promote prod --newest --reason x --bypass sok"), @r#"
    ! error: invalid value 'sok' for '--bypass <GATE,…>': "sok" is none of soak, age, condition, window, rate, ticket, attestation, approvals, infra, drift, upstream
    !
    ! For more information, try '--help'.
    [exit 2]
    "#);
    insta::assert_snapshot!(lockstep("promote prod"), @r"
    ! error: the following required arguments were not provided:
    !   --freight <FREIGHT>
    !
    ! Usage: lockstep promote --endpoint <URL> --project <NAME> --freight <FREIGHT> <STAGE>
    !
    ! For more information, try '--help'.
    [exit 2]
    ");
}

#[test]
fn a_daemon_that_is_not_there_is_said() {
    let mut command = command("get projects --endpoint http://127.0.0.1:1");
    command.env("LOCKSTEP_TOKEN", TOKEN);
    insta::assert_snapshot!(transcript(command), @r"
    ! error: cannot reach lockstepd at http://127.0.0.1:1: Connection refused (os error 111)
    ! hint: is lockstepd running there, and does a firewall let through?
    [exit 3]
    ");
}

#[test]
fn the_token_file_goes_before_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let run = |token: &str| {
        fs::write(&path, format!("{token}\n")).unwrap();
        lockstep(&format!("get projects -o json --token-file {}", path.display()))
    };
    assert!(run(TOKEN).contains("\"shop\""));
    insta::assert_snapshot!(run("lst_bad"), @r"
    ! error: lockstepd at ENDPOINT does not accept the token: the token is not known
    ! hint: use a token of this daemon that is neither revoked nor expired; the first is in the file that lockstepd names at its start
    [exit 1]
    ");
}

#[test]
fn completion_knows_the_commands() {
    let script = transcript(command("completion bash"));
    for word in ["promote", "--freight", "explain", "--bypass"] {
        assert!(script.contains(word), "{word}");
    }
}
