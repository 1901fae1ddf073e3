locals {
  no_major = provider::lockstep::fail("no_major", {
    message = "{{ freight.api.tag }} is a major release: promote it by hand"
    control = { when = "freight.api.version.minor == 0 && freight.api.version.patch == 0" }
  })
}
