locals {
  announce = provider::lockstep::http("announce", {
    url     = "https://chat.example.com/hooks/releases"
    method  = "POST"
    body    = { text = "shop {{ freight.api.tag }} is in {{ stage.name }}" }
    success = "response.status < 300"
  })
}
