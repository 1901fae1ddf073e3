locals {
  clone = provider::lockstep::git_clone("src", {
    repo = "https://git.example.com/shop/infra.git"
    checkout = {
      infra = { commit = "{{ freight.infra.commit }}" } # a version of the freight
      live  = { branch = "main" }                       # the tip of a branch; git_push pushes there
    }
  })
}
