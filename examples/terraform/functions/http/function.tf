locals {
  announce = provider::lockstep::http("announce", {
    url     = "https://chat.example.com/hooks/releases"
    method  = "POST"
    body    = { text = "shop {{ freight.api.tag }} is in {{ stage.name }}" }
    success = "response.status < 300"
  })
}

# Waits for what somebody else does.
locals {
  rollout = provider::lockstep::http("rollout", {
    url     = "https://argocd.example.com/api/v1/applications/shop"
    success = "response.status == 200 && response.json.status.health.status == 'Healthy'"
    failure = "response.status == 200 && response.json.status.health.status == 'Degraded'"
    poll    = { interval = "15s", timeout = "20m" }
    outputs = { revision = "response.json.status.sync.revision" }
  })
}

# Must not be sent twice, and can be asked about.
locals {
  change = provider::lockstep::http("change", {
    url      = "https://tickets.example.com/api/changes"
    method   = "POST"
    body     = { external_id = "{{ promotion.id }}", summary = "shop to {{ stage.name }}" }
    delivery = "at_most_once"
    outputs  = { id = "response.json.id" }
    confirm = {
      url     = "https://tickets.example.com/api/changes?external_id={{ promotion.id }}"
      success = "size(response.json.changes) == 1"
      failure = "response.status == 200 && size(response.json.changes) == 0"
    }
  })
}
