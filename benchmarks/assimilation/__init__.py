"""Twin experiments: a truth, sensors that read it with noise, and how near the filter stays to it."""

SYSTEMS = ("burgers_1d", "kdv_1d", "kuramoto_sivashinsky", "cylinder_2d")
# Those of which it can be measured what several first frames tell a forecast.
WINDOWED = (*SYSTEMS, "burgers_2d")
