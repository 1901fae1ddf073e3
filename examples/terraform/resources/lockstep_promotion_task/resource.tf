resource "lockstep_promotion_task" "release" {
  name        = "release"
  description = "Writes the image into the values of one cluster, and pushes that."

  input {
    name        = "cluster"
    description = "A directory below apps."
  }
  input {
    name    = "replicas"
    type    = "number"
    default = 2
  }

  steps = [
    provider::lockstep::git_clone("gitops", {
      repo     = "https://git.example.com/gitops"
      checkout = { gitops = { branch = "main" } }
    }),
    provider::lockstep::yaml_update("values", {
      path = "gitops/apps/{{ inputs.cluster }}/values.yaml"
      updates = {
        "image.tag" = "{{ freight.api.tag }}"
        "replicas"  = "{{ inputs.replicas }}"
      }
    }),
    provider::lockstep::git_commit("commit", {
      dir     = "gitops"
      message = "api {{ freight.api.tag }} to {{ inputs.cluster }}"
    }),
    provider::lockstep::git_push("push", { dir = "gitops" }),
  ]
}

# A stage uses it, once or more; what its steps give is read as steps.NAME.STEP.OUTPUT.
resource "lockstep_stage" "prod" {
  name = "prod"
  request { warehouse = "shop" }

  steps = [
    provider::lockstep::task("release", {
      task    = lockstep_promotion_task.release.name
      inputs  = { cluster = "{{ each.value }}", replicas = 6 }
      control = { for_each = ["eu", "us"], parallel = "regions" }
    }),
  ]
}
