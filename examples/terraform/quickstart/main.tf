# A shop in three environments. Its infrastructure (a Terraform module) and its application (a
# container image, deployed through a GitOps repository) are promoted from dev to staging to prod
# as one unit: both land, or both are undone.

terraform {
  required_providers {
    lockstep = { source = "lockstep/lockstep" }
  }
}

# Endpoint and token come from LOCKSTEP_ENDPOINT and LOCKSTEP_TOKEN (or LOCKSTEP_TOKEN_FILE).
provider "lockstep" {}

resource "lockstep_project" "shop" {
  name        = var.project
  description = "The shop: its infrastructure and its application."
}

# What is promoted: a commit of the module together with an image.
resource "lockstep_warehouse" "shop" {
  project  = lockstep_project.shop.name
  name     = "shop"
  interval = var.interval

  git {
    name          = "infra"
    repo          = var.infra_repo
    branch        = "main"
    include_paths = ["modules/shop"]
  }

  image {
    name       = "api"
    repo       = var.image_repo
    constraint = "^1.0"
    insecure   = var.insecure_registry
  }
}

# How it gets into an environment, the same for each: infrastructure first, then the application,
# which is told what the infrastructure's apply brought about.
locals {
  promote = [
    provider::lockstep::git_clone("infra", {
      repo     = var.infra_repo
      checkout = { infra = { commit = "{{ freight.infra.commit }}" } }
    }),
    provider::lockstep::git_clone("gitops", {
      repo     = var.gitops_repo
      checkout = { gitops = { branch = "main" } }
    }),
    provider::lockstep::tf_plan("plan", {
      dir = "infra/modules/shop"
      vars = {
        environment = "{{ stage.name }}"
        image       = "{{ freight.api.ref }}"
      }
    }),
    provider::lockstep::tf_apply("apply", { plan = "plan" }),
    provider::lockstep::tf_output("outputs", { dir = "infra/modules/shop" }),
    provider::lockstep::yaml_update("values", {
      path = "gitops/apps/{{ stage.name }}/values.yaml"
      updates = {
        "image.tag" = "{{ freight.api.tag }}"
        "queue.id"  = "{{ steps.outputs.queue_id }}" # known only after the apply
      }
    }),
    provider::lockstep::git_commit("commit", {
      dir     = "gitops"
      message = "shop {{ freight.api.tag }} to {{ stage.name }}"
    }),
    provider::lockstep::git_push("push", { dir = "gitops" }),
  ]
}

# Where it goes: each stage takes only what the stage before it has verified.
resource "lockstep_stage" "dev" {
  project = lockstep_project.shop.name
  name    = "dev"
  steps   = local.promote

  request { warehouse = lockstep_warehouse.shop.name }

  verification {
    name     = "healthy"
    template = lockstep_verification.healthy.name
    args     = { url = var.app_urls["dev"] }
  }
}

resource "lockstep_stage" "staging" {
  project = lockstep_project.shop.name
  name    = "staging"
  steps   = local.promote

  request {
    warehouse = lockstep_warehouse.shop.name
    from      = [lockstep_stage.dev.name]
  }

  verification {
    name     = "healthy"
    template = lockstep_verification.healthy.name
    args     = { url = var.app_urls["staging"] }
  }
}

resource "lockstep_stage" "prod" {
  project = lockstep_project.shop.name
  name    = "prod"
  steps   = local.promote

  request {
    warehouse = lockstep_warehouse.shop.name
    from      = [lockstep_stage.staging.name]
  }

  verification {
    name     = "healthy"
    template = lockstep_verification.healthy.name
    args     = { url = var.app_urls["prod"] }
  }

  dynamic "verification" {
    for_each = lockstep_verification.errors
    content {
      name     = "errors"
      template = verification.value.name
      args     = { service = "shop" }
    }
  }
}

# What decides whether a stage vouches for it.
resource "lockstep_verification" "healthy" {
  project      = lockstep_project.shop.name
  name         = "healthy"
  measurements = 2
  interval     = var.verification_interval
  deadline     = "5m"

  http {
    name    = "health"
    url     = "{{ args.url }}/health"
    success = "response.status == 200"
  }
}

# The same from metrics, where there is a Prometheus.
resource "lockstep_verification" "errors" {
  for_each = toset(var.prometheus_url == null ? [] : [var.prometheus_url])

  project      = lockstep_project.shop.name
  name         = "errors"
  measurements = 3
  interval     = var.verification_interval
  deadline     = "10m"

  prometheus {
    name    = "error-ratio"
    address = each.value
    query   = "sum(rate(http_errors_total{service=\"{{ args.service }}\"}[5m]))"
    success = "result.value < 0.01"
  }
}

# Whether and when. Dev: at once.
resource "lockstep_promotion_policy" "dev" {
  project = lockstep_project.shop.name
  name    = "dev"
  mode    = "automatic"
  settle  = var.settle

  stages { names = [lockstep_stage.dev.name] }
  rollback { on = ["promotion_failed", "verification_failed"] }
}

# Staging: by itself, once it has been good in dev for a while.
resource "lockstep_promotion_policy" "staging" {
  project = lockstep_project.shop.name
  name    = "staging"
  mode    = "gated"
  soak    = var.soak
  settle  = var.settle

  stages { names = [lockstep_stage.staging.name] }
  rollback { on = ["promotion_failed", "verification_failed"] }
}

# Prod: once people have approved exactly what it will do, and nothing is deleted.
resource "lockstep_promotion_policy" "prod" {
  project = lockstep_project.shop.name
  name    = "prod"
  mode    = "gated"
  settle  = var.settle

  stages { names = [lockstep_stage.prod.name] }

  approval {
    group   = "sre"
    count   = var.approvals
    exclude = ["requester"]
  }

  infra { forbid = ["delete"] }
  rollback { on = ["promotion_failed", "verification_failed"] }
}

output "prod_policy_impact" {
  description = "What the last change of prod's policy does to live freight."
  value       = lockstep_promotion_policy.prod.impact
}
