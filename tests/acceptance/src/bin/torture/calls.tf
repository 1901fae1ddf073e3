# Beside the shop of the example: a stage whose effects are all elsewhere, each of them counted there.

variable "orders_url" {
  type = string
}

variable "released_repo" {
  type = string
}

resource "lockstep_stage" "calls" {
  project = lockstep_project.shop.name
  name    = "calls"

  request { warehouse = lockstep_warehouse.shop.name }

  steps = [
    # A request that a receiver may have got although the answer was lost: it is asked.
    provider::lockstep::http("order", {
      url    = "${var.orders_url}/order/{{ promotion.id }}"
      method = "POST"
      confirm = {
        url     = "${var.orders_url}/order/{{ promotion.id }}"
        success = "response.status == 200"
        failure = "response.status == 404"
      }
    }),
    # One that may come again, and is the same one by its key.
    provider::lockstep::http("announce", {
      url    = "${var.orders_url}/announce/{{ promotion.id }}"
      method = "PUT"
    }),
    provider::lockstep::oci_push("release", {
      from = "{{ freight.api.pinned }}"
      to   = "${var.released_repo}:{{ freight.api.tag }}"
    }),
    provider::lockstep::git_tag("tag", {
      repo    = var.infra_repo
      tag     = "{{ promotion.id }}"
      commit  = "{{ freight.infra.commit }}"
      message = "Released as {{ freight.api.tag }}"
    }),
  ]
}

resource "lockstep_promotion_policy" "calls" {
  project = lockstep_project.shop.name
  name    = "calls"
  mode    = "automatic"
  settle  = var.settle

  stages { names = [lockstep_stage.calls.name] }
}
