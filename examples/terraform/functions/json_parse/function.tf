locals {
  app = provider::lockstep::json_parse("app", {
    path    = "src/app.json"
    outputs = { port = "document.server.port" }
  })
}
