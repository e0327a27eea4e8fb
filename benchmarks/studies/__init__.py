"""Studies that the defaults and single figures of the documentation rest on."""
