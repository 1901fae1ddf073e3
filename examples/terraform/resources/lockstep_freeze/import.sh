terraform import lockstep_freeze.year_end shop/year-end
