terraform import lockstep_hold.cve shop/cve-2026-1234
